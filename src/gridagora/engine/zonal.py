"""The markets of zones in a session: each zone covers itself, then trades with siblings, then the bulk grid.

Homes bid what energy is worth to them; what they pay and ask in a market stays between the retailer's two
prices, since the bulk grid stands behind every zone.  A zone that is cut off clears by itself: its firm load
is served by whatever its own supply asks, up to the value of lost load.

What is matched here is not yet a trade: the controllers decide (`gridagora.engine.zone_desk`).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridagora.engine.pool import PoolOrders
from gridagora.errors import require
from gridagora.market.islanding import island
from gridagora.market.zonal import GateLimits, hierarchical_clearing
from gridagora.market.zonal_joint import joint_clearing
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.pairing import pair_accepted
from gridagora.model.study import Study
from gridagora.model.zone_columns import ZonalClearing, ZoneTrades
from gridagora.model.zone_study import ZoneRules
from gridagora.settlement import Prices
from gridagora.units import to_micro

NOTHING = -1
"""Price where nothing was traded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnZones:
    """A session cleared in zones: its orders, Wh matched and micro-currency x Wh / kWh per order, prices."""

    orders: PoolOrders
    accepted: Ints
    paid: Floats
    clearing_price: Floats
    zonal: ZonalClearing


@dataclass(frozen=True, kw_only=True, slots=True)
class _Placed:
    """The orders of a session in their zones: rows of the session, positions of zones and islands.

    ``island`` is that of each order, ``islands`` that of each zone in each period.
    """

    first: int
    orders: PoolOrders
    bids: Bids
    row: Ints
    zone: Ints
    island: Ints
    islands: Ints
    firm: NDArray[np.bool_]


class _Tables:
    """What the markets of a session made, filled one by one; shapes as in `ZonalClearing`."""

    def __init__(self, orders: int, depths: int, *, shape: tuple[int, int]) -> None:
        self.matched = np.zeros((depths, orders), np.int64)
        self.in_island = np.zeros(orders, np.int64)
        self.price = np.full(shape, NOTHING, np.int64)
        self.volume = np.zeros(shape, np.int64)
        self.imports = np.zeros(shape, np.int64)
        self.not_served = np.zeros(shape, np.int64)
        self.joint_price = np.full(shape, np.nan)
        self.joint_imports = np.zeros(shape)
        self.joint_accepted = np.zeros(orders)


def clear_zones(
    orders: PoolOrders, study: Study, prices: Prices, *, first: int, count: int, fixed_kw: Floats
) -> OnZones:
    """Clear the zones of a session, and beside that all of them jointly.

    Parameters
    ----------
    orders : homes' orders and the retailer's, as they come from the pool
    study, prices : homes, zones, and the retailer's prices
    first, count : the session's periods
    fixed_kw : net import of homes that do not trade, kW, (periods, homes): it takes room in the gates

    Notes
    -----
    MARKETS.md section 5.  Load that must run is what bids the value of lost load.
    """
    rules = study.zones
    require(rules is not None, "a zonal market needs the zones of its study")
    placed = _placed(orders, study, prices, rules=rules, first=first, count=count)  # type: ignore[arg-type]
    return _cleared(placed, study, rules=rules, first=first, fixed_kw=fixed_kw)  # type: ignore[arg-type]


def _placed(
    orders: PoolOrders, study: Study, prices: Prices, *, rules: ZoneRules, first: int, count: int
) -> _Placed:
    """Put orders into their zones, and their prices between those of the retailer."""
    firm = (orders.side > 0) & (orders.price >= to_micro(study.market.value_of_lost_load))
    firm &= orders.participant < len(study.homes)
    capped = np.where(
        orders.side > 0,
        np.minimum(orders.price, prices.retail[orders.period]),
        np.maximum(orders.price, prices.feed_in[orders.period]),
    )
    orders = replace(orders, price=capped.astype(np.int64))
    zone = np.append(rules.of_home, rules.tree.root)[orders.participant]
    row = orders.period - first
    bids = Bids(
        side=orders.side,
        price=orders.price,
        quantity=orders.quantity,
        participant=orders.participant,
        period=orders.period,
        node=np.array(rules.tree.names, dtype=np.str_)[zone],
    )
    islands = rules.islands(first, count)
    return _Placed(
        first=first,
        orders=orders,
        bids=bids,
        row=row,
        zone=zone,
        island=islands[row, zone],
        islands=islands,
        firm=firm,
    )


