"""Clearing by the rules of a capacity-limit auction: merit order, breakpoint search, or a program."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._capacity_rules import AuctionRules
from gridagora.market.merit import ABSOLUTE_RESIDUE_UNITS, FLOAT_MASK, RELATIVE_RESIDUE, merit_order
from gridagora.market.ration import ration
from gridagora.model.bids import Bids

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cleared:
    """Accepted quantity per bid; per period (ascending) the bounds of the price, NaN without trade."""

    accepted: NDArray[Any]
    period: Ints
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def clear(bids: Bids, rules: AuctionRules) -> Cleared:
    """Clear every period at the highest welfare that the rules allow."""
    if rules.is_plain:
        merit = merit_order(bids)
        return Cleared(accepted=merit.accepted, period=merit.period, low=merit.low, high=merit.high)
    parts = components(bids, rules)
    if len(parts) == 1:
        return _clear_part(bids, rules, kind=parts[0][0])
    period = np.unique(bids.period)
    accepted = np.zeros_like(bids.quantity)
    bounds = np.full((2, len(period)), np.nan)
    for kind, rows in parts:
        part = _clear_part(bids.take(rows), rules.take(rows), kind=kind)
        accepted[rows] = part.accepted
        bounds[:, np.searchsorted(period, part.period)] = part.low, part.high
    return Cleared(accepted=accepted, period=period, low=bounds[0], high=bounds[1])


def _clear_part(bids: Bids, rules: AuctionRules, *, kind: str) -> Cleared:
    if kind == "mixed":
        from gridagora.market._capacity_mixed import clear_mixed

        return clear_mixed(bids, rules)
    if kind == "ordered":
        return _clear_ordered(bids, rules)
    return clear(bids, AuctionRules())


def components(bids: Bids, rules: AuctionRules) -> list[tuple[str, Ints]]:
    """Split the bids into markets that do not touch each other: (how they are cleared, their rows).

    Plain periods are one part, and periods with one ordered buyer another, as each are cleared in one go.
    """
    if len(bids) == 0:
        return [("plain", np.arange(0))]
    period, index = _periods(bids.period)
    label = _joined(bids, rules, index, period=period)
    mixed = np.zeros(len(period), dtype=np.bool_)
    if rules.horizon is not None:
        mixed[:] = True
    if rules.least is not None:
        mixed[index[(rules.least > 0) & (bids.quantity > 0)]] = True
    if rules.links is not None:
        mixed[index[rules.links >= 0]] = True
    ordered = np.zeros(len(period), dtype=np.bool_)
    if rules.ordered:
        buyers, stepped = _buyers(bids, index, len(period))
        ordered = buyers == 1
        mixed |= (buyers > 1) & stepped
    mixed = (np.bincount(label, weights=mixed, minlength=len(period)) > 0)[label]
    kind = np.where(mixed, 2, np.where(ordered, 1, 0))
    if (kind == 1).all():
        return [("ordered", np.arange(len(bids)))]
    parts = [("mixed", np.flatnonzero(label[index] == part)) for part in np.unique(label[mixed]).tolist()]
    for number, name in ((1, "ordered"), (0, "plain")):
        rows = np.flatnonzero((kind == number)[index])
        parts += [(name, rows)] if len(rows) else []
    return parts


def _periods(period: Ints) -> tuple[Ints, Ints]:
    """Distinct periods, ascending, and the position of each bid's."""
    from gridagora.market import _period_kernel

    ascending, starts = _period_kernel.run_starts(period)
    if not ascending:
        return np.unique(period, return_inverse=True)
    return period[starts[:-1]], np.repeat(np.arange(len(starts) - 1), np.diff(starts))


