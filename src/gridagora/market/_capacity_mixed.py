"""Several ordered buyers, blocks and limits of a day: the capacity-limit auction as a mixed-integer program.

The program decides what is on or off; with that fixed, the merit order shares the rest, so ties at the margin
are pro rata and integers stay exact here as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._capacity_clear import Cleared
from gridagora.market._capacity_rules import ActivationLimits, AuctionRules, Horizon
from gridagora.market.merit import merit_order
from gridagora.model.bids import Bids
from gridagora.solve import LinearProgram, solve, solve_mixed

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

WHOLE = 0.5
"""A switch above this is on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Rows of the program while it is written down: entries (row, column, value) and bounds."""

    row: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    entry: list[float] = field(default_factory=list)
    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)

    def add(self, terms: list[tuple[int, float]], *, lower: float = -np.inf, upper: float = np.inf) -> None:
        for column, entry in terms:
            self.row.append(len(self.lower))
            self.column.append(column)
            self.entry.append(entry)
        self.lower.append(lower)
        self.upper.append(upper)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Switches:
    """Columns that are on or off; -1 for bids without: order (y), block or link, and activity of a plant."""

    order: Ints
    block: Ints
    count: int


def clear_mixed(bids: Bids, rules: AuctionRules) -> Cleared:
    """Clear bids that belong together at the highest welfare under all their rules.

    Bids are brought into one order first (period, participant, side, step, price, quantity), so the answer
    does
    not depend on theirs; among equally good answers the solver's choice in that order stands.
    """
    columns = (bids.quantity, bids.price, bids.side, bids.participant, bids.period)
    own = [column for column in (rules.links, rules.least, bids.node, rules.steps) if column is not None]
    order = np.lexsort((*columns[:2], *own, *columns[2:]))
    ranked, sorted_rules = bids.take(order), rules.take(order)
    forced, free = _decide(ranked, sorted_rules)
    cleared = _share(ranked, forced, free)
    accepted = np.empty_like(cleared.accepted)
    accepted[order] = cleared.accepted
    return Cleared(accepted=accepted, period=cleared.period, low=cleared.low, high=cleared.high)


def _decide(bids: Bids, rules: AuctionRules) -> tuple[NDArray[Any], NDArray[Any]]:
    """Solve the program: what of each bid must be accepted, and what may be on top of it."""
    scale = float(bids.quantity.max(initial=0)) or 1.0
    quantity = bids.quantity / scale
    rows = _Rows()
    switches = _switches(bids, rules, quantity, rows=rows)
    count = len(bids)
    total = switches.count
    tied: Ints = np.zeros(0, dtype=np.int64)
    if rules.horizon is not None:
        total, tied = _horizon_rows(bids, rules.horizon, quantity, rows=rows, first=total, scale=scale)
    for period in np.unique(bids.period):
        mine = np.flatnonzero(bids.period == period)
        rows.add([(b, float(bids.side[b])) for b in mine.tolist()], lower=0.0, upper=0.0)
    money = float(np.abs(bids.price).max(initial=0)) or 1.0
    cost = np.zeros(total)
    cost[:count] = -bids.side * bids.price / money
    upper = np.concatenate([quantity, np.ones(total - count)])
    program = _program(rows, cost, upper)
    whole = np.arange(total) >= count
    values = (solve_mixed(program, whole=whole) if total > count else solve(program)).values
    return _states(bids, rules, switches, answer=(values, tied, scale))


def _switches(bids: Bids, rules: AuctionRules, quantity: Floats, *, rows: _Rows) -> _Switches:
    """Add the columns and rows of ordered steps (F7-F9), of blocks and of linked bids."""
    used = len(bids)
    order = np.full(len(bids), -1)
    block = np.full(len(bids), -1)
    if rules.ordered and rules.steps is not None:
        for before, after in _next_steps(bids, rules.steps):
            order[after] = used
            # F8 with F9 says: the step before is full, and so are all before that one
            rows.add([(after, 1.0), (used, -quantity[after])], upper=0.0)
            rows.add([(before, 1.0), (used, -quantity[before])], lower=0.0)
            if order[before] >= 0:
                rows.add([(used, 1.0), (int(order[before]), -1.0)], upper=0.0)
            used += 1
    links: dict[int, int] = {}
    for b in range(len(bids)):
        link = -1 if rules.links is None else int(rules.links[b])
        least = 0.0 if rules.least is None else float(rules.least[b])
        if link < 0 and (least <= 0 or quantity[b] <= 0):
            continue
        if link not in links or link < 0:
            links[link] = used
            used += 1
        block[b] = links[link]
        least = 1.0 if link >= 0 else least
        rows.add([(b, 1.0), (links[link], -quantity[b])], upper=0.0)
        rows.add([(b, 1.0), (links[link], -least * quantity[b])], lower=0.0)
    return _Switches(order=order, block=block, count=used)


def _next_steps(bids: Bids, steps: Ints) -> Iterator[tuple[int, int]]:
    """Pairs of consecutive steps of a buyer in a period; bids are sorted by period, participant, step."""
    for b in range(1, len(bids)):
        same = bids.period[b] == bids.period[b - 1] and bids.participant[b] == bids.participant[b - 1]
        if same and bids.side[b] > 0 and bids.side[b - 1] > 0 and steps[b] > steps[b - 1]:
            yield b - 1, b


def _horizon_rows(
    bids: Bids, horizon: Horizon, quantity: Floats, *, rows: _Rows, first: int, scale: float
) -> tuple[int, Ints]:
    """Add every limited seller's day: activity z, starts s, durations, rest and energy.

    Returns the number of columns so far and the bids whose quantity an energy limit ties together.
    """
    tied: list[int] = []
    day = bids.period // horizon.periods_per_day
    for name, limits in horizon.limits.items():
        for today in np.unique(day).tolist():
            mine = np.flatnonzero((bids.participant == name) & (day == today) & ~bids.is_buy)
            if len(mine) == 0:
                continue
            if limits.energy_kwh is not None:
                terms = [(b, horizon.period_hours) for b in mine.tolist()]
                rows.add(
                    [(b, hours * float(quantity[b] > 0)) for b, hours in terms],
                    upper=limits.energy_kwh / scale,
                )
                tied += mine.tolist()
            slots = np.arange(horizon.periods_per_day) + today * horizon.periods_per_day
            offers = [[int(b) for b in mine if bids.period[b] == slot] for slot in slots.tolist()]
            first = _activity_rows(limits, offers, quantity, rows=rows, first=first, scale=scale)
    return first, np.array(tied, dtype=np.int64)


def _activity_rows(
    limits: ActivationLimits,
    offers: list[list[int]],
    quantity: Floats,
    *,
    rows: _Rows,
    first: int,
    scale: float,
) -> int:
    """Add activity z (``first`` + t) and starts s of a seller's day; ``offers``: its bids per period."""
    count = len(offers)
    z, s = first, first + count
    for t, mine in enumerate(offers):
        rows.add([(z + t, 1.0)], upper=float(bool(mine)))
        for b in mine:
            rows.add([(b, 1.0), (z + t, -quantity[b])], upper=0.0)
        if mine and limits.min_kw > 0:
            rows.add([*((b, 1.0) for b in mine), (z + t, -limits.min_kw / scale)], lower=0.0)
        before = [(z + t - 1, 1.0)] if t else []
        rows.add([(s + t, 1.0), (z + t, -1.0), *before], lower=0.0)
        rows.add([(s + t, 1.0), (z + t, -1.0)], upper=0.0)
        for k in range(1, max(1, limits.min_rest) + 1):
            if t - k >= 0:
                rows.add([(s + t, 1.0), (z + t - k, 1.0)], upper=1.0)
        stop = t + limits.min_duration
        if stop > count:
            rows.add([(s + t, 1.0)], upper=0.0)
        elif limits.min_duration > 1:
            rows.add(
                [*((z + k, 1.0) for k in range(t, stop)), (s + t, -float(limits.min_duration))], lower=0.0
            )
        if limits.max_duration is not None and t + limits.max_duration < count:
            span = range(t, t + limits.max_duration + 1)
            rows.add([(z + k, 1.0) for k in span], upper=float(limits.max_duration))
    if limits.max_activations is not None:
        rows.add([(s + t, 1.0) for t in range(count)], upper=float(limits.max_activations))
    return first + 2 * count


