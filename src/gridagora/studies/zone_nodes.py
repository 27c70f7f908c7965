"""Prices at the buses of a grid of zones: the bids of a period in one joint clearing on the wires.

Zones know their gates alone.  What each bus would cost if one market knew every line is told by clearing the
same bids anew with `gridagora.engine.network`, losses priced, for one period of an hour: a picture beside
the run, which nobody pays by.  Homes of an island are left out: the grid gives them no price.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gridagora.engine.network import Fixed, NetworkPool
from gridagora.engine.pool import PoolOrders
from gridagora.engine.wires import Wires
from gridagora.errors import SolverError
from gridagora.model.columns import Findings, Ints, NodalClearing
from gridagora.model.events import AuctionCleared, Event, TradesDecided
from gridagora.model.study import Study
from gridagora.model.zone_columns import ZonalClearing
from gridagora.model.zone_study import ZoneRules
from gridagora.studies.record import zones_of
from gridagora.units import WH_PER_KWH, to_micro

Progress = Callable[[int, int, str], None]

MOST = 48
"""Periods that are cleared at most: those whose zones' prices differ most."""

FEWEST = 6
EFFORT = 8_000_000
"""Nodes x nodes x periods: the work grows so, and on a larger grid fewer periods are cleared."""

FAILED = "not cleared"
"""Status of a period for which no prices were found; the others are those of `NodalClearing`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Session:
    """A session of zone markets: its auction, what the zones made of it, and what the controllers left."""

    cleared: AuctionCleared
    zonal: ZonalClearing
    accepted: Ints


def nodal_pictures(
    wires: Wires, study: Study, events: Sequence[Event], *, metered_wh: Ints, progress: Progress
) -> tuple[NodalClearing, ...]:
    """Return the prices at all buses in telling periods, one clearing each; none for other markets.

    ``metered_wh`` is what homes metered, (periods, homes): those that do not bid load the wires with it.
    """
    sessions = _sessions(events)
    if not sessions:
        return ()
    known = replace(study, zones=None, market=replace(study.market, price_losses=True))
    joined = Wires(wires.grid, known)  # all gates closed: who is on an island loads nothing
    pool = NetworkPool(joined, known)
    most = int(np.clip(EFFORT // len(joined.nodes.names) ** 2, FEWEST, MOST))
    zonal = [one.zonal for one in sessions]
    periods = telling_periods(study, zonal, count=len(metered_wh), most=most)
    found = []
    for number, period in enumerate(periods, start=1):
        one = next(s for s in reversed(sessions) if s.cleared.first <= period)
        found.append(_picture(pool, joined, study, one=one, period=period, metered_wh=metered_wh))
        progress(number, len(periods), "prices at buses")
    return tuple(found)


def _sessions(events: Sequence[Event]) -> list[_Session]:
    decided = {one.session: one.accepted for one in events if isinstance(one, TradesDecided)}
    return [
        _Session(cleared=one, zonal=one.zonal, accepted=decided[one.session])
        for one in events
        if isinstance(one, AuctionCleared) and one.zonal is not None and one.session in decided
    ]


def telling_periods(
    study: Study, zonal: Sequence[ZonalClearing], *, count: int, most: int = MOST
) -> list[int]:
    """Return the first period of each hour; of more than ``most`` those whose zones' prices differ most."""
    starts = study.axis.starts[:count].astype("datetime64[s]").astype(np.int64)
    hourly = np.flatnonzero(np.diff(starts // 3600, prepend=starts[0] // 3600 - 1) > 0)
    if len(hourly) <= most:
        return [int(period) for period in hourly]
    price = np.concatenate([one.price for one in zonal])[:count]
    traded = price >= 0
    high = np.where(traded, price, 0).max(axis=1)
    spread = np.where(traded.any(axis=1), high - np.where(traded, price, high[:, None]).min(axis=1), 0)
    widest = hourly[np.argsort(-spread[hourly], kind="stable")[:most]]
    return sorted(int(period) for period in widest)


def _picture(
    pool: NetworkPool, wires: Wires, study: Study, *, one: _Session, period: int, metered_wh: Ints
) -> NodalClearing:
    """Clear one period on the wires; where no prices are found, say why."""
    cleared, homes, rules = one.cleared, len(study.homes), zones_of(study)
    island = one.zonal.island[period - cleared.first] >= 0
    away = island[rules.of_home]
    rows = np.flatnonzero((cleared.period == period) & ~np.append(away, False)[cleared.participant])
    orders = PoolOrders(
        participant=cleared.participant[rows],
        period=cleared.period[rows],
        side=cleared.side[rows],
        price=_own_prices(study, one, rows),
        quantity=cleared.quantity[rows],
    )
    silent = ~np.isin(np.arange(homes), orders.participant) & ~away
    kw = metered_wh[period] / (WH_PER_KWH * study.axis.hours)
    kvar = np.array([home.load_kvar[period] for home in study.homes])
    fixed = Fixed(kw=np.where(silent, kw, 0.0)[None], kvar=np.where(away, 0.0, kvar)[None])
    start = (one.accepted[rows], np.zeros(len(rows)), np.full(1, np.nan))
    names = wires.nodes.names
    if not any(wires.flow(kw, fixed.kvar).converged[0] for kw in (fixed.kw, np.zeros_like(fixed.kw))):
        return _nothing(names, period, "the power flow has no solution, even without any trade")
    try:
        found = pool(orders, start, first=period, fixed=fixed).network
    except SolverError as error:
        return _nothing(names, period, str(error))
    zone = zones_of_nodes(names, rules)
    return replace(
        found,
        price=np.where(island[zone], -1, found.price),
        parts=np.where(island[zone], np.nan, found.parts),
    )


def _own_prices(study: Study, one: _Session, rows: Ints) -> Ints:
    """Return the prices of orders without the bounds that zones put on them, micro-currency per kWh.

    In zones nobody bids beyond the retailer's prices.  On the wires these are no bounds: a bus far out costs
    its losses on top.  Homes that stand at them there take, and give, whatever a bus costs.
    """
    cleared, tariffs = one.cleared, study.tariffs
    side, price, period = cleared.side[rows], cleared.price[rows], cleared.period[rows]
    home = cleared.participant[rows] < len(study.homes)
    takes = home & (side > 0) & (one.zonal.firm[rows] | (price >= to_micro(tariffs.retail[period])))
    gives = home & (side < 0) & (price <= to_micro(tariffs.feed_in[period]))
    lost = int(to_micro(study.market.value_of_lost_load))
    return np.where(takes, lost, np.where(gives, np.minimum(price, 0), price)).astype(np.int64)


def zones_of_nodes(names: Sequence[str], rules: ZoneRules) -> Ints:
    """Return the position of the zone of each node: a bus, or "bus.phase" of three."""
    tree, of_bus = rules.tree, rules.tree.zone_of_bus()
    found = [of_bus.get(name, of_bus.get(name.rpartition(".")[0], tree.names[tree.root])) for name in names]
    return np.array([tree.position(name) for name in found], dtype=np.int64)


def _nothing(names: tuple[str, ...], period: int, reason: str) -> NodalClearing:
    """Return a clearing without prices, and why."""
    none, count = np.zeros(0, np.int64), len(names)
    return NodalClearing(
        nodes=names,
        period=np.array([period]),
        price=np.full((1, count), -1),
        parts=np.full((4, 1, count), np.nan),
        rounds=np.zeros(1, np.int64),
        status=(FAILED,),
        reason=(reason,),
        loss_wh=np.zeros(1, np.int64),
        residual_wh=np.zeros(1, np.int64),
        held=np.zeros(1, np.int8),
        plate_accepted=none,
        plate_price=np.full(1, np.nan),
        plate=Findings(
            converged=np.ones(1, np.bool_),
            period=none,
            kind=(),
            element=(),
            value=np.zeros(0),
            limit=np.zeros(0),
            participants=(),
        ),
    )
