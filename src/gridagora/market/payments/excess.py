"""Excess of coalitions: what their members could gain by leaving together (F14)."""

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import Fault, InputError
from gridagora.market.payments.game import Intervals, Part, intervals, value_table

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

ALL_PLAYERS = 20
"""Up to here every coalition is valued; 12 where each one takes a mixed-integer program."""

ALL_MIXED = 12
SWEEPS = 4
PAIRED = 40
"""Up to so many players the search also tries two at once, where coalitions are valued in merit order."""

EIGHTHS = 8


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Excess:
    """Excess v(M) - sum of the members' gains, of every coalition or of the worst ones found.

    Parameters
    ----------
    players : names, in the order of the columns of ``members``
    members : a row per coalition, True for its members
    values : excess per coalition, currency; > 0: its members would rather leave
    is_complete : True when all coalitions are listed; False: those where a search ended (see `search`)

    Examples
    --------
    >>> two = Excess(players=np.array(["a", "b"]), members=np.array([[True, True]]), values=np.zeros(1),
    ...              is_complete=False)
    >>> two.most_violated, two.maximum
    (('a', 'b'), 0.0)
    """

    players: NDArray[Any]
    members: NDArray[np.bool_]
    values: Floats
    is_complete: bool

    @property
    def maximum(self) -> float:
        """Largest excess of a coalition; 0 in a market without players."""
        return float(self.values.max()) if len(self.values) else 0.0

    @property
    def most_violated(self) -> tuple[Any, ...]:
        """Names of the coalition with the largest excess; none in a market without players."""
        if not len(self.values):
            return ()
        return tuple(self.players[self.members[int(self.values.argmax())]].tolist())

    def of(self, *names: Any) -> float:
        """Excess of the coalition of these players; raises `InputError` when it is not listed."""
        row = np.flatnonzero((self.members == np.isin(self.players, names)).all(axis=1))
        if len(row) == 0 or not np.isin(names, self.players).all():
            reason = "is not among the coalitions"
            raise InputError(
                [Fault(source="excess", place="names", value=names, reason=reason, fix="name players")]
            )
        return float(self.values[row[0]])

    def table(self, most: int = 20) -> "pd.DataFrame":
        """Coalitions by falling excess: columns coalition (tuple of names) and excess."""
        import pandas as pd

        order = np.argsort(-self.values, kind="stable")[:most]
        names = [tuple(self.players[self.members[row]].tolist()) for row in order]
        return pd.DataFrame({"coalition": names, "excess": self.values[order]})


def excess_of(names: NDArray[Any], gains: Floats, pieces: list[Part]) -> Excess:
    """Value all coalitions where they are few, else search for those that would gain most by leaving."""
    count = len(names)
    limit = ALL_MIXED if any(part.kind == "mixed" for part in pieces) else ALL_PLAYERS
    if count > limit:
        return search(names, gains, pieces)
    masks = np.arange(1, 1 << count)
    members = (masks[:, None] >> np.arange(count)) & 1 > 0
    total = -(members @ gains)
    for part in pieces:
        local = members[:, part.players] @ (1 << np.arange(len(part.players)))
        total += value_table(part)[local]
    return Excess(players=names, members=members, values=total, is_complete=True)


def search(names: NDArray[Any], gains: Floats, pieces: list[Part]) -> Excess:
    """Look for the coalitions that would gain most by leaving, by local search.

    Starts: all players; all but each of the ten who gain most; and of those who trade, the one who gains most
    with one to eight eighths of the others, either those who gain least or those who gain most.  From each
    start,
    players in the order of their gains come or go one at a time whenever that raises the excess, until a
    sweep
    changes nothing (at most four sweeps); up to 40 players also two at a time.
    """
    valued = [(part, intervals(part) if part.kind == "merit" else None) for part in pieces]
    order = np.argsort(-gains, kind="stable")
    trades = np.zeros(len(names), dtype=np.bool_)
    for part in pieces:
        trades[part.players[np.unique(part.owner[part.accepted > 0])]] = True
    active = order[trades[order]][1:]
    chosen = [order[order != player] for player in order[:10].tolist()] + [order]
    for eighth in range(1, EIGHTHS + 1):
        count = -(-len(active) * eighth // EIGHTHS)
        chosen += [np.append(active[:count], order[0]), np.append(active[len(active) - count :], order[0])]
    starts = [np.isin(np.arange(len(names)), players) for players in chosen]
    found = [_climb(start.copy(), gains, valued, order=order) for start in starts]
    members = np.array([member for member, _ in found])
    members, first = np.unique(members, axis=0, return_index=True)
    values = np.array([value for _, value in found])[first]
    return Excess(players=names, members=members, values=values, is_complete=False)


def _climb(
    member: NDArray[np.bool_],
    gains: Floats,
    valued: list[tuple[Part, Intervals | None]],
    *,
    order: NDArray[np.int64],
) -> tuple[NDArray[np.bool_], float]:
    moves: list[tuple[int, ...]] = [(player,) for player in order.tolist()]
    if len(order) <= PAIRED and all(shape is not None for _, shape in valued):
        moves += combinations(order.tolist(), 2)
    best = _excess(member, gains, valued)
    for _ in range(SWEEPS):
        before = best
        for move in map(list, moves):
            member[move] = ~member[move]
            now = _excess(member, gains, valued)
            if now > best:
                best = now
            else:
                member[move] = ~member[move]
        if best == before:
            break
    return member, best


def _excess(member: NDArray[np.bool_], gains: Floats, valued: list[tuple[Part, Intervals | None]]) -> float:
    total = -float(gains[member].sum())
    for part, shape in valued:
        mine = member[part.players]
        total += part.value(mine) if shape is None else shape.value(mine)
    return total