def _program(rows: _Rows, cost: Floats, upper: Floats) -> LinearProgram:
    """Bring the entries into columns."""
    row, column, entry = np.array(rows.row), np.array(rows.column), np.array(rows.entry)
    order = np.lexsort((row, column))
    starts = np.searchsorted(column[order], np.arange(len(cost) + 1))
    return LinearProgram(
        cost=cost,
        lower=np.zeros(len(cost)),
        upper=upper,
        row_lower=np.array(rows.lower),
        row_upper=np.array(rows.upper),
        starts=starts.astype(np.int32),
        rows=row[order].astype(np.int32),
        entries=entry[order].astype(np.float64),
    )


def _states(
    bids: Bids, rules: AuctionRules, switches: _Switches, *, answer: tuple[Floats, Ints, float]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Read the switches: the quantity of each bid that is forced, and what is free on top."""
    values, tied, scale = answer
    on = np.append(values > WHOLE, True)
    quantity = bids.quantity
    share = np.zeros(len(bids)) if rules.least is None else np.where(switches.block >= 0, rules.least, 0.0)
    share = share if rules.links is None else np.where(rules.links >= 0, 1.0, share)
    available = on[switches.order] & on[switches.block]
    followed = np.zeros(len(bids), dtype=np.bool_)
    followed[:-1] = (switches.order[1:] >= 0) & on[switches.order[1:]]
    share = np.where(followed, 1.0, share)
    forced = share * quantity
    free = np.where(available, 1.0 - share, 0.0) * quantity
    forced = np.where(available, forced, 0.0)
    if rules.horizon is not None:
        forced, free = _held(bids, rules.horizon, (values[: len(bids)] * scale, tied), states=(forced, free))
    if bids.is_integer:
        forced = np.ceil(forced - 1e-6).astype(np.int64)
        return forced, np.where(free > 0, quantity - forced, 0).astype(np.int64)
    return forced, free


def _held(
    bids: Bids, horizon: Horizon, solved: tuple[Floats, Ints], *, states: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Hold sellers that the horizon limits at what the program gave them: their periods are not their own."""
    forced, free = states
    given, _ = solved
    limited = (
        np.isin(bids.participant, np.array(list(horizon.limits)))
        if horizon.limits
        else np.zeros(len(bids), bool)
    )
    limited &= ~bids.is_buy
    exact = np.clip(given, 0.0, bids.quantity)
    exact = np.floor(exact + 1e-6) if bids.is_integer else exact
    return np.where(limited, exact, forced), np.where(limited, 0.0, free)


def _share(bids: Bids, forced: NDArray[Any], free: NDArray[Any]) -> Cleared:
    """Clear forced and free parts in the merit order: forced parts go before every price."""
    levels, rank = np.unique(bids.price, return_inverse=True)
    last = len(levels) + 1
    pieces = Bids(
        side=np.concatenate([bids.side, bids.side]),
        price=np.concatenate([np.where(bids.is_buy, last, 0), rank + 1]),
        quantity=np.concatenate([forced, free]),
        participant=np.concatenate([bids.participant, bids.participant]),
        period=np.concatenate([bids.period, bids.period]),
        step=np.tile(np.arange(len(bids)), 2),
    )
    merit = merit_order(pieces)
    accepted = merit.accepted[: len(bids)] + merit.accepted[len(bids) :]
    accepted = np.minimum(accepted, bids.quantity)
    bounds = np.concatenate([[-np.inf], levels, [np.inf]])
    traded = ~np.isnan(merit.low)
    low = np.where(traded, bounds[np.nan_to_num(merit.low).astype(np.int64)], np.nan)
    high = np.where(traded, bounds[np.nan_to_num(merit.high).astype(np.int64)], np.nan)
    for at in np.flatnonzero(traded & ~(np.isfinite(low) & np.isfinite(high))):
        mine = (bids.period == merit.period[at]) & (accepted > 0)
        ask = bids.price[mine & ~bids.is_buy].max()
        bid = bids.price[mine & bids.is_buy].min()
        # only blocks set this side: the accepted price on it, kept on its side of the other bound
        if np.isfinite(high[at]):
            low[at] = min(float(ask), high[at])
        elif np.isfinite(low[at]):
            high[at] = max(float(bid), low[at])
        else:
            low[at], high[at] = sorted((float(ask), float(bid)))
    return Cleared(accepted=accepted, period=merit.period, low=low, high=high)
