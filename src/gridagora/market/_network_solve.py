"""Solving the program of a network auction: what is on or off, then the linear program that sets prices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.errors import SolverError
from gridagora.market._network_limits import (
    NO_CUTS,
    Cuts,
    Limits,
    broken_limits,
    limits_of,
    rows_of,
)
from gridagora.market._network_market import Market
from gridagora.market._network_program import Program, build_program, with_rows
from gridagora.market._network_start import Warm, first_basis
from gridagora.market._network_waste import wasteful, with_choices, with_neighbours, without_waste
from gridagora.solve import BASIC, UPPER, Answer, Basis, HotModel, LinearProgram, solve_mixed

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

WHOLE = 0.5
"""A switch above this is on."""

ROUNDS = 200
"""Rounds of adding limits after which something is wrong: each adds one at least."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Solved:
    """The optimum with what is on or off decided: program, with limits added, and answer.

    ``on`` tells of every bid whether its switch is on (bids without one are), ``allowed`` of every switch
    whether it might be.
    """

    program: Program
    linear: LinearProgram
    limits: tuple[Limits | None, ...]
    cuts: Cuts
    answer: Answer
    on: NDArray[np.bool_]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Decided:
    """What is on, the limits found on the way, and what was picked for the chosen spots of waste."""

    on: NDArray[np.bool_]
    cuts: Cuts
    chosen: NDArray[np.bool_]
    picked: NDArray[np.bool_]


def solve_market(
    market: Market, *, gap: float = 0.0, off: NDArray[np.bool_] | None = None, warm: Warm | None = None
) -> Solved:
    """Return the optimum of a market; raises `SolverError` when there is none.

    Parameters
    ----------
    gap : relative gap of the mixed-integer program
    off : switches that must stay off
    warm : what an earlier clearing learned
    """
    nothing = np.zeros(0, dtype=np.bool_)
    decided = Decided(on=np.ones(len(market), dtype=np.bool_), cuts=NO_CUTS, chosen=nothing, picked=nothing)
    if market.switches:
        decided = _decide(market, gap=gap, off=off, chosen=nothing)
    while True:
        solved = _priced(market, decided, off=off, warm=warm)
        wasted = wasteful(solved.program, solved.answer)
        known = decided.chosen if len(decided.chosen) else np.zeros_like(wasted)
        if not (wasted & ~known).any():
            return solved
        chosen = with_neighbours(solved.program, wasted) | known
        decided = _decide(market, gap=gap, off=off, chosen=chosen)


def _priced(market: Market, decided: Decided, *, off: NDArray[np.bool_] | None, warm: Warm | None) -> Solved:
    """Solve the linear program that is left when all is decided."""
    on, cuts = decided.on, decided.cuts
    hung = market.switch >= 0
    low = np.where(on & hung, market.least * market.quantity, 0.0)
    high = np.where(on, market.quantity, 0.0)
    program = build_program(market, bounds=(low, high))
    if decided.chosen.any():
        program = without_waste(program, decided.chosen, decided.picked)
    if warm is not None:
        cuts = warm.limits_in(market, cuts)
    basis = first_basis(market, program, warm=warm)
    allowed = np.ones(market.switches, dtype=np.bool_) if off is None else ~off
    if warm is not None:
        basis = Basis(columns=basis.columns, rows=np.concatenate([basis.rows, warm.statuses(market, cuts)]))
    return replace(solve_linear(program, basis, known=cuts), on=on, allowed=allowed)


def _decide(
    market: Market, *, gap: float, off: NDArray[np.bool_] | None, chosen: NDArray[np.bool_]
) -> Decided:
    """Decide what is on, and what chosen spots lose: the mixed program with the limits its answers break."""
    program = build_program(market)
    if off is not None:
        upper = program.linear.upper.copy()
        upper[np.flatnonzero(program.whole)[: market.switches][off]] = 0.0
        program = replace(program, linear=replace(program.linear, upper=upper))
    limits = limits_of(program.blocks)
    cuts = solve_linear(program, first_basis(market, program)).cuts
    if chosen.any():
        program = with_choices(program, market, chosen)
    for _ in range(ROUNDS):
        linear = with_rows(program.linear, rows_of(program, limits, cuts))
        answer = solve_mixed(linear, whole=program.whole, gap=gap)
        new = broken_limits(program, limits, answer, known=cuts)
        if not len(new):
            found = answer.values[program.whole] > WHOLE
            lit = np.append(found[: market.switches], True)
            picked = found[market.switches :]
            return Decided(on=lit[market.switch], cuts=cuts, chosen=chosen, picked=picked)
        cuts = cuts.joined(new)
    raise SolverError("limits of the network keep being broken")


