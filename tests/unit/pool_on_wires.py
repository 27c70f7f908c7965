"""A small study on the CIGRE feeder, and its sessions cleared with the wires, for tests."""

import numpy as np

from gridagora.adapters.grids import Grid
from gridagora.engine.network import Fixed, NetworkPool
from gridagora.engine.pool import pool_orders
from gridagora.engine.wires import Wires
from gridagora.market import pay_as_cleared
from gridagora.model.bids import Bids
from gridagora.model.resources import Home
from gridagora.model.study import AgentRules, GridLimits, MarketRules, Study, Tariffs
from gridagora.model.time import TimeAxis
from gridagora.settlement import Prices

GRID = Grid.by_name("cigre-lv")
BUSES = ("Bus R11", "Bus R15", "Bus R16", "Bus R17", "Bus R18", "Bus C12")
PERIODS = 2


def make_study(*, phases=None, limits=None, passive=(), **rules):
    axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=PERIODS, mtu_s=900)
    flat = np.ones(PERIODS)
    price = {"retail": 0.2, "feed_in": 0.08, "network": 0.1, "taxes": 0.05}
    price |= {"imbalance_short": 0.22, "imbalance_long": 0.06}
    homes = tuple(
        Home(
            participant=f"h{k}",
            bus=bus,
            load_kw=flat,
            load_kvar=0.0 * flat,
            phase=None if phases is None else phases[k],
            passive=k in passive,
        )
        for k, bus in enumerate(BUSES)
    )
    return Study(
        name="small",
        axis=axis,
        homes=homes,
        tariffs=Tariffs(**{name: value * flat for name, value in price.items()}),
        market=MarketRules(mechanism="network", session_periods=PERIODS, **rules),
        agents=AgentRules(),
        limits=GridLimits(vm_min_pu=0.95, vm_max_pu=1.05) if limits is None else limits,
    )


def clear(study, bids, *, fixed_kw=None, kvar=0.0):
    """Return orders, what the pool without wires accepts, what is accepted with them, and wires and loads."""
    orders = pool_orders(
        bids,
        first=0,
        count=PERIODS,
        homes=len(study.homes),
        prices=Prices.from_tariffs(study.tariffs),
        rules=study.market,
        hours=study.axis.hours,
    )
    whole = Bids(
        side=orders.side,
        price=orders.price,
        quantity=orders.quantity,
        participant=orders.participant,
        period=orders.period,
    )
    plate = pay_as_cleared(whole)
    price = np.full(PERIODS, np.nan)
    price[np.asarray(plate.period)] = np.asarray(plate.price, np.float64)
    shape = (PERIODS, len(study.homes))
    fixed = Fixed(
        kw=np.zeros(shape) if fixed_kw is None else np.broadcast_to(fixed_kw, shape),
        kvar=np.broadcast_to(kvar, shape).astype(float),
    )
    wires = Wires(GRID, study)
    accepted = np.asarray(plate.accepted, np.int64)
    found = NetworkPool(wires, study)(
        orders, (accepted, np.asarray(plate.paid, float), price), first=0, fixed=fixed
    )
    return orders, accepted, found, (wires, fixed)


def net_kw(study, orders, accepted, fixed):
    net = fixed.kw.copy()
    local = orders.participant < len(study.homes)
    rows = (orders.period[local], orders.participant[local])
    np.add.at(net, rows, (orders.side * accepted)[local] / 1e3 / study.axis.hours)
    return net


def bids_of(home, period, side, *, price, kwh):
    return Bids(
        side=np.asarray(side), price=np.asarray(price, float), quantity=np.asarray(kwh, float),
        participant=np.asarray(home), period=np.asarray(period),
    )  # fmt: skip
