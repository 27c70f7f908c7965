"""Why a market has no answer: the smallest set of conditions and limits found that cannot hold together."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gridagora.errors import Fault, InfeasibleMarket, SolverError, check_faults
from gridagora.market._network_limits import NO_CUTS, Cuts, Limits, broken_limits, limits_of, rows_of
from gridagora.market._network_market import SMALLEST_SHARE, Market
from gridagora.market._network_program import Program, build_program, with_rows
from gridagora.market._network_waste import spots_of, with_choices
from gridagora.solve import Answer, solve, solve_mixed


def smallest_conflict(names: Sequence[str], holds: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return names that do not hold together, none of which can be left out.

    Parameters
    ----------
    names : all, which together do not hold
    holds : tells whether some hold together

    Notes
    -----
    QuickXplain: halves the set at each step (Junker 2004), so that a small conflict takes few tries.

    Examples
    --------
    >>> smallest_conflict(list("abcdefg"), lambda some: not {"b", "f"} <= set(some))
    ['b', 'f']
    """

    def needed(base: list[str], fresh: bool, rest: list[str]) -> list[str]:
        if fresh and not holds(base):
            return []
        if len(rest) == 1:
            return rest
        half = len(rest) // 2
        first, second = rest[:half], rest[half:]
        of_second = needed(base + first, bool(first), second)
        of_first = needed(base + of_second, bool(of_second), first)
        return of_first + of_second

    return needed([], False, list(names)) if names and holds([]) else []


def check_conditions(market: Market) -> None:
    """Raise `InputError` when the conditions alone exclude each other, whatever the network."""
    needs = [one for one in market.dependencies if one.kind == "or" or _wants(one.op, one.quantity, one.kind)]
    if not needs:
        return
    names = [*_conditions(market), *_leasts(market)]

    def holds(kept: Sequence[str]) -> bool:
        skipped = tuple(name for name in names if name not in set(kept))
        return _answer(build_program(market, skipped=skipped, network=False)) is not None

    if holds(names):
        return
    told = [_told(market, name) for name in smallest_conflict(names, holds)]
    place = ", ".join(name.partition(":")[0] for name in told)
    reason, fix = "cannot hold together", "leave one of them out"
    check_faults([Fault(source="dependencies", place=place, value=told, reason=reason, fix=fix)])


def _conditions(market: Market) -> list[str]:
    return [f"condition {number}" for number in range(len(market.dependencies))]


def _leasts(market: Market) -> list[str]:
    """Return names of the bids with a least share of their own, in the order of the bids."""
    whole = np.flatnonzero(market.least > SMALLEST_SHARE)
    return [f"least {bid}" for bid in whole[np.argsort(market.order[whole])].tolist()]


def _wants(op: str, quantity: float, kind: str) -> bool:
    """Tell whether a sum asks for something, so that nothing accepted does not meet it."""
    return kind == "sum" and ((op != "<=" and quantity > 0) or (op != ">=" and quantity < 0))


def _told(market: Market, name: str) -> str:
    """Return a condition, or a least share, in the rows of the bids as they were given."""
    kind, number = name.split()
    if kind == "least":
        return f"least quantity of bid {market.order[int(number)]}"
    one = market.dependencies[int(number)]
    return f"dependency {number}: {replace(one, bids=tuple(market.order[list(one.bids)].tolist()))}"


def explain(market: Market, *, exact: bool = False) -> InfeasibleMarket | None:
    """Return the error that names what cannot hold together; None if the market has an answer after all.

    ``exact`` also holds losses to what the wires lose; first it is tried without, which takes less time.
    """

    def built(skipped: tuple[str, ...] = ()) -> Program:
        program = build_program(market, skipped=skipped)
        spots = np.ones(len(spots_of(program)), dtype=np.bool_)
        return with_choices(program, market, spots) if exact else program

    program = built()
    limits = limits_of(program.blocks)
    cuts = NO_CUTS
    while (answer := _answer(program, rows=(limits, cuts))) is not None:
        new = broken_limits(program, limits, answer, known=cuts)
        if not len(new):
            return None if exact or not len(spots_of(program)) else explain(market, exact=True)
        cuts = cuts.joined(new)
    of_limits = {f"limit {place}": place for place in range(len(cuts))}
    names = [*_conditions(market), *_leasts(market), *_lines(program), *of_limits]

    def holds(kept: Sequence[str]) -> bool:
        kept_names = set(kept)
        skipped = tuple(name for name in names if name not in kept_names)
        places = np.array([place for name, place in of_limits.items() if name in kept_names], dtype=np.int64)
        some = Cuts(block=cuts.block[places], slot=cuts.slot[places], row=cuts.row[places])
        return _answer(built(skipped), rows=(limits, some)) is not None

    found = smallest_conflict(names, holds)
    told = [
        _limit_told(market, limits, cuts, place=of_limits[name])
        if name in of_limits
        else _line_told(market, program, name)
        if name.startswith("line")
        else _told(market, name)
        for name in found
    ]
    return InfeasibleMarket(told or ["what the network itself asks for: its fixed loads and losses"])


def _lines(program: Program) -> list[str]:
    """Return names of the lines that limit a flow, "line 0 2": of carrier 0 line 2."""
    return [
        f"line {number} {line}"
        for number, block in enumerate(program.blocks)
        if block.lines is not None
        for line in np.flatnonzero(np.isfinite(np.minimum(block.lines.capacity_kw, block.lines.reverse_kw)))
    ]


def _line_told(market: Market, program: Program, name: str) -> str:
    number, line = (int(part) for part in name.split()[1:])
    lines = program.blocks[number].lines
    carrier = f"{market.carriers[number].name}: " if len(market.carriers) > 1 else ""
    return f"{carrier}capacity of {lines.name[line] if lines is not None else line}"


def _limit_told(market: Market, limits: Sequence[Limits | None], cuts: Cuts, *, place: int) -> str:
    block, slot, row = int(cuts.block[place]), int(cuts.slot[place]), int(cuts.row[place])
    of_block = limits[block]
    if of_block is None:  # pragma: no cover - only carriers with limits break them
        return market.carriers[block].name
    rows = of_block.rows
    kind = "voltage of" if rows.part[row] == "voltage" else "limit of"
    carrier = f"{market.carriers[block].name}: " if len(market.carriers) > 1 else ""
    return f"{carrier}{kind} {rows.name[row]} in period {market.period[slot]}"


def _answer(program: Program, *, rows: tuple[Sequence[Limits | None], Cuts] | None = None) -> Answer | None:
    linear = program.linear
    if rows is not None and len(rows[1]):
        linear = with_rows(linear, rows_of(program, rows[0], rows[1]))
    try:
        return solve_mixed(linear, whole=program.whole) if program.whole.any() else solve(linear)
    except SolverError:
        return None
