"""Violated limits and who stands behind them."""

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.grid.check import check_limits, participants_behind
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel
from gridagora.model.study import GridLimits

# source --- trafo --- A --- B --- C
#                       \--- D
BUSES = ("source", "A", "B", "C", "D")


@pytest.fixture(scope="module")
def grid():
    lines = {"name": ["AB", "BC", "AD"], "from_bus": [1, 2, 1], "to_bus": [2, 3, 4], "length_km": 0.2}
    return GridModel(
        network_from_pandapower(
            {
                "bus": pd.DataFrame({"name": list(BUSES), "vn_kv": [20.0, 0.4, 0.4, 0.4, 0.4]}),
                "line": pd.DataFrame(lines | {"r_ohm_per_km": 0.3, "x_ohm_per_km": 0.08, "max_i_ka": 0.1}),
                "trafo": pd.DataFrame(
                    {
                        "name": ["trafo"], "hv_bus": 0, "lv_bus": 1, "sn_mva": 0.1, "vn_hv_kv": 20.0,
                        "vn_lv_kv": 0.4,
                        "vk_percent": 4.0, "vkr_percent": 1.5, "pfe_kw": 0.2, "i0_percent": 0.2,
                    }
                ),
                "ext_grid": pd.DataFrame({"bus": [0], "vm_pu": 1.0}),
            },
            name="grid",
        )
    )  # fmt: skip


def power(**kw):
    return np.array([[kw.get(bus, 0.0) for bus in BUSES]])


def behind(grid, kw, limits=None, **options):
    found = check_limits(grid.power_flow(kw), limits or GridLimits())
    names = participants_behind(
        found, grid, bus_of_participant={f"p{bus}": bus for bus in BUSES}, net_kw=kw, **options
    )
    return {
        (kind, element): text
        for kind, element, text in zip(
            found.kind.tolist(), found.element.tolist(), names.tolist(), strict=True
        )
    }


def test_nothing_is_violated_within_limits(grid):
    found = check_limits(grid.power_flow(power(C=5.0)), GridLimits())
    assert len(found) == 0
    assert list(found.to_frame().columns) == ["period", "kind", "element", "value", "limit"]
    assert len(participants_behind(found, grid, bus_of_participant={"p": "C"}, net_kw=np.zeros((1, 1)))) == 0


def test_each_violation_tells_period_element_value_and_limit(grid):
    kw = np.concatenate([power(C=5.0), power(C=40.0, D=75.0), power(C=-60.0)])
    flow = grid.power_flow(kw)
    limits = GridLimits(vm_min_pu=0.95, vm_max_pu=1.06, line_loading_percent=90.0)
    frame = check_limits(flow, limits).to_frame()
    assert (
        frame[["period", "kind", "element"]].to_numpy().tolist()
        == [
            [1, "line_loading", "AD"],
            [1, "transformer_loading", "trafo"],
            [1, "voltage_low", "B"],
            [1, "voltage_low", "C"],
            [1, "voltage_low", "D"],
            [2, "line_loading", "AB"],
            [2, "line_loading", "BC"],
            [2, "voltage_high", "C"],
        ]
        or frame.to_string()
    )
    at = {name: k for k, name in enumerate((*grid.buses, *grid.elements))}
    for row in frame.itertuples():
        if row.kind.startswith("voltage"):
            assert row.value == flow.vm_pu[row.period, at[row.element]]
        else:
            assert row.value == flow.loading_percent[row.period, at[row.element] - len(grid.buses)]


def test_a_value_at_the_limit_is_no_violation(grid):
    flow = grid.power_flow(power(C=5.0))
    lowest = float(flow.vm_pu.min())
    assert len(check_limits(flow, GridLimits(vm_min_pu=lowest))) == 0
    assert check_limits(flow, GridLimits(vm_min_pu=lowest + 1e-6)).element.tolist() == ["C"]


def test_a_period_without_solution_is_one_violation_with_its_weakest_bus(grid):
    kw = np.concatenate([power(C=5.0), power(C=5e3)])
    found = check_limits(grid.power_flow(kw), GridLimits())
    assert found.to_frame().astype(str).to_numpy().tolist() == [["1", "not_converged", "C", "nan", "nan"]]
    names = participants_behind(
        found, grid, bus_of_participant={"a": "A", "c": "C"}, net_kw=[[0, 5], [0, 5e3]]
    )
    assert names.tolist() == ["c"]


def test_behind_an_overloaded_line_stand_those_beyond_it_who_load_it(grid):
    told = behind(grid, power(A=30.0, B=20.0, C=50.0, D=10.0))
    assert told["line_loading", "AB"] == "pC; pB"
    assert told["transformer_loading", "trafo"] == "pC; pA; pB; pD"


def test_in_the_other_direction_the_producers_stand_behind_it(grid):
    told = behind(grid, power(A=30.0, B=20.0, C=-120.0, D=-70.0))
    assert told["line_loading", "BC"] == "pC"
    assert told["line_loading", "AB"] == "pC"
    assert told["transformer_loading", "trafo"] == "pC; pD"


def test_behind_a_voltage_stand_the_largest_by_shared_resistance(grid):
    limits = GridLimits(vm_min_pu=0.97, vm_max_pu=1.02)
    low = behind(grid, power(A=20.0, B=20.0, C=20.0, D=20.0), limits)
    assert low["voltage_low", "C"] == "pC; pB; pA; pD"
    high = behind(grid, power(A=5.0, C=-30.0, D=-50.0), limits, largest=1)
    assert high["voltage_high", "C"] == "pC"
    assert high["voltage_high", "D"] == "pD"


def test_equal_contributions_keep_the_order_of_the_participants(grid):
    kw = np.full((1, 3), 20.0)
    flow = grid.power_flow(power(C=60.0))
    names = participants_behind(
        check_limits(flow, GridLimits(vm_min_pu=0.5)),
        grid,
        bus_of_participant={"z": "C", "y": "C", "x": "C"},
        net_kw=kw,
    )
    assert set(names.tolist()) == {"z; y; x"} or names.tolist() == []


def test_unknown_buses_and_powers_that_do_not_fit_are_all_named(grid):
    found = check_limits(grid.power_flow(power(C=60.0)), GridLimits())
    with pytest.raises(InputError) as error:
        participants_behind(found, grid, bus_of_participant={"a": "X", "b": "Y"}, net_kw=np.zeros((1, 3)))
    assert [fault.place for fault in error.value.faults] == ["participant a", "participant b", "net_kw"]
