"""What joint dispatch leaves at least: checked by hand, and against what markets of the same homes reach."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.agents import Outlook, fleet_from_homes, initial_state
from gridagora.agents.joint_dispatch import GridLimit, joint_dispatch
from gridagora.agents.offers import FlexibilityDay, connection_limits, schedule_under_limits
from gridagora.model.resources import Battery, HeatPump, Home
from gridagora.model.time import TimeAxis

PERIODS = 6
PRICE = np.array([[0.2, 0.05], [0.1, 0.05], [0.3, 0.05], [0.4, 0.05], [0.2, 0.05], [0.2, 0.05]])


def day_of(*homes: Home) -> FlexibilityDay:
    axis = TimeAxis(start=np.datetime64("2016-01-01"), periods=PERIODS, mtu_s=3600)
    fleet = fleet_from_homes(homes, axis)
    outlook = Outlook(load_kw=fleet.load_kw, pv_kw=fleet.pv_kw, heat_kw=fleet.heat_kw)
    return FlexibilityDay(fleet=fleet, state=initial_state(fleet), t=0, outlook=outlook, price=PRICE)


def home(name: str, kwh: float, *, load: float = 3.0, pv: float = 0.0, pump: bool = False) -> Home:
    heat = HeatPump(
        electric_kw=2.0, heat_demand_kw=np.full(PERIODS, 2.0), cop=np.full(PERIODS, 3.0), tank_kwh=4.0
    )
    return Home(
        participant=name,
        bus="1",
        load_kw=np.full(PERIODS, load),
        load_kvar=np.zeros(PERIODS),
        pv_kw=np.full(PERIODS, pv) if pv else None,
        battery=Battery(energy_kwh=kwh, charge_kw=3.0, discharge_kw=3.0) if kwh else None,
        heat_pump=heat if pump else None,
        import_limit_kw=12.0,
        export_limit_kw=12.0,
    )


def limits(most: float, *, homes: int, periods: range = range(PERIODS)) -> list[GridLimit]:
    return [GridLimit(period=period, effect=np.ones(homes), most_kw=most) for period in periods]


def test_without_devices_what_is_beyond_stays():
    found = joint_dispatch(day_of(home("a", 0.0), home("b", 0.0)), limits(5.0, homes=2), "cap")
    assert found.over_kw == pytest.approx(np.ones(PERIODS))
    assert found.net_kw == pytest.approx(np.full((2, PERIODS), 3.0))


def test_a_battery_is_emptied_once_over_all_periods():
    day = day_of(home("a", 2.0))
    found = joint_dispatch(day, limits(1.0, homes=1, periods=range(2, PERIODS)), "cap")
    # 4 hours of 2 kW each, less what leaves a full battery of 2 kWh
    assert found.over_kw.sum() == pytest.approx(8.0 - 2.0 * 0.95, abs=1e-6)
    none = joint_dispatch(day, limits(1.0, homes=1, periods=range(2, 3)), "cap")
    assert none.over_kw.sum() == pytest.approx(0.1, abs=1e-6)


def test_homes_that_help_little_count_little():
    day = day_of(home("a", 2.0), home("b", 2.0))
    asked = [GridLimit(period=3, effect=np.array([1.0, 0.5]), most_kw=1.0)]
    found = joint_dispatch(day, asked, "cap")
    assert found.over_kw.tolist() == pytest.approx([3.0 + 1.5 - 1.0 - 1.9 - 0.95], abs=1e-6)


def test_floors_are_limits_on_export():
    day = day_of(home("a", 2.0, load=1.0, pv=5.0))
    found = joint_dispatch(day, limits(1.0, homes=1), "floor")
    assert found.over_kw.sum() == pytest.approx(0.0, abs=1e-6)
    assert (-found.net_kw).max() <= 1.0 + 1e-6


def test_who_serves_no_limit_keeps_its_plan():
    day = day_of(home("a", 2.0), home("b", 2.0))
    asked = [GridLimit(period=3, effect=np.array([1.0, 0.0]), most_kw=0.0)]
    found = joint_dispatch(day, asked, "cap")
    assert found.net_kw[1] == pytest.approx(schedule_under_limits(day).net_kw[1])


@settings(deadline=None, max_examples=25)
@given(
    kwh=st.lists(st.floats(0.5, 6.0), min_size=2, max_size=2),
    cuts=st.lists(st.floats(0.0, 6.0), min_size=2 * PERIODS, max_size=2 * PERIODS),
    most=st.floats(0.5, 7.0),
)
def test_no_limits_sold_leave_less_than_joint_dispatch(kwh, cuts, most):
    day = day_of(home("a", kwh[0], pump=True), home("b", kwh[1]))
    asked = limits(most, homes=2)
    least = joint_dispatch(day, asked, "cap").over_kw.sum()
    sold = connection_limits(day)
    plan = schedule_under_limits(day)
    sold.import_kw[:] = np.maximum(plan.net_kw, 0.0) + np.array(cuts).reshape(2, PERIODS)
    for period in range(PERIODS):
        sold.import_kw[0, period] = max(sold.import_kw[0, period] - 3.0, 0.0)
    market = schedule_under_limits(day, sold)
    taken = market.net_kw + market.unserved_load_kw
    if market.unserved_load_kw.max() < 1e-6 and market.unserved_heat_kw.max() < 1e-6:
        assert least <= np.maximum(taken.sum(axis=0) - most, 0.0).sum() + 1e-4