def solve_linear(program: Program, basis: Basis, *, known: Cuts = NO_CUTS) -> Solved:
    """Solve a linear program and again with every limit that its answer breaks, from basis to basis."""
    limits = limits_of(program.blocks)
    known = known.joined(broken_limits(program, limits, _expected(program, basis), known=known))
    linear, cuts = program.linear, known
    first = with_rows(linear, rows_of(program, limits, known))
    hot = HotModel(first)
    hot.start_from(_longer(basis, len(first.row_lower)))
    for _ in range(ROUNDS):
        answer = hot.solve()
        new = broken_limits(program, limits, answer, known=cuts)
        if not len(new):
            break
        rows = rows_of(program, limits, new)
        hot.add_rows(
            *rows[:2], starts=rows[2].astype(np.int32), columns=rows[3].astype(np.int32), entries=rows[4]
        )
        cuts = cuts.joined(new)
    else:
        raise SolverError("limits of the network keep being broken")
    more = rows_of(program, limits, _later(cuts, len(known)))
    return Solved(
        program=program,
        linear=with_rows(first, more),
        limits=limits,
        cuts=cuts,
        answer=answer,
        on=np.ones(program.bids, dtype=np.bool_),
        allowed=np.zeros(0, dtype=np.bool_),
    )


def _expected(program: Program, basis: Basis) -> Answer:
    """Return the answer that a basis stands for, but for its basic bids, which are taken as nothing.

    Limits broken there are likely to bind, so that they need not wait for a first solution.
    """
    linear, count = program.linear, program.bids
    accepted = np.where(basis.columns[:count] == UPPER, linear.upper[:count], linear.lower[:count])
    last = int(linear.starts[count])
    used = np.repeat(accepted, np.diff(linear.starts[: count + 1]))
    # rows of the nodes read: net import less what the bids take is 0
    taken = -np.bincount(
        linear.rows[:last], weights=linear.entries[:last] * used, minlength=len(linear.row_lower)
    )
    values = np.zeros(len(linear.cost))
    values[:count] = accepted
    for block in program.blocks:
        each = np.arange(program.periods * block.nodes)
        for column, row in ((block.p_column, block.p_row), (block.q_column, block.q_row)):
            if column >= 0:
                values[column + each] = taken[row + each]
    return Answer(values=values, duals=np.zeros(0), objective=0.0)


def _later(cuts: Cuts, first: int) -> Cuts:
    return Cuts(block=cuts.block[first:], slot=cuts.slot[first:], row=cuts.row[first:])


def _longer(basis: Basis, rows: int) -> Basis:
    """Return a basis for a number of rows, of which further ones do not bind at first."""
    more = np.full(rows - len(basis.rows), BASIC, dtype=np.int8)
    return Basis(columns=basis.columns, rows=np.concatenate([basis.rows, more]))


def share_ties(market: Market, quantity: Floats, *, tied: Sequence[int]) -> Floats:
    """Share what equal bids of one node got pro rata; bids with switches or in conditions keep theirs.

    Parameters
    ----------
    quantity : accepted, in canonical order
    tied : rows of bids that a condition names
    """
    free = market.switch < 0
    free[list(tied)] = False
    rows = np.flatnonzero(free)
    columns = (market.slot, market.block, market.node, market.side, market.kvar_per_kw, market.price)
    fresh = np.zeros(len(rows), dtype=np.bool_)
    fresh[:1] = True
    for column in columns:
        mine = column[rows]
        fresh[1:] |= mine[1:] != mine[:-1]
    if fresh.all():
        return quantity
    starts = np.flatnonzero(fresh)
    group = np.cumsum(fresh) - 1
    given, offered = (np.add.reduceat(values[rows], starts) for values in (quantity, market.quantity))
    share = np.divide(given, offered, out=np.zeros(len(starts)), where=offered > 0)
    out = quantity.copy()
    out[rows] = np.minimum(share[group], 1.0) * market.quantity[rows]
    return out
