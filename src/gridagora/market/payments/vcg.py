"""Vickrey-Clarke-Groves payments (F11, F12), two-sided and with one buyer who balances the budget."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._capacity_clear import OrderedMarkets, components, ordered_markets
from gridagora.market.merit import FLOAT_MASK
from gridagora.market.payments.game import Market, Part, parts
from gridagora.model.results import sum_by

Ints = NDArray[np.int64]
Entries = tuple[Ints, Ints, NDArray[Any]]
"""Part of the market, player, payment."""


def vcg(market: Market) -> NDArray[Any]:
    """Pay each player v(N) - v(N without it) - w (F11): its externality; the operator bears the deficit."""
    _, player, amount = _payments(market)
    paid: NDArray[Any] = np.zeros(len(market.names), dtype=amount.dtype)
    np.add.at(paid, player, amount)  # entries come period by period, whatever the order of the bids
    return paid


def vcg_one_sided(market: Market) -> NDArray[Any]:
    """Pay sellers as `vcg` does, and let the buyers pay the sum in proportion to what they bought.

    Within each part of the market: those who sell more than they buy are sellers; one buyer pays it all
    (seed 003, section 3.4.6).
    """
    part, player, amount = _payments(market)
    net = _net_bought(market, part, player)
    sells = net < 0
    out = np.where(sells, amount, 0).astype(np.float64)
    count = int(part.max(initial=-1)) + 1
    due = sum_by(part[sells], out[sells], count)
    bought = np.where(net > 0, net, 0).astype(np.float64)
    total = sum_by(part, bought, count)
    out -= bought * np.divide(due, total, out=np.zeros(count), where=total > 0)[part]
    return sum_by(player, out, len(market.names))


def _net_bought(market: Market, part: Ints, player: Ints) -> NDArray[Any]:
    label = _labels(market)
    width = len(market.names)
    key = label * width + market.owner
    net = sum_by(key, market.bids.side * market.accepted, (int(label.max(initial=0)) + 1) * width)
    bought: NDArray[Any] = net[part * width + player]
    return bought


def _labels(market: Market) -> Ints:
    """Part of every bid: its period, or the first period of those that are cleared together."""
    label = np.searchsorted(market.period, market.bids.period)
    if market.rules.joins_periods:
        for how, rows in components(market.bids, market.rules):
            if how == "mixed":
                label[rows] = label[rows].min()
    return label


def _payments(market: Market) -> Entries:
    """Payments of every player in every part it bids in."""
    if market.rules.is_plain:
        return _by_curves(market)
    pieces = parts(market)
    label, player, amount = [], [], []
    for part in pieces:
        at = int(np.searchsorted(market.period, part.bids.period.min()))
        value = sum_by(part.owner, part.bids.side * part.bids.price * part.accepted, len(part.players))
        label.append(np.full(len(part.players), at))
        player.append(part.players)
        amount.append(_contributions(part) - value)
    if not pieces:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(label), np.concatenate(player), np.concatenate(amount)


def _by_curves(market: Market) -> Entries:
    """Plain merit order: everyone's externality from the one sorted curve of its period."""
    from gridagora.market import _period_kernel
    from gridagora.market.payments import _vcg_kernel

    bids = market.bids
    rows = np.flatnonzero(bids.quantity > 0)
    index = np.searchsorted(market.period, bids.period[rows])
    traded = ~np.isnan(market.price)[index]
    rows, index = rows[traded], index[traded]
    if len(rows) == 0:
        return rows, rows, market.accepted[rows]
    columns = bids.price[rows], bids.side[rows], bids.quantity[rows]
    order = _ascending(columns, index, len(market.period))
    rows, index = rows[order], index[order]
    _, starts = _period_kernel.run_starts(index)
    reference = market.price[index[starts[:-1]]].astype(bids.price.dtype)
    price, side, quantity = (column[order] for column in columns)
    given = market.accepted[rows]
    return _vcg_kernel.payments(
        (price, side, quantity, given), market.owner[rows], index, starts, reference, len(market.names)
    )


def _ascending(columns: tuple[NDArray[Any], ...], index: Ints, periods: int) -> Ints:
    """Order by period and price, equal prices by side and quantity, so that sums depend on no order."""
    from gridagora.market import _capacity_kernels, _period_kernel

    price, side, quantity = columns
    mask = 0 if price.dtype.kind == "i" else FLOAT_MASK
    order = _capacity_kernels.ascending_order(price.view(np.int64), mask)
    ranked = price[order]
    if (ranked[1:] == ranked[:-1]).any():
        order = _capacity_kernels.ascending_order(quantity.view(np.int64), mask)
        order = order[_period_kernel.counting_order(side[order].astype(np.int64), -1, 3)]
        order = order[_capacity_kernels.ascending_order(price[order].view(np.int64), mask)]
    return order if periods == 1 else order[_period_kernel.counting_order(index[order], 0, periods)]


def _contributions(part: Part) -> NDArray[Any]:
    """v(N) - v(N without i) of every player of a part; nothing changes without one who does not trade."""
    out = np.zeros(len(part.players))
    trading = np.unique(part.owner[part.accepted > 0])
    buyers = np.unique(part.owner[part.bids.is_buy])
    if part.kind == "mixed" or len(buyers) != 1 or len(trading) == 0:
        everyone = np.ones(len(part.players), dtype=np.bool_)
        for player in trading.tolist():
            others = everyone.copy()
            others[player] = False
            out[player] = part.welfare - part.value(others)
        return np.maximum(out, 0.0)
    return _without(part, trading, ordered_markets(part.bids, part.rules.steps))


def _without(part: Part, trading: Ints, sides: OrderedMarkets) -> NDArray[Any]:
    """One buyer: each seller from the residual supply curve, the buyer from nothing left to sell to."""
    from gridagora.market import _capacity_kernels

    buyer = int(part.owner[sides.buys[0]])
    wanted = np.zeros(len(part.players), dtype=np.bool_)
    wanted[trading] = True
    wanted[buyer] = False
    rest = _capacity_kernels.values_without(
        sides.value,
        sides.bought,
        sides.cost,
        sides.offered,
        part.owner[sides.sells],
        wanted,
        sides.inverse[0],
    )
    out = np.where(wanted, np.maximum(part.welfare - rest, 0.0), 0.0)
    out[buyer] = part.welfare
    return out
