"""From a clearing on the wires to the bounds within which homes then stay."""

import numpy as np
from numpy.typing import NDArray

from gridagora.agents import Envelope
from gridagora.engine.machine import MarketContext
from gridagora.engine.network import cut_off, nodes_of_homes
from gridagora.engine.pool import positions
from gridagora.engine.zonal import accepted_by
from gridagora.model.columns import Floats, NodalClearing
from gridagora.model.events import AuctionCleared
from gridagora.units import WH_PER_KWH, to_micro


def envelope_of(cleared: AuctionCleared, context: MarketContext, *, committed_kw: Floats) -> Envelope | None:
    """Return what a session leaves homes, kW, (homes, periods); None where the market knows no wires.

    A home whose node the wires hold keeps to what was accepted on that side (`cut_off`): it takes no more
    where its price is higher for its place in the grid, gives no more where it is lower, and so do homes that
    got less than the pool without wires had for them, and all in a period whose schedule comes near a limit.
    Load that the clearing could not supply (bids at the value
    of lost load) is shed.  All else, and homes that do not trade, are free.
    """
    if cleared.zonal is not None:
        return _in_zones(cleared, context, committed_kw=committed_kw)
    if cleared.network is None or context.network is None:
        return None
    study, count = context.study, len(cleared.clearing_price)
    homes = len(study.homes)
    lost = cleared.price >= to_micro(study.market.value_of_lost_load)
    rows = np.flatnonzero((cleared.side > 0) & lost & (cleared.participant < homes))
    missing = positions(
        cleared.participant[rows],
        cleared.period[rows] - cleared.first,
        (cleared.quantity - cleared.accepted)[rows],
        shape=(count, homes),
    )
    bound = cut_off(cleared.network, count, first=cleared.first)[:, nodes_of_homes(cleared.network, study)].T
    bound = np.where(bound == 0, _changed(cleared, cleared.network, (count, homes)).T, bound)
    free = np.isnan(committed_kw)
    return Envelope(
        least_kw=np.where((bound < 0) & ~free, committed_kw, -np.inf),
        most_kw=np.where((bound > 0) & ~free, committed_kw, np.inf),
        shed_kw=missing.T / (WH_PER_KWH * study.axis.hours),
    )


def _in_zones(cleared: AuctionCleared, context: MarketContext, *, committed_kw: Floats) -> Envelope:
    """Return what zones leave homes: who was refused keeps to what was approved, an island to its schedule.

    A home is held on the side on which a controller refused a trade of its, or an order was not met that the
    retailer would have met: a gate stood in the way.  On an island all are held on both sides, and what was
    not served is shed.
    """
    study, homes = context.study, len(context.study.homes)
    shape = (len(cleared.clearing_price), homes)
    if cleared.zonal is None or study.zones is None:
        raise TypeError(cleared)
    local = cleared.participant < homes
    row = cleared.period - cleared.first
    buys, missing = cleared.side > 0, cleared.quantity - cleared.accepted
    retail, feed_in = context.prices.retail[cleared.period], context.prices.feed_in[cleared.period]
    at_retailer = np.where(buys, cleared.price >= retail, cleared.price <= feed_in)
    trades = cleared.zonal.trades
    matched = accepted_by(trades, np.ones(len(trades.period), dtype=np.bool_), orders=len(row))
    refused = ((missing > 0) & at_retailer) | (matched > cleared.accepted)
    refused &= local & ~cleared.zonal.firm

    def table(rows: NDArray[np.bool_]) -> Floats:
        return positions(cleared.participant[rows], row[rows], missing[rows], shape=shape).T

    on_island = (cleared.zonal.island[:, study.zones.of_home] >= 0).T
    free = np.isnan(committed_kw)
    shed = np.where(on_island, table(local & cleared.zonal.firm), 0.0)
    return Envelope(
        least_kw=np.where(((table(refused & ~buys) > 0) | on_island) & ~free, committed_kw, -np.inf),
        most_kw=np.where(((table(refused & buys) > 0) | on_island) & ~free, committed_kw, np.inf),
        shed_kw=shed / (WH_PER_KWH * study.axis.hours),
    )


def _changed(cleared: AuctionCleared, network: NodalClearing, shape: tuple[int, int]) -> Floats:
    """Return which homes take less (1) or give less (-1) for the wires, shape (periods, homes)."""
    if not len(network.period):
        return np.zeros(shape)
    rows = np.flatnonzero(cleared.participant < shape[1])
    change = (cleared.side * (network.plate_accepted - cleared.accepted))[rows]
    moved = positions(cleared.participant[rows], cleared.period[rows] - cleared.first, change, shape=shape)
    return np.sign(moved)
