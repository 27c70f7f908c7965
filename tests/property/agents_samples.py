"""Streets of random homes for the tests of the agents."""

import numpy as np

from gridagora.agents import Outlook
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.study import Tariffs
from gridagora.model.time import TimeAxis

DAY = 48
PERIODS = 3 * DAY
AXIS = TimeAxis(start=np.datetime64("2016-06-01"), periods=PERIODS, mtu_s=1800)
CLOCK = np.arange(PERIODS) % DAY


def street(count, *, seed=0, only=None, several=False):
    """Random homes: any devices, ``only`` one kind (battery 0, pump 1, car 2) or ``several`` in each."""
    rng = np.random.default_rng(seed)
    return tuple(_home(rng, index, only=only, several=several) for index in range(count))


def _home(rng, index, *, only, several):
    wanted = np.arange(3) == only if only is not None else rng.random(3) < 0.5
    if several and wanted.sum() < 2:
        wanted[rng.permutation(3)[:2]] = True
    load = rng.exponential(0.5, PERIODS)
    pv = 6.0 * np.maximum(0.0, np.sin((CLOCK - 12) / 24 * np.pi)) * rng.uniform(0.2, 1.0, PERIODS)
    return Home(
        participant=f"home {index}",
        bus="1",
        load_kw=load,
        load_kvar=0.1 * load,
        pv_kw=pv if rng.random() < 0.7 else None,
        battery=_battery(rng) if wanted[0] else None,
        heat_pump=_pump(rng) if wanted[1] else None,
        ev=_car(rng) if wanted[2] else None,
        import_limit_kw=rng.choice([4.0, 11.0, np.inf]),
        export_limit_kw=rng.choice([2.0, 11.0, np.inf]),
    )


def _battery(rng):
    share = rng.uniform(0.0, 0.2)
    return Battery(
        energy_kwh=rng.uniform(3.0, 12.0),
        charge_kw=rng.uniform(1.0, 5.0),
        discharge_kw=rng.uniform(1.0, 5.0),
        charge_efficiency=rng.uniform(0.9, 1.0),
        discharge_efficiency=rng.uniform(0.9, 1.0),
        min_share=share,
        initial_share=rng.uniform(share, 1.0),
    )


def _pump(rng):
    return HeatPump(
        electric_kw=3.0,
        cop=rng.uniform(2.0, 4.0, PERIODS),
        heat_demand_kw=rng.uniform(0.0, 4.0, PERIODS),
        tank_kwh=rng.uniform(0.0, 15.0),
        loss_per_hour=rng.choice([0.0, 0.02]),
    )


def _car(rng):
    days = np.arange(PERIODS // DAY)
    arrival = days * DAY + rng.integers(28, 38, len(days))
    departure = np.minimum((days + 1) * DAY + rng.integers(10, 18, len(days)), PERIODS)
    most = (departure - arrival) * 3.7 * 0.9 * AXIS.hours
    need = most * rng.uniform(0.1, 1.0, len(days))
    return ElectricVehicle(
        charge_kw=3.7, efficiency=0.9, arrival=arrival, departure=departure, needed_kwh=need
    )


def tariffs(kind="time of use"):
    """Prices over the axis: "time of use", "flat", "negative" (feed-in and at times retail)."""
    one = np.ones(PERIODS)
    retail = np.where((CLOCK >= 34) & (CLOCK < 42), 0.30, np.where(CLOCK < 12, 0.14, 0.20))
    feed_in = 0.08 * one
    if kind == "flat":
        retail = 0.20 * one
    if kind == "negative":
        retail, feed_in = retail - 0.25, np.where((CLOCK > 20) & (CLOCK < 28), -0.05, 0.08)
    return Tariffs(
        retail=retail,
        feed_in=feed_in,
        network=0.07 * one,
        taxes=0.03 * one,
        imbalance_short=retail + 0.05,
        imbalance_long=feed_in - 0.03,
    )


def outlook(team, t, horizon):
    """Yesterday's values for load and production, today's for heat; future stays known."""
    fleet = team.fleet
    back = max(0, t - DAY)
    return Outlook(
        load_kw=fleet.load_kw[:, back : back + horizon],
        pv_kw=fleet.pv_kw[:, back : back + horizon],
        heat_kw=fleet.heat_kw[:, t : t + horizon],
        future_stays=True,
    )
