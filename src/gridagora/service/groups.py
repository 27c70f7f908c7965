"""Which groups of connection points may be told of, so that no small one can be told apart.  Pure.

Groups are nested: a zone holds the zones inside it.  What is told of them are sums, so whoever knows several
can take one from another.  The told groups are therefore chosen together: the connection points of a told
group that lie in no told group inside it are none, or ``least`` at least.  Each sum that can be computed
from the told ones by adding and subtracting is then one over some of these remainders, that is, over
``least`` connection points or more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

FEW = "few_points"
REMAINDER = "remainder"
"""Why a group is not told of: it is small, or what others would leave of a larger one is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nest:
    """Groups nested in one root.

    Parameters
    ----------
    root : name of the group that holds all others
    inside : names of the groups that each group holds directly; one that holds none may be left out
    """

    root: str
    inside: Mapping[str, Sequence[str]]

    def totals(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Return how much each group holds with all groups inside it, by what it holds beside them."""
        found: dict[str, int] = {}
        for name in reversed(list(self._down())):
            found[name] = counts.get(name, 0) + sum(found[one] for one in self.inside.get(name, ()))
        return found

    def _down(self) -> Iterator[str]:
        """Yield all groups, each after the one that holds it."""
        waiting = [self.root]
        while waiting:
            name = waiting.pop()
            yield name
            waiting.extend(self.inside.get(name, ()))

    def withheld(
        self, counts: Mapping[str, int], *, least: int, before: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the groups that may not be told of, and why; the larger ones are told first.

        Parameters
        ----------
        counts : connection points of each group that lie in no group inside it
        least : so many make a group
        before : groups that are not told of for another reason

        Examples
        --------
        A village of three streets with 5, 6 and 2 homes: the small street is not told, and as the village
        less the two others would be that street, the smallest of those is not told either.

        >>> nest = Nest(root="village", inside={"village": ["a", "b", "c"]})
        >>> nest.withheld({"a": 5, "b": 6, "c": 2}, least=4)
        {'c': 'few_points', 'a': 'remainder'}
        >>> nest.withheld({"a": 5, "b": 6, "c": 4}, least=4)
        {}
        """
        totals, known = self.totals(counts), before or {}
        found: dict[str, str] = {}
        for name in self._down():
            if name in found:
                found.update(dict.fromkeys(self.inside.get(name, ()), found[name]))
                continue
            if name == self.root and (name in known or totals[name] < least):
                found[name] = known.get(name, FEW)
                found.update(dict.fromkeys(self.inside.get(name, ()), found[name]))
                continue
            found |= _hidden(self.inside.get(name, ()), totals, counts.get(name, 0), least=least, known=known)
        return {name: reason for name, reason in found.items() if totals[name]}


def _hidden(
    inside: Sequence[str], totals: Mapping[str, int], own: int, *, least: int, known: Mapping[str, str]
) -> dict[str, str]:
    """Return the groups inside a told one that are not told of, ``own`` being what lies in none of them."""
    hidden = {name: known.get(name, FEW) for name in inside if name in known or totals[name] < least}
    rest = own + sum(totals[name] for name in hidden)
    told = [name for name in inside if name not in hidden]
    if 0 < rest < least and told:
        hidden[min(told, key=lambda name: (totals[name], name))] = REMAINDER
    return hidden
