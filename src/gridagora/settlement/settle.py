"""Settlement of delivered periods: trades, imbalance, network tariff and taxes, in whole micro-units.

For each participant and period (MARKETS section 10)::

    energy     = sum of trades:  + sold Wh x price, - bought Wh x price
    retail     = what was nominated beyond the trades: bought at retail, sold at feed-in
    imbalance  = metered - nominated: short Wh bought at imbalance_short, long Wh sold at imbalance_long;
                 as a balance group: at the group's price, and what stays uncovered at that price plus or
                 minus the spread (`group_price`)
    network    = - network x (metered import - (1 - local_network_share) x local energy taken from the grid)
    taxes      = - taxes x metered import

Amounts are + received, - paid.  A home nominates at gate closure what it means to take or give; a bid that
was
not met leaves that to the retailer.  Without a market, and for passive homes at any time, all energy is due
with
the retailer: import at the retail price, export at the feed-in price, no imbalance.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.model.columns import PoolTrades, SettlementLines
from gridagora.model.study import Tariffs
from gridagora.settlement.trades import share_rows
from gridagora.units import amount_micro, to_micro

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """Tariffs in whole micro-currency per kWh, one entry per period."""

    retail: Ints
    feed_in: Ints
    network: Ints
    taxes: Ints
    imbalance_short: Ints
    imbalance_long: Ints
    local_network_share: float
    imbalance_netted: bool = False

    @classmethod
    def from_tariffs(cls, tariffs: Tariffs) -> "Prices":
        """Round tariffs once to whole micro-currency per kWh."""
        names = ("retail", "feed_in", "network", "taxes", "imbalance_short", "imbalance_long")
        columns = {name: to_micro(getattr(tariffs, name)) for name in names}
        return cls(
            **columns,
            local_network_share=tariffs.local_network_share,
            imbalance_netted=tariffs.imbalance_netted,
        )

    def window(self, first: int, count: int) -> "Prices":
        """Return the prices of ``count`` periods from ``first``."""
        cut = slice(first, first + count)
        return Prices(
            retail=self.retail[cut],
            feed_in=self.feed_in[cut],
            network=self.network[cut],
            taxes=self.taxes[cut],
            imbalance_short=self.imbalance_short[cut],
            imbalance_long=self.imbalance_long[cut],
            local_network_share=self.local_network_share,
            imbalance_netted=self.imbalance_netted,
        )


def settle(
    trades: PoolTrades,
    metered_wh: Ints,
    prices: Prices,
    *,
    first: int = 0,
    nominated_wh: Ints | None = None,
) -> SettlementLines:
    """Settle periods of a pool: see the module's formulas.

    Parameters
    ----------
    trades : the pool's trades of these periods
    metered_wh : net import at the meter, + import, shape (periods, homes)
    prices : tariffs of these periods
    first : number of the first period
    nominated_wh : net import that homes announced at gate closure, Wh, shape (periods, homes); what they
        traded when left out

    Examples
    --------
    >>> t = PoolTrades(period=np.array([0]), buyer=np.array([0]), seller=np.array([1]),
    ...     quantity_wh=np.array([1000]), buyer_price=np.array([200_000]), seller_price=np.array([200_000]))
    >>> p = Prices(**{k: np.array([v]) for k, v in dict(retail=300_000, feed_in=80_000, network=100_000,
    ...     taxes=20_000, imbalance_short=330_000, imbalance_long=70_000).items()}, local_network_share=1.0)
    >>> lines = settle(t, np.array([[1100, -1000]]), p)
    >>> lines.energy.tolist(), lines.imbalance.tolist(), lines.network.tolist()
    ([[-200000, 200000]], [[-33000, 0]], [[-110000, 0]])
    """
    homes = metered_wh.shape[1]
    row = trades.period - first
    bought, sold = np.zeros_like(metered_wh), np.zeros_like(metered_wh)
    local_bought, local_sold, energy = (np.zeros_like(metered_wh) for _ in range(3))
    local = (trades.buyer < homes) & (trades.seller < homes)
    buys, sells = trades.buyer < homes, trades.seller < homes
    np.add.at(bought, (row[buys], trades.buyer[buys]), trades.quantity_wh[buys])
    np.add.at(sold, (row[sells], trades.seller[sells]), trades.quantity_wh[sells])
    np.add.at(local_bought, (row[local], trades.buyer[local]), trades.quantity_wh[local])
    np.add.at(local_sold, (row[local], trades.seller[local]), trades.quantity_wh[local])
    paid = amount_micro(trades.quantity_wh, trades.buyer_price)
    received = amount_micro(trades.quantity_wh, trades.seller_price)
    np.subtract.at(energy, (row[buys], trades.buyer[buys]), paid[buys])
    np.add.at(energy, (row[sells], trades.seller[sells]), received[sells])
    in_pool = bought - sold
    traded = in_pool if nominated_wh is None else nominated_wh
    return SettlementLines(
        traded_wh=traded,
        local_bought_wh=local_bought,
        local_sold_wh=local_sold,
        energy=energy,
        retail=_with_retailer(traded - in_pool, prices.retail, prices.feed_in),
        imbalance=_imbalance(metered_wh - traded, traded, prices),
        network=_network(metered_wh, local_bought, prices),
        taxes=-amount_micro(np.maximum(metered_wh, 0), prices.taxes[:, None]),
    )


def settle_without_market(metered_wh: Ints, prices: Prices) -> SettlementLines:
    """Settle periods with the retailer alone.

    Import at retail, export at feed-in, network and taxes on import.
    """
    zero = np.zeros_like(metered_wh)
    return SettlementLines(
        traded_wh=metered_wh,
        local_bought_wh=zero,
        local_sold_wh=zero,
        energy=zero,
        retail=_with_retailer(metered_wh, prices.retail, prices.feed_in),
        imbalance=zero,
        network=_network(metered_wh, zero, prices),
        taxes=-amount_micro(np.maximum(metered_wh, 0), prices.taxes[:, None]),
    )


def _imbalance(difference_wh: Ints, nominated_wh: Ints, prices: Prices) -> Ints:
    """Money for imbalance: each participant alone, or as a balance group."""
    if not prices.imbalance_netted:
        return _with_retailer(difference_wh, prices.imbalance_short, prices.imbalance_long)
    price = group_price(nominated_wh.sum(axis=1), difference_wh.sum(axis=1), prices)
    netted = net_out(difference_wh)
    rest = _with_retailer(
        difference_wh - netted,
        price + prices.imbalance_short - prices.retail,
        price - (prices.feed_in - prices.imbalance_long),
    )
    return np.asarray(rest - amount_micro(np.abs(netted), price[:, None]) * np.sign(netted), dtype=np.int64)


def group_price(nominated_wh: Ints, difference_wh: Ints, prices: Prices) -> Ints:
    """Return what a kWh of the group's imbalance costs its retailer, micro-currency per kWh, per period.

    The group as a whole imports at the retail and exports at the feed-in price, cost(x); its imbalance d from
    the nomination u costs ``(cost(u + d) - cost(u)) / d``: feed-in while the feeder exports anyway, retail
    while it imports, between where it crosses over.  Without imbalance it is the price on the nominated side.

    >>> p = Prices(**{k: np.array([v, v, v]) for k, v in dict(retail=300, feed_in=100, network=0, taxes=0,
    ...     imbalance_short=320, imbalance_long=80).items()}, local_network_share=1.0, imbalance_netted=True)
    >>> group_price(np.array([-50, 20, -10]), np.array([20, 5, 20]), p).tolist()
    [100, 300, 200]
    """

    def cost(energy: Ints) -> Floats:
        return np.where(energy > 0, prices.retail, prices.feed_in) * energy.astype(np.float64)

    some = difference_wh != 0
    change = cost(nominated_wh + difference_wh) - cost(nominated_wh)
    at_rest = np.where(nominated_wh > 0, prices.retail, prices.feed_in).astype(np.float64)
    return np.rint(np.divide(change, difference_wh, out=at_rest, where=some)).astype(np.int64)


def net_out(difference_wh: Ints) -> Ints:
    """Return the part of each imbalance that an opposite one of the same period covers, pro rata.

    >>> net_out(np.array([[30, -10, -10, 0]])).tolist()
    [[20, -10, -10, 0]]
    """
    short, long = np.maximum(difference_wh, 0), np.maximum(-difference_wh, 0)
    covered = np.minimum(short.sum(axis=1), long.sum(axis=1))
    return share_rows(short, covered) - share_rows(long, covered)


def _with_retailer(difference_wh: Ints, short_price: Ints, long_price: Ints) -> Ints:
    """Money for energy taken from (+) the retailer at the short price or left to it (-) at the long price."""
    short = amount_micro(np.maximum(difference_wh, 0), short_price[:, None])
    long = amount_micro(np.maximum(-difference_wh, 0), long_price[:, None])
    return np.asarray(long - short, dtype=np.int64)


def _network(metered_wh: Ints, local_bought_wh: Ints, prices: Prices) -> Ints:
    imported = np.maximum(metered_wh, 0)
    local = np.minimum(local_bought_wh, imported)
    rebated = to_micro(prices.network * (1.0 - prices.local_network_share) / 1e6)
    full = amount_micro(imported, prices.network[:, None])
    return np.asarray(amount_micro(local, rebated[:, None]) - full, dtype=np.int64)
