"""A small study on the CIGRE feeder in zones, and its sessions cleared and decided, for tests."""

import numpy as np

from gridagora.adapters.grids import Grid
from gridagora.engine.pool import pool_orders
from gridagora.engine.wires import Wires
from gridagora.engine.zonal import clear_zones
from gridagora.engine.zone_desk import ZoneDesk
from gridagora.grid.zones import zones_from_feeders
from gridagora.model.bids import Bids
from gridagora.model.events import AuctionCleared
from gridagora.model.resources import Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules, Study, Tariffs
from gridagora.model.time import TimeAxis
from gridagora.model.zone_study import ZoneRules
from gridagora.settlement import Prices

GRID = Grid.by_name("cigre-lv")
BUSES = ("Bus R11", "Bus R15", "Bus R16", "Bus C12", "Bus C18", "Bus I2")
TREE = zones_from_feeders(GRID.network, sources=["Bus R11", "Bus C19", "Bus I2"])
ZONES = TREE.names
PERIODS = 2
LOST = 10.0
"""Value of lost load: what load that must run bids."""


def make_study(*, gates=None, cut=(), limits=None, passive=(), **rules):
    """Return a study; ``gates``: kW by zone, ``cut``: (period, zone) whose gate is open."""
    axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=PERIODS, mtu_s=3600)
    flat = np.ones(PERIODS)
    price = {"retail": 0.2, "feed_in": 0.08, "network": 0.1, "taxes": 0.05}
    price |= {"imbalance_short": 0.22, "imbalance_long": 0.06}
    of_bus = TREE.zone_of_bus()
    homes = tuple(
        Home(participant=f"h{k}", bus=bus, load_kw=flat, load_kvar=0.0 * flat, passive=k in passive)
        for k, bus in enumerate(BUSES)
    )
    room = np.full((PERIODS, len(ZONES)), np.inf)
    for name, kw in (gates or {}).items():
        room[:, TREE.position(name)] = kw
    is_cut = np.zeros(room.shape, dtype=bool)
    for period, name in cut:
        is_cut[period, TREE.position(name)] = True
    zones = ZoneRules(
        tree=TREE,
        of_home=np.array([TREE.position(of_bus[bus]) for bus in BUSES]),
        import_kw=room,
        export_kw=room,
        cut=is_cut,
        **rules,
    )
    return Study(
        name="small",
        axis=axis,
        homes=homes,
        tariffs=Tariffs(**{name: value * flat for name, value in price.items()}),
        market=MarketRules(mechanism="zonal", session_periods=PERIODS),
        agents=AgentRules(),
        limits=GridLimits() if limits is None else limits,
        zones=zones,
    )


def decide(study, bids, *, fixed_kw=0.0):
    """Return the cleared session and what the controllers decided on it."""
    prices = Prices.from_tariffs(study.tariffs)
    homes = len(study.homes)
    fixed = np.broadcast_to(fixed_kw, (PERIODS, homes)).astype(float)
    orders = pool_orders(
        bids, first=0, count=PERIODS, homes=homes, prices=prices, rules=study.market, hours=study.axis.hours
    )
    found = clear_zones(orders, study, prices, first=0, count=PERIODS, fixed_kw=fixed)
    cleared = AuctionCleared(
        at=0,
        session=0,
        first=0,
        participant=found.orders.participant,
        period=found.orders.period,
        side=found.orders.side,
        price=found.orders.price,
        quantity=found.orders.quantity,
        accepted=found.accepted,
        paid=found.paid,
        clearing_price=found.clearing_price,
        zonal=found.zonal,
    )
    desk = ZoneDesk(Wires(GRID, study), study, study.zones)
    return cleared, desk.decide(cleared, at=0, fixed_kw=fixed, kvar=np.zeros((PERIODS, homes)))


def make_bids(*rows):
    """Return bids from (participant, side, price, kWh, period)."""
    participant, side, price, quantity, period = zip(*rows, strict=True)
    return Bids(
        side=list(side),
        price=list(price),
        quantity=list(quantity),
        participant=np.array(participant),
        period=list(period),
    )


def ways(cleared, decided):
    """Return for each trade, supplies last: buyer, seller, Wh, approved, [(step, by, decision, reason)]."""
    from gridagora.engine.zone_desk import joined_trades

    told, trades = decided.decisions, joined_trades(cleared.zonal.trades, decided.decisions.supplies)
    words = ("stated", "approved", "rejected")
    found = []
    for number in range(len(trades.period)):
        rows = np.flatnonzero(told.trade == number)
        steps = [
            (int(told.step[k]), told.names[told.by[k]], words[told.decision[k]], told.reasons[told.reason[k]])
            for k in rows
        ]
        found.append(
            (int(trades.buyer[number]), int(trades.seller[number]), int(trades.quantity_wh[number]),
             bool(told.approved[number]), steps)
        )  # fmt: skip
    return found
