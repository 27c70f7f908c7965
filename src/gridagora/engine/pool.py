"""The local pool of a session.

Homes' bids, the retailer's two orders beside them, cleared in whole numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.bids import Bids
from gridagora.model.columns import Floats, Ints
from gridagora.model.events import AuctionCleared
from gridagora.model.results import ClearingResult
from gridagora.model.study import MarketRules, Study
from gridagora.settlement import Prices
from gridagora.units import WH_PER_KWH, to_micro, to_wh

Mechanism = Callable[[Bids], ClearingResult]
BEYOND_WH = 1_000_000
"""What the retailer offers beyond all local bids where no limit binds: its order is never the scarce side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolOrders:
    """Columns of a session's orders in whole numbers: micro-currency per kWh, Wh."""

    participant: Ints
    period: Ints
    side: np.ndarray
    price: Ints
    quantity: Ints


def pool_orders(
    bids: Bids, *, first: int, count: int, homes: int, prices: Prices, rules: MarketRules, hours: float
) -> PoolOrders:
    """Return the homes' bids in whole numbers with the retailer's orders after them (none when islanded).

    The retailer sells at the retail price up to the import limit and buys at the feed-in price up to the
    export limit (MARKETS section 2); ``homes`` is its participant code.
    """
    quantity = to_wh(bids.quantity)
    if rules.islanded:
        upstream = (np.zeros(0, np.int64),) * 3
        side = np.zeros(0, np.int8)
    else:
        local = np.bincount(np.asarray(bids.period) - first, weights=quantity, minlength=count)
        enough = local.astype(np.int64) + BEYOND_WH
        period = np.tile(np.arange(first, first + count), 2)
        price = np.concatenate([prices.retail[first : first + count], prices.feed_in[first : first + count]])
        limits = [
            _limit_wh(rules.import_limit_kw, hours, enough),
            _limit_wh(rules.export_limit_kw, hours, enough),
        ]
        upstream = (period, price, np.concatenate(limits))
        side = np.repeat(np.array([-1, 1], np.int8), count)
    return PoolOrders(
        participant=np.concatenate([np.asarray(bids.participant, np.int64), np.full(len(side), homes)]),
        period=np.concatenate([bids.period, upstream[0]]),
        side=np.concatenate([bids.side, side]),
        price=np.concatenate([to_micro(bids.price), upstream[1]]),
        quantity=np.concatenate([quantity, upstream[2]]),
    )


def _limit_wh(limit_kw: float, hours: float, enough: Ints) -> Ints:
    if np.isinf(limit_kw):
        return enough
    return np.minimum(enough, int(limit_kw * hours * WH_PER_KWH))


def positions(participant: Ints, row: Ints, values: Ints | Floats, *, shape: tuple[int, int]) -> Floats:
    """Sum values per period (row) and participant (column)."""
    flat = np.bincount(row * shape[1] + participant, weights=values, minlength=shape[0] * shape[1])
    return np.asarray(flat, dtype=np.float64).reshape(shape)


def nominated_kwh(cleared: AuctionCleared, study: Study, *, prices: Prices) -> tuple[Floats, Floats]:
    """Return what each home takes and gives after the auction, kWh, each of shape (homes, periods).

    That is what was accepted, and what is firm although it was not: a bid at the retailer's own price that
    found no partner is bought from (sold to) the retailer at that price, while a device that bid what it is
    worth to it stays off.  Where homes do not bid values (zero intelligence, fixed margin) the whole plan is
    firm, but for a surplus that the retailer wants money for: it is curtailed.  Nothing is firm on an island,
    beyond a limit of the upstream connection, or where the market knows the wires; in zones only load that
    must run is.
    """
    homes, count = len(study.homes), len(cleared.clearing_price)
    row = cleared.period - cleared.first
    buys, local = cleared.side > 0, cleared.participant < homes
    firm = _firm_in_pool(cleared, study, prices) if cleared.zonal is None else firm_in_zones(cleared, study)
    wh = np.where(firm, cleared.quantity, cleared.accepted)

    def table(rows: NDArray[np.bool_]) -> Floats:
        chosen = rows & local
        shape = (count, homes)
        return positions(cleared.participant[chosen], row[chosen], wh[chosen], shape=shape).T / WH_PER_KWH

    return table(buys), table(~buys)


def _firm_in_pool(cleared: AuctionCleared, study: Study, prices: Prices) -> NDArray[np.bool_]:
    rules, buys = study.market, cleared.side > 0
    whole = study.agents.bidding != "truthful"
    retail, feed_in = prices.retail[cleared.period], prices.feed_in[cleared.period]
    firm_buy = np.isinf(rules.import_limit_kw) & (whole | (cleared.price >= retail))
    firm_sell = np.isinf(rules.export_limit_kw) & ((whole & (feed_in >= 0)) | (cleared.price <= feed_in))
    firm = np.where(buys, firm_buy, firm_sell) & (not rules.islanded and rules.mechanism != "network")
    return np.asarray(firm, dtype=np.bool_)


def firm_in_zones(cleared: AuctionCleared, study: Study) -> NDArray[np.bool_]:
    """Return which orders are load that runs although it was not traded: not on an island, where it is shed.

    The retailer sells what it takes, since a controller can stop a trade, but no load.
    """
    if cleared.zonal is None or study.zones is None:
        raise TypeError(cleared)
    zone = np.append(study.zones.of_home, study.zones.tree.root)[cleared.participant]
    joined = cleared.zonal.island[cleared.period - cleared.first, zone] < 0
    return np.asarray(cleared.zonal.firm & joined, dtype=np.bool_)
