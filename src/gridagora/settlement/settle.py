"""Settlement of delivered periods: trades, imbalance, network tariff and taxes, in whole micro-units.

For each participant and period (MARKETS section 10)::

    energy     = sum of trades:  + sold Wh x price, - bought Wh x price
    retail     = what was nominated beyond the trades: bought at retail, sold at feed-in
    imbalance  = metered - nominated: short Wh bought at imbalance_short, long Wh sold at imbalance_long;
                 netted: what is short here and long there changes hands at the pool's price first, pro rata
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
    pool_price: Floats | None = None,
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
    pool_price : clearing price in micro-currency per kWh, NaN where nothing traded, shape (periods,); only
        netted imbalance needs it, and takes the middle of retail and feed-in where there is none

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
        imbalance=_imbalance(metered_wh - traded, prices, pool_price),
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


def _imbalance(difference_wh: Ints, prices: Prices, pool_price: Floats | None) -> Ints:
    netted = np.zeros_like(difference_wh)
    if prices.imbalance_netted:
        netted = net_out(difference_wh)
    middle = (prices.retail + prices.feed_in) / 2
    price = middle if pool_price is None else np.where(np.isnan(pool_price), middle, pool_price)
    among = amount_micro(np.abs(netted), np.rint(price).astype(np.int64)[:, None]) * -np.sign(netted)
    rest = _with_retailer(difference_wh - netted, prices.imbalance_short, prices.imbalance_long)
    return np.asarray(among + rest, dtype=np.int64)


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
