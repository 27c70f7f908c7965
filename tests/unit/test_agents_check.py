"""Every fault of a home is found, all at once."""

from dataclasses import replace

import numpy as np
import pytest

from gridagora.agents import Team, check_homes
from gridagora.errors import InputError
from gridagora.model.resources import Battery, ElectricVehicle, HeatPump, Home
from gridagora.model.study import AgentRules, Tariffs
from gridagora.model.time import TimeAxis

AXIS = TimeAxis(start=np.datetime64("2016-06-01"), periods=8, mtu_s=3600)
ONE = np.ones(8)
BATTERY = Battery(energy_kwh=5.0, charge_kw=2.0, discharge_kw=2.0)
CAR = ElectricVehicle(
    charge_kw=3.0,
    efficiency=0.9,
    arrival=np.array([0, 5]),
    departure=np.array([3, 8]),
    needed_kwh=np.array([4.0, 2.0]),
)
PUMP = HeatPump(electric_kw=2.0, cop=3.0 * ONE, heat_demand_kw=ONE, tank_kwh=6.0)
HOME = Home(
    participant="a",
    bus="1",
    load_kw=ONE,
    load_kvar=0.1 * ONE,
    pv_kw=ONE,
    battery=BATTERY,
    ev=CAR,
    heat_pump=PUMP,
)


def places(*homes):
    return [fault.place for fault in check_homes(homes, AXIS)]


def test_a_sound_home_has_no_fault():
    assert places(HOME) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"load_kw": -ONE}, "load_kw[0]"),
        ({"load_kw": np.where(np.arange(8) == 3, np.nan, 1.0)}, "load_kw[3]"),
        ({"load_kw": np.ones(7)}, "load_kw"),
        ({"load_kvar": np.full(8, np.inf)}, "load_kvar[0]"),
        ({"pv_kw": -ONE}, "pv_kw[0]"),
        ({"import_limit_kw": -1.0}, "import_limit_kw"),
        ({"export_limit_kw": np.nan}, "export_limit_kw"),
        ({"battery": replace(BATTERY, energy_kwh=-1.0)}, "battery.energy_kwh"),
        ({"battery": replace(BATTERY, charge_kw=-1.0)}, "battery.charge_kw"),
        ({"battery": replace(BATTERY, discharge_kw=np.nan)}, "battery.discharge_kw"),
        ({"battery": replace(BATTERY, charge_efficiency=1.1)}, "battery.charge_efficiency"),
        ({"battery": replace(BATTERY, discharge_efficiency=0.0)}, "battery.discharge_efficiency"),
        ({"battery": replace(BATTERY, min_share=0.6)}, "battery.initial_share"),
        ({"battery": replace(BATTERY, initial_share=1.5)}, "battery.initial_share"),
        ({"ev": replace(CAR, charge_kw=0.0)}, "ev.charge_kw"),
        ({"ev": replace(CAR, efficiency=1.2)}, "ev.efficiency"),
        (
            {"ev": replace(CAR, departure=np.array([0, 8]), needed_kwh=np.array([0.0, 2.0]))},
            "ev.departure[0]",
        ),
        ({"ev": replace(CAR, departure=np.array([3, 9]))}, "ev.departure[1]"),
        ({"ev": replace(CAR, arrival=np.array([0, 2]))}, "ev.arrival[1]"),
        ({"ev": replace(CAR, arrival=np.array([-1, 5]))}, "ev.arrival[0]"),
        ({"ev": replace(CAR, needed_kwh=np.array([-1.0, 2.0]))}, "ev.needed_kwh[0]"),
        ({"ev": replace(CAR, needed_kwh=np.array([4.0, 20.0]))}, "ev.needed_kwh[1]"),
        ({"ev": replace(CAR, needed_kwh=np.array([4.0]))}, "ev.arrival"),
        ({"heat_pump": replace(PUMP, electric_kw=0.0)}, "heat_pump.electric_kw"),
        ({"heat_pump": replace(PUMP, tank_kwh=-1.0)}, "heat_pump.tank_kwh"),
        ({"heat_pump": replace(PUMP, cop=0.0 * ONE)}, "heat_pump.cop[0]"),
        ({"heat_pump": replace(PUMP, heat_demand_kw=-ONE)}, "heat_pump.heat_demand_kw[0]"),
        ({"heat_pump": replace(PUMP, loss_per_hour=1.0)}, "heat_pump.loss_per_hour"),
        ({"heat_pump": replace(PUMP, initial_share=-0.1)}, "heat_pump.initial_share"),
    ],
)
def test_each_fault_is_named_by_its_place(change, place):
    assert places(replace(HOME, **change)) == [place]


def test_duplicate_participants_and_all_other_faults_come_at_once():
    twin = replace(HOME, load_kw=-ONE, battery=replace(BATTERY, energy_kwh=0.0))
    assert places(HOME, twin) == ["a", "load_kw[0]", "battery.energy_kwh"]


def test_a_team_of_faulty_homes_is_refused():
    prices = dict.fromkeys(
        ("retail", "feed_in", "network", "taxes", "imbalance_short", "imbalance_long"), ONE
    )
    with pytest.raises(InputError, match="2 faults"):
        Team((replace(HOME, load_kw=-ONE, pv_kw=-ONE),), AXIS, rules=AgentRules(), tariffs=Tariffs(**prices))