def _cleared(placed: _Placed, study: Study, *, rules: ZoneRules, first: int, fixed_kw: Floats) -> OnZones:
    tree, count = rules.tree, len(fixed_kw)
    depths = int(tree.depth.max()) + 1
    made = _Tables(len(placed.row), depths, shape=(count, len(tree.zones)))
    rooms = gate_rooms_kw(rules, fixed_kw, first=first)
    gates = GateLimits(period=np.arange(first, first + count), import_kw=rooms[0], export_kw=rooms[1])
    _clear_joined(placed, made, rules, gates=gates, hours=study.axis.hours)
    for zone in np.unique(placed.island[placed.island >= 0]).tolist():
        _clear_island(placed, made, rules, zone=zone, lost=int(to_micro(study.market.value_of_lost_load)))
    _price_islands(made, placed.islands)
    trades, matched = _trades(placed, made, rules, homes=len(study.homes))
    accepted = accepted_by(trades, matched, orders=len(placed.row))
    return OnZones(
        orders=placed.orders,
        accepted=accepted,
        paid=paid_by(trades, matched, orders=len(accepted)),
        clearing_price=np.where(made.price[:, tree.root] < 0, np.nan, made.price[:, tree.root] * 1.0),
        zonal=ZonalClearing(
            zones=tree.names,
            island=placed.islands,
            price=made.price,
            volume_wh=made.volume,
            import_wh=made.imports,
            not_served_wh=made.not_served,
            joint_price=made.joint_price,
            joint_import_wh=made.joint_imports,
            firm=placed.firm,
            welfare=_welfare(placed, accepted, count),
            joint_welfare=_welfare(placed, made.joint_accepted, count),
            trades=trades,
        ),
    )


def gate_rooms_kw(rules: ZoneRules, fixed_kw: Floats, *, first: int) -> tuple[Floats, Floats]:
    """Return what trades may take through the gates, (import, export) kW, (periods, zones).

    Homes that do not trade use the gates too, as far as is foreseen; an open gate lets nothing through.
    """
    window = slice(first, first + len(fixed_kw))
    used = within_zones(rules, fixed_kw)
    open_gate = rules.cut[window]
    rooms = (rules.import_kw[window] - used, rules.export_kw[window] + used)
    inwards, outwards = (np.where(open_gate, 0.0, np.maximum(room, 0.0)) for room in rooms)
    return inwards, outwards


def within_zones(rules: ZoneRules, values: Floats) -> Floats:
    """Sum values of homes, (periods, homes), in each zone and the zones inside it, (periods, zones)."""
    total = np.zeros((len(values), len(rules.tree.zones)))
    for around in rules.tree.ancestors():
        place = around[rules.of_home]
        inside = np.flatnonzero(place >= 0)
        np.add.at(total.T, place[inside], np.ascontiguousarray(values[:, inside].T))
    return total


def _clear_joined(
    placed: _Placed, made: _Tables, rules: ZoneRules, *, gates: GateLimits, hours: float
) -> None:
    """Clear all zones that are joined to the bulk grid, in turn and jointly."""
    rows = np.flatnonzero(placed.island < 0)
    if not len(rows):
        return
    bids = placed.bids.take(rows)
    found = hierarchical_clearing(bids, rules.tree, transfer_kw=gates, period_h=hours)
    at = found.period - placed.first
    made.matched[:, rows] = found.by_depth
    price = np.rint(found.price)
    made.price[at] = np.where(np.isnan(price), NOTHING, price)
    made.volume[at], made.imports[at] = found.volume, found.imports
    joint = joint_clearing(bids, rules.tree, transfer_kw=gates, period_h=hours)
    made.joint_accepted[rows] = joint.accepted
    traded = np.bincount(placed.row[rows], weights=joint.accepted, minlength=len(made.price))[at] > 0
    made.joint_price[at], made.joint_imports[at] = (
        np.where(traded[:, None], joint.price, np.nan),
        joint.imports,
    )


def _clear_island(placed: _Placed, made: _Tables, rules: ZoneRules, *, zone: int, lost: int) -> None:
    """Clear an island in all periods of the session in which it is one."""
    rows = np.flatnonzero(placed.island == zone)
    name = rules.tree.names[zone]
    found = island(name, placed.bids.take(rows), rules.tree, value_of_lost_load=lost, firm=placed.firm[rows])
    rows = rows[found.rows]
    at = placed.row[rows]
    made.in_island[rows] = found.served
    made.joint_accepted[rows] = found.served
    np.add.at(made.not_served, (at, placed.zone[rows]), found.not_served.astype(np.int64))
    bought = placed.bids.is_buy[rows]
    np.add.at(made.volume[:, zone], at[bought], found.served[bought].astype(np.int64))
    price = np.rint(found.price)
    made.price[found.period - placed.first, zone] = np.where(np.isnan(price), NOTHING, price)


