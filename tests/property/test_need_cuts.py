"""The cut that a need states cures it, by power flow, however the helping points share it."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.errors import InputError
from gridagora.grid.need import find_need
from gridagora.grid.need_rules import NeedRules, PointForecast, Rebound, probability_beyond

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from need_grids import at_buses, certain, feeder, points

RULES = NeedRules(vm_min_pu=0.95, vm_max_pu=1.05)


def value_after(grid, need, row, kw):
    flow = grid.power_flow(at_buses(grid, kw))
    if need.kind[row].startswith("voltage"):
        return flow.vm_pu[0, grid.bus_position[need.element[row]]]
    return flow.loading_percent[0, grid.elements.index(need.element[row])]


def is_kept(need, row, value):
    """Tell whether a value keeps its limit to 0.1 % of it."""
    limit = need.limit[row]
    return value >= limit * 0.999 if need.kind[row] == "voltage_low" else value <= limit * 1.001


@pytest.mark.parametrize("meshed", [False, True])
@given(
    kw=st.lists(st.floats(5, 40), min_size=5, max_size=5),
    export=st.booleans(),
    shares=st.lists(st.floats(0, 1), min_size=5, max_size=5),
)
@settings(deadline=None, max_examples=12)
def test_any_sharing_of_the_cut_cures(meshed, kw, export, shares):
    grid = feeder(meshed=meshed)
    kw = np.array(kw) * (-1 if export else 1)
    need = find_need(grid, certain(kw), RULES)
    sign = np.where(need.product == "cap", 1, -1)
    for row in range(len(need)):
        assert is_kept(need, row, value_after(grid, need, row, kw - sign[row] * need.cut_kw[row]))
        assert need.after[row] == pytest.approx(
            value_after(grid, need, row, kw - sign[row] * need.cut_kw[row]), abs=1e-6
        )
        if not need.curable[row]:
            continue
        # Another sharing, near the stated one, that counts as many kW at the element.
        helps = need.effect[row] > 0
        other = need.cut_kw[row] * (0.5 + np.array(shares)) * helps
        other *= need.kw[row] / (need.effect[row] @ other)
        assert is_kept(need, row, value_after(grid, need, row, kw - sign[row] * other))


def test_the_cut_is_the_smallest():
    grid = feeder()
    need = find_need(grid, certain([30, 20, 25, 20, 25]), RULES)
    assert len(need)
    assert need.curable.all()
    for row in range(len(need)):
        less = np.array([30, 20, 25, 20, 25]) - 0.99 * need.cut_kw[row]
        value = value_after(grid, need, row, less)
        limit = need.limit[row]
        assert value < limit if need.kind[row] == "voltage_low" else value > limit


def test_only_homes_behind_a_line_help_it():
    grid = feeder()
    need = find_need(grid, certain([0, 0, 60, 60, 60]), NeedRules(vm_min_pu=0.5)).at("line 2")
    assert need.effect[0, :2].tolist() == [0, 0]
    assert (need.effect[0, 2:] >= 1).all()
    assert need.helpers()["point"].tolist() == ["h2", "h3", "h4"]
    assert need.to_frame()["helps"].tolist() == ["h4; h3; h2"]


def test_reverse_flow_asks_for_a_floor():
    need = find_need(feeder(), certain([-30.0] * 5), NeedRules(vm_max_pu=1.5)).at("trafo")
    assert need.product.tolist() == ["floor"]
    assert need.load_kw[0] == pytest.approx(150.0)
    assert need.wanted_kw[0] < 100


def test_reactive_power_alone_cannot_be_cured_and_is_told():
    grid = feeder()
    forecast = certain([1.0] * 5, kvar=np.full((1, 5), 30.0))
    need = find_need(grid, forecast, NeedRules(vm_min_pu=0.5)).at("trafo")
    assert not need.curable[0]
    assert need.after[0] > need.limit[0]
    assert need.meter_kw[0] == pytest.approx(5.0)


def test_no_overload_no_need_and_no_solution_is_told():
    grid = feeder()
    need = find_need(grid, certain([[1.0] * 5, [3000.0] * 5]), NeedRules(rebound=Rebound()))
    assert len(need) == 0
    assert need.unsolved.tolist() == [1]
    assert need.to_frame().empty


def test_probability_from_quantiles_of_import_and_of_export():
    grid, levels = feeder(), [0.1, 0.5, 0.9]
    for sign in (1, -1):
        kw = sign * np.array([15.0, 22.0, 29.0])[::sign][:, None, None] * np.ones((3, 1, 5))
        forecast = PointForecast.of_levels(points(), levels=levels, import_kw=kw, hours=1.0)
        need = find_need(grid, forecast, NeedRules(vm_min_pu=0.5, vm_max_pu=1.5)).at("trafo")
        assert 0.5 < need.probability[0] < 0.9


@given(
    values=st.lists(st.floats(-100, 100), min_size=3, max_size=3),
    limits=st.tuples(st.floats(-120, 120), st.floats(-120, 120)),
)
def test_probability_falls_with_the_limit(values, limits):
    low, high = sorted(limits)
    levels = np.array([0.1, 0.5, 0.9])
    first, last = (probability_beyond(levels, np.array(values), limit) for limit in (low, high))
    assert 0 <= last <= first <= 1 + 1e-12


@pytest.mark.parametrize("spread", ["even", "at_once"])
def test_rebound_periods_are_found_and_cured_with_the_need(spread):
    """Energy cut at 18 h returns in the hours after it, which are nearly full already."""
    grid = feeder()
    day = np.full(24, 10.0)
    day[17:22] = [17.5, 25.0, 18.0, 18.0, 12.0]
    kw = day[:, None] * np.ones(5)
    rule = Rebound(hours_after=2.0, spread=spread)
    need = find_need(grid, certain(kw), NeedRules(vm_min_pu=0.5, rebound=rule)).at("trafo")
    by_reason = dict(zip(need.period.tolist(), need.reason.tolist(), strict=True))
    assert by_reason[18] == "forecast"
    assert by_reason[19] == by_reason[20] == "rebound"
    assert 10 not in by_reason
    assert (need.after <= need.limit).all()
    alone = find_need(grid, certain(kw), NeedRules(vm_min_pu=0.5)).at("trafo")
    assert alone.period.tolist() == [18]


def test_rebound_gives_back_what_was_cut_in_free_periods():
    cut, free = np.array([0, 0, 6.0, 4.0, 0, 0, 0, 0]), np.array([1, 1, 0, 0, 1, 1, 1, 1], dtype=bool)
    back = Rebound(hours_after=2, hours_before=1, share=0.5).returned_kw(cut, free, hours=1.0)
    assert back.sum() == pytest.approx(5.0)
    assert back[[2, 3]].tolist() == [0, 0]
    assert back[1] > 0


def test_every_fault_of_a_forecast_is_told():
    bad = PointForecast.of_levels(
        {"a": "nowhere"}, levels=[0.5, 0.4], import_kw=np.full((2, 1, 1), np.nan), hours=0.0
    )
    with pytest.raises(InputError) as error:
        find_need(feeder(), bad, NeedRules(planning_level=0.9))
    text = str(error.value)
    for word in ("nowhere", "import_kw", "levels", "hours", "planning_level"):
        assert word in text