def _buyers(bids: Bids, index: Ints, periods: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Per period the number of buyers, and whether one of them has more than one bid."""
    rows = np.flatnonzero(bids.is_buy & (bids.quantity > 0))
    names = np.unique(bids.participant[rows], return_inverse=True)[1]
    pairs, count = np.unique(np.stack([index[rows], names]), axis=1, return_counts=True)
    stepped = np.zeros(periods, dtype=np.bool_)
    stepped[pairs[0, count > 1]] = True
    return np.bincount(pairs[0], minlength=periods), stepped


def _joined(bids: Bids, rules: AuctionRules, index: Ints, *, period: Ints) -> Ints:
    """Label the component of every period: those of one day, or of one block, belong together."""
    label = np.arange(len(period))
    if rules.horizon is not None:
        label = np.unique(period // rules.horizon.periods_per_day, return_inverse=True)[1]
    if rules.links is not None:
        for link in np.unique(rules.links[rules.links >= 0]).tolist():
            joined = np.unique(label[index[rules.links == link]])
            label[np.isin(label, joined)] = joined[0]
    return label


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderedMarkets:
    """Periods with one ordered buyer each, sorted: steps of the buyer, sells by ascending price.

    ``buys`` and ``sells`` are rows of the bids, ``bought`` and ``offered`` their quantities in units, of
    which
    one is ``inverse`` of quantity; the starts have one entry per period and the end.
    """

    period: Ints
    buys: Ints
    sells: Ints
    buy_starts: Ints
    sell_starts: Ints
    value: NDArray[Any]
    bought: Ints
    cost: NDArray[Any]
    offered: Ints
    inverse: NDArray[Any]
    slack: Any


def ordered_markets(bids: Bids, steps: Ints | None) -> OrderedMarkets:
    """Sort periods with at most one ordered buyer each."""
    from gridagora.market import _capacity_kernels, _period_kernel

    period, index = _periods(bids.period)
    buys, sells = np.flatnonzero(bids.is_buy), np.flatnonzero(~bids.is_buy)
    if steps is not None:
        buys = buys[np.lexsort((steps[buys], index[buys]))]
    else:
        buys = buys[np.argsort(index[buys], kind="stable")]
    cost = bids.price[sells]
    order = _capacity_kernels.ascending_order(cost.view(np.int64), 0 if bids.is_integer else FLOAT_MASK)
    if len(period) > 1:
        order = order[_period_kernel.counting_order(index[sells][order], 0, len(period))]
    sells = sells[order]
    ends = np.arange(len(period) + 1)
    starts = np.searchsorted(index[buys], ends), np.searchsorted(index[sells], ends)
    bought, offered = bids.quantity[buys], bids.quantity[sells]
    inverse: NDArray[Any] = np.ones(len(period), dtype=np.int64)
    if not bids.is_integer:
        bought, offered, inverse = _capacity_kernels.in_units(bought, offered, *starts)
    return OrderedMarkets(
        period=period,
        buys=buys,
        sells=sells,
        buy_starts=starts[0],
        sell_starts=starts[1],
        value=bids.price[buys],
        bought=bought,
        cost=cost[order],
        offered=offered,
        inverse=inverse,
        slack=np.int64(0) if bids.is_integer else np.float64(RELATIVE_RESIDUE),
    )


def _clear_ordered(bids: Bids, rules: AuctionRules) -> Cleared:
    """Clear periods with one ordered buyer each by the breakpoint search."""
    from gridagora.market import _capacity_kernels

    sides = ordered_markets(bids, rules.steps)
    found, prices = _capacity_kernels.clear_ordered(
        (sides.value, sides.bought, sides.buy_starts),
        (sides.cost, sides.offered, sides.sell_starts),
        sides.inverse,
        sides.slack,
        0 if bids.is_integer else int(ABSOLUTE_RESIDUE_UNITS / 2),
    )
    accepted = np.zeros_like(bids.quantity)
    step, step_part, start, stop, _, part, trades = found.T
    _capacity_kernels.accept_ordered(accepted, bids.quantity, sides.buys, sides.buy_starts, step)
    _capacity_kernels.accept_ordered(accepted, bids.quantity, sides.sells, sides.sell_starts, start)
    on = np.flatnonzero(trades)
    last = sides.buys[sides.buy_starts[on] + step[on]]
    accepted[last] = np.minimum(bids.quantity[last], step_part[on] * sides.inverse[on])
    width = (stop - start)[on]
    group = np.repeat(np.arange(len(on)), width)
    offset = np.arange(len(group)) - np.repeat(np.cumsum(width) - width, width)
    level = sides.sells[np.repeat((sides.sell_starts[:-1] + start)[on], width) + offset]
    target = (part[on] * sides.inverse[on]).astype(bids.quantity.dtype)
    accepted[level] = ration(bids=bids, rows=level, weight=bids.quantity[level], group=group, target=target)
    bounds = np.where(trades[:, None] > 0, prices.astype(np.float64), np.nan)
    return Cleared(accepted=accepted, period=sides.period, low=bounds[:, 0], high=bounds[:, 1])