def _price_islands(made: _Tables, islands: Ints) -> None:
    """Give all zones of an island the price of its market."""
    row, zone = np.nonzero(islands >= 0)
    made.price[row, zone] = made.price[row, islands[row, zone]]
    told = made.price[row, zone]
    made.joint_price[row, zone] = np.where(told < 0, np.nan, told)
    made.joint_imports[row, zone] = 0.0


def _welfare(placed: _Placed, accepted: Ints | Floats, count: int) -> Floats:
    worth = placed.orders.side * placed.orders.price * np.asarray(accepted, np.float64)
    return np.asarray(np.bincount(placed.row, weights=worth, minlength=count))


def _trades(
    placed: _Placed, made: _Tables, rules: ZoneRules, *, homes: int
) -> tuple[ZoneTrades, NDArray[np.bool_]]:
    """Pair what was matched in each market, and add firm load that found no supply: shortages, not matched.

    Who would trade with itself does not: what it makes and uses needs no market.
    """
    ancestors = rules.tree.ancestors()
    markets = [(made.matched[depth], around[placed.zone]) for depth, around in enumerate(ancestors)]
    markets.append((made.in_island, placed.island))
    parts = [_pairs(placed, *market) for market in markets]
    parts.append(_lacking(placed, made, homes=homes, root=rules.tree.root))
    buy, sell, wh, market = (np.concatenate([part[k] for part in parts]) for k in range(4))
    matched = np.arange(len(buy)) < len(buy) - len(parts[-1][0])
    keep = placed.orders.participant[buy] != placed.orders.participant[sell]
    buy, sell, wh, market, matched = buy[keep], sell[keep], wh[keep], market[keep], matched[keep]
    orders, row = placed.orders, placed.row[buy]
    price = made.price[row, market]
    price = np.where(price == NOTHING, orders.price[buy], price)
    order = np.lexsort(
        (
            sell,
            buy,
            orders.price[sell],
            -orders.price[buy],
            -rules.tree.depth[market],
            orders.participant[sell] == homes,
            row,
        )
    )
    buy, sell = buy[order], sell[order]
    trades = ZoneTrades(
        period=orders.period[buy],
        market=market[order],
        buyer=orders.participant[buy],
        seller=orders.participant[sell],
        buyer_zone=placed.zone[buy],
        seller_zone=placed.zone[sell],
        buy_row=buy,
        sell_row=sell,
        quantity_wh=wh[order],
        price=price[order],
    )
    return trades, matched[order]


def _pairs(placed: _Placed, matched: Ints, market: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Pair the orders of the markets of one depth: rows of buys and of sells, Wh, positions of markets."""
    rows = np.flatnonzero(matched > 0)
    bids = placed.bids.take(rows)
    zones = int(market.max(initial=0)) + 1
    apart = Bids(
        side=bids.side,
        price=bids.price,
        quantity=bids.quantity,
        participant=bids.participant,
        period=placed.row[rows] * zones + market[rows],
    )
    buy, sell, wh = pair_accepted(apart, matched[rows])
    return rows[buy], rows[sell], wh.astype(np.int64), market[rows][buy]


def _lacking(placed: _Placed, made: _Tables, *, homes: int, root: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Return firm load without supply as asked of the retailer, in the market of the bulk grid."""
    orders = placed.orders
    lacks = orders.quantity - made.matched.sum(axis=0) - made.in_island
    buy = np.flatnonzero(placed.firm & (lacks > 0))
    sold = np.flatnonzero((orders.participant == homes) & (orders.side < 0))
    by_row = np.zeros(int(placed.row.max(initial=0)) + 1, np.int64)
    by_row[placed.row[sold]] = sold
    return buy, by_row[placed.row[buy]], lacks[buy], np.full(len(buy), root, np.int64)


def paid_by(trades: ZoneTrades, stands: NDArray[np.bool_], *, orders: int) -> Floats:
    """Return what orders get (+) and pay (-) for the trades that stand, micro-currency x Wh / kWh."""
    money = (trades.price * trades.quantity_wh * stands).astype(np.float64)
    paid = np.zeros(orders)
    np.add.at(paid, trades.sell_row, money)
    np.add.at(paid, trades.buy_row, -money)
    return paid


def accepted_by(trades: ZoneTrades, stands: NDArray[np.bool_], *, orders: int) -> Ints:
    """Return the Wh of each order in the trades that stand."""
    wh = np.where(stands, trades.quantity_wh, 0)
    accepted = np.zeros(orders, np.int64)
    np.add.at(accepted, trades.sell_row, wh)
    np.add.at(accepted, trades.buy_row, wh)
    return accepted
