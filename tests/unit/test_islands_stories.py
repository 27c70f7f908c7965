"""An island of a few homes: who gives way first, and what a battery can still do afterwards.

Periods are hours, batteries hold 8 kWh, half full, at 5 kW, without losses.
"""

from dataclasses import replace

import numpy as np
import pytest

from gridagora.agents import Envelope, Team
from gridagora.engine.island import balance_islands
from gridagora.model.resources import Battery, Home
from gridagora.model.study import AgentRules, Tariffs
from gridagora.model.time import TimeAxis

NAMES = ("retail", "feed_in", "network", "taxes", "imbalance_short", "imbalance_long")
BOX = Battery(
    energy_kwh=8.0, charge_kw=5.0, discharge_kw=5.0, charge_efficiency=1.0, discharge_efficiency=1.0
)


def make_team(*homes, feed_in=0.0):
    """Where feeding in costs money, homes curtail what nobody takes."""
    periods = len(homes[0].load_kw)
    axis = TimeAxis(start=np.datetime64("2016-06-01"), periods=periods, mtu_s=3600)
    prices = {name: np.zeros(periods) for name in NAMES} | {"feed_in": np.full(periods, feed_in)}
    return Team(homes, axis, rules=AgentRules(), tariffs=Tariffs(**prices))


def home(name, *load_kw, **devices):
    return Home(
        participant=name,
        bus="1",
        load_kw=np.array(load_kw, float),
        load_kvar=np.zeros(len(load_kw)),
        **devices,
    )


def balanced(team, *, committed_kw=None, island=None):
    start = team.initial_state()
    did = team.deliver(start, 0, team.fleet.periods, committed_kw=committed_kw)
    island = np.zeros(did.net_kw.shape, dtype=np.int64) if island is None else np.array(island)
    return balance_islands(did, team.fleet, start=start, island=island)


@pytest.mark.parametrize(("sun", "battery"), [(1, -2), (4, 1), (12, 4), (30, 4)])
def test_a_surplus_stops_discharge_then_charges_then_is_curtailed(sun, battery):
    team = make_team(home("box", 3, battery=BOX), home("sun", 0, pv_kw=np.array([sun]), export_limit_kw=20))
    now = balanced(team)
    assert now.battery_kw[0, 0] == pytest.approx(battery)
    assert now.curtailed_kw[1, 0] == pytest.approx(sun - 3 - battery)
    assert now.net_kw.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("load", "curtailed", "battery", "shed"), [(1, 1, 0, 0), (5, 0, -3, 0), (9, 0, -4, 3)]
)
def test_a_lack_lets_the_sun_through_then_empties_batteries_then_sheds(load, curtailed, battery, shed):
    homes = home("sun", 0, pv_kw=np.array([2])), home("box", 0, battery=BOX), home("eats", load)
    now = balanced(make_team(*homes, feed_in=-1.0))
    assert now.curtailed_kw[0, 0] == pytest.approx(curtailed)
    assert now.battery_kw[1, 0] == pytest.approx(battery)
    assert now.unserved_load_kw[2, 0] == pytest.approx(shed)
    assert now.net_kw.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("devices", "curtailed", "battery"),
    [({"battery": BOX}, 0, 1), ({}, 1, 0), ({"battery": replace(BOX, charge_kw=3.0)}, 0, 1)],
)
def test_load_that_was_to_be_shed_comes_before_storage_and_before_sun_is_curtailed(
    devices, curtailed, battery
):
    """The sun was not foreseen: nobody sold it, and its home is held to give nothing."""
    team = make_team(home("sun", 0, pv_kw=np.array([4]), **devices), home("eats", 3), home("joined", 3))
    shed = np.array([[0.0], [3.0], [3.0]])
    committed = np.zeros((3, 1))
    bounds = Envelope(least_kw=committed, most_kw=committed, shed_kw=shed)
    start = team.initial_state()
    did = team.deliver(start, 0, 1, committed_kw=committed, envelope=bounds)
    np.testing.assert_allclose(did.unserved_load_kw, shed)
    now = balance_islands(did, team.fleet, start=start, island=np.array([[0], [0], [-1]]))
    assert now.unserved_load_kw[:, 0].tolist() == pytest.approx([0, 0, 3])
    assert now.curtailed_kw[0, 0] == pytest.approx(curtailed)
    assert now.battery_kw[0, 0] == pytest.approx(battery)


def test_each_island_keeps_to_itself_and_who_is_on_none_is_left_alone():
    homes = [home(name, 2, pv_kw=np.array([sun])) for name, sun in zip("abcd", (5, 0, 0, 7), strict=True)]
    now = balanced(make_team(*homes), island=[[0], [0], [1], [-1]])
    assert now.net_kw[:, 0].tolist() == [-2, 2, 0, -5]
    assert now.curtailed_kw[:, 0].tolist() == [1, 0, 0, 0]
    assert now.unserved_load_kw[:, 0].tolist() == [0, 0, 2, 0]


def test_a_battery_emptied_by_an_island_cannot_keep_its_schedule_afterwards():
    """The battery was to give its own home 2 kWh in the second hour; of its 4 kWh the island took 3."""
    now = balanced(make_team(home("box", 0, 2, battery=BOX), home("eats", 3, 0)), island=[[0, -1], [0, -1]])
    assert now.battery_kw[0].tolist() == [-3, -1]
    assert now.battery_kwh[0].tolist() == [1, 0]
    assert now.net_kw[0].tolist() == [-3, 1]
    assert now.state.battery_kwh.tolist() == [0, 0]


def test_a_delivery_without_islands_is_handed_on():
    team = make_team(home("a", 1))
    start = team.initial_state()
    did = team.deliver(start, 0, 1)
    assert balance_islands(did, team.fleet, start=start, island=np.full((1, 1), -1)) is did
