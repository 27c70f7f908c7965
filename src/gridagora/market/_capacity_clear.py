"""Clearing under the rules of a capacity-limit auction: merit order, one ordered buyer by search, the rest by MILP."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._capacity_rules import AuctionRules
from gridagora.market.merit import ABSOLUTE_RESIDUE_UNITS, RELATIVE_RESIDUE, merit_order
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


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderedMarket:
    """One period with one ordered buyer, sorted: steps of the buyer, sells by ascending price, in integer units.

    ``buys`` and ``sells`` are rows of the bids; ``inverse`` turns units into quantity.
    """

    buys: Ints
    sells: Ints
    value: NDArray[Any]
    bought: Ints
    cost: NDArray[Any]
    offered: Ints
    inverse: Any
    slack: Any


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
    """Split the bids into markets that do not touch each other: (how each is cleared, its rows).

    All plain periods are one part, as they are cleared in one go.
    """
    if len(bids) == 0:
        return [("plain", np.arange(0))]
    period, index = np.unique(bids.period, return_inverse=True)
    label = _joined(bids, rules, index, len(period))
    mixed = np.zeros(len(period), dtype=np.bool_)
    if rules.horizon is not None:
        mixed[:] = True
    if rules.least is not None:
        mixed[index[(rules.least > 0) & (bids.quantity > 0)]] = True
    if rules.links is not None:
        mixed[index[rules.links >= 0]] = True
    ordered = np.zeros(len(period), dtype=np.bool_)
    if rules.ordered:
        buys = bids.is_buy & (bids.quantity > 0)
        names = np.unique(bids.participant[buys], return_inverse=True)[1]
        pairs = np.unique(np.stack([index[buys], names]), axis=1)
        buyers = np.bincount(pairs[0], minlength=len(period))
        ordered = buyers == 1
        mixed |= (buyers > 1) & _has_steps(bids, index, len(period))
    mixed = (np.bincount(label, weights=mixed, minlength=len(period)) > 0)[label]
    parts = [("mixed", np.flatnonzero(label[index] == part)) for part in np.unique(label[mixed]).tolist()]
    ordered &= ~mixed
    parts += [("ordered", np.flatnonzero(index == at)) for at in np.flatnonzero(ordered)]
    plain = np.flatnonzero((~mixed & ~ordered)[index])
    return parts + ([("plain", plain)] if len(plain) else [])


def _has_steps(bids: Bids, index: Ints, periods: int) -> NDArray[np.bool_]:
    """Periods where a buyer has more than one bid, so that their order matters."""
    rows = np.flatnonzero(bids.is_buy)
    names = np.unique(bids.participant[rows], return_inverse=True)[1]
    pairs, count = np.unique(np.stack([index[rows], names]), axis=1, return_counts=True)
    out = np.zeros(periods, dtype=np.bool_)
    out[pairs[0, count > 1]] = True
    return out


def _joined(bids: Bids, rules: AuctionRules, index: Ints, periods: int) -> Ints:
    """Number of the component of every period: those of one day, or of one block, belong together."""
    label = np.arange(periods)
    if rules.horizon is not None:
        days = np.unique(bids.period)[label] // rules.horizon.periods_per_day
        label = np.unique(days, return_inverse=True)[1]
    if rules.links is not None:
        for link in np.unique(rules.links[rules.links >= 0]).tolist():
            joined = np.unique(label[index[rules.links == link]])
            label[np.isin(label, joined)] = joined[0]
    return np.unique(label, return_inverse=True)[1]


def ordered_market(bids: Bids, rules: AuctionRules) -> OrderedMarket | None:
    """Sort one period with one ordered buyer; None when there is nothing to trade."""
    from gridagora.market import _capacity_kernels

    buys = np.flatnonzero(bids.is_buy)
    sells = np.flatnonzero(~bids.is_buy)
    if len(buys) == 0 or len(sells) == 0:
        return None
    if rules.steps is not None:
        buys = buys[np.argsort(rules.steps[buys], kind="stable")]
    cost = bids.price[sells]
    order = np.argsort(cost, kind="stable")
    sells, cost = sells[order], cost[order]
    bought, offered = bids.quantity[buys], bids.quantity[sells]
    inverse, slack = np.int64(1), np.int64(0)
    if not bids.is_integer:
        unit = _capacity_kernels.power_of_two_unit(bought, offered)
        bought, offered = (
            _capacity_kernels.whole_units(bought, unit),
            _capacity_kernels.whole_units(offered, unit),
        )
        inverse, slack = np.float64(1 / unit), np.float64(RELATIVE_RESIDUE)
    return OrderedMarket(
        buys=buys,
        sells=sells,
        value=bids.price[buys],
        bought=bought,
        cost=cost,
        offered=offered,
        inverse=inverse,
        slack=slack,
    )


def ordered_welfare(market: OrderedMarket) -> tuple[Any, int]:
    """Highest welfare of one ordered buyer, and the largest quantity (in units) that reaches it."""
    from gridagora.market import _capacity_kernels

    welfare, quantity = _capacity_kernels.best_prefix(
        market.value, market.bought, market.cost, market.offered, market.inverse, market.slack
    )
    return welfare, int(quantity)


def _clear_ordered(bids: Bids, rules: AuctionRules) -> Cleared:
    """Clear one period with one ordered buyer by the breakpoint search."""
    from gridagora.market import _capacity_kernels

    accepted = np.zeros_like(bids.quantity)
    nothing = np.array([np.nan])
    idle = Cleared(accepted=accepted, period=bids.period[:1].copy(), low=nothing, high=nothing)
    market = ordered_market(bids, rules)
    quantity = 0 if market is None else ordered_welfare(market)[1]
    residue = 0 if bids.is_integer else int(RELATIVE_RESIDUE * quantity + ABSOLUTE_RESIDUE_UNITS / 2)
    if market is None or quantity <= residue:
        return idle
    margin = _capacity_kernels.margin_at(
        market.value, market.bought, market.cost, market.offered, quantity, residue
    )
    accepted[market.buys[: margin.step]] = bids.quantity[market.buys[: margin.step]]
    last = market.buys[margin.step]
    accepted[last] = min(bids.quantity[last], margin.step_part * market.inverse)
    accepted[market.sells[: margin.start]] = bids.quantity[market.sells[: margin.start]]
    level = market.sells[margin.start : margin.stop]
    accepted[level] = ration(
        bids=bids,
        rows=level,
        weight=bids.quantity[level],
        group=np.zeros(len(level), dtype=np.int64),
        target=np.array([margin.level_part * market.inverse], dtype=bids.quantity.dtype),
    )
    return Cleared(
        accepted=accepted,
        period=idle.period,
        low=np.array([float(margin.low)]),
        high=np.array([float(margin.high)]),
    )
