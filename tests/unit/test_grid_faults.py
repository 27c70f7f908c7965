"""Bad nets: every fault at once, each naming place, value and fix; odd nets that are fine."""

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InputError
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel


def net(**changes):
    """Return a two-bus net as plain tables: the converter reads tables, not pandapower's class."""
    tables = {
        "bus": pd.DataFrame({"name": ["source", "home"], "vn_kv": 0.4, "in_service": True}),
        "line": pd.DataFrame(
            {
                "name": ["cable"],
                "from_bus": 0,
                "to_bus": 1,
                "length_km": 0.1,
                "r_ohm_per_km": 0.2,
                "x_ohm_per_km": 0.08,
            }
        ),
        "load": pd.DataFrame({"name": ["home"], "bus": 1, "p_mw": 0.01, "q_mvar": 0.0}),
        "ext_grid": pd.DataFrame({"name": ["grid"], "bus": 0, "vm_pu": 1.0}),
    }
    return tables | changes


def faults(net):
    with pytest.raises(InputError) as error:
        network_from_pandapower(net, name="net")
    return error.value.faults


def test_every_fault_of_a_net_is_told_at_once():
    bad = net(
        line=pd.DataFrame(
            {
                "name": ["a", "b", "c", "d"], "from_bus": [0, 0, 0, 1], "to_bus": [1, 9, 1, 1],
                "length_km": [-1.0, 1.0, 1.0, 1.0], "r_ohm_per_km": ["x", 0.1, 0.1, 0.1], "x_ohm_per_km": 0.1,
                "max_i_ka": [0.2, 0.2, 0.0, 0.2], "parallel": [1, 1, 0, 1],
            }
        ),
        load=pd.DataFrame({"name": ["home", "shop"], "bus": [1, 77], "p_mw": [np.nan, 1.0], "q_mvar": 0.0}),
        ext_grid=pd.DataFrame({"name": ["grid"], "bus": 0, "vm_pu": -1.0}),
        gen=pd.DataFrame({"name": ["chp"], "bus": [1], "p_mw": [0.1], "in_service": True}),
        shunt=pd.DataFrame({"name": ["coil"], "bus": [1], "q_mvar": [None]}),
    )  # fmt: skip
    told = [(fault.place, fault.reason) for fault in faults(bad)]
    assert told == [
        ("gen 0 (chp)", "cannot be represented in the power flow"),
        ("line 0 (a), length_km", "is not a length not below 0"),
        ("line 2 (c), parallel", "is not a number of systems above 0"),
        ("line 0 (a), r_ohm_per_km", "is not a number"),
        ("line 1 (b), to_bus", "is no bus of the net"),
        ("line 3 (d)", "starts and ends at the same bus"),
        ("line 2 (c), max_i_ka and df", "is no current above 0"),
        ("ext_grid 0 (grid), vm_pu", "is not a voltage above 0"),
        ("shunt 0 (coil), q_mvar", "is not a number"),
        ("load 1 (shop), bus", "is no bus of the net"),
        ("load 0 (home), p_mw", "is not a number"),
    ]
    assert all(fault.fix and fault.source == "net" for fault in faults(bad))


def test_values_are_shown_as_they_stand_in_the_table():
    bad = net(line=net()["line"].assign(r_ohm_per_km="0,2 Ohm"))
    assert [fault.value for fault in faults(bad)] == ["0,2 Ohm"]


def switch(element):
    return pd.DataFrame({"bus": [0], "element": element, "et": "b", "closed": True})


def shunt(**columns):
    return pd.DataFrame({"bus": [1], "q_mvar": 0.1, "step": 1} | columns)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (net(bus=pd.DataFrame({"name": [], "vn_kv": []})), "the net has no bus"),
        ({}, "the net has no bus"),
        (net(ext_grid=net()["ext_grid"].assign(in_service=False)), "the net has no source in service"),
        (net(line=net()["line"].assign(in_service=False)), "has a load but no supply"),
        (net(bus=net()["bus"].assign(vn_kv=[0.4, 20.0])), "joins two nominal voltages"),
        (net(bus=net()["bus"].assign(vn_kv=[0.4, 0.0])), "is not a voltage above 0"),
        (
            net(bus=net()["bus"].assign(vn_kv=[0.4, 20.0]), switch=switch(1)),
            "are joined but differ in nominal voltage",
        ),
        (net(switch=switch(5)), "is no bus of the net"),
        (net(load=net()["load"].assign(const_z_p_percent=80.0, const_i_p_percent=30.0)), "from 0 to 100 %"),
        (net(shunt=shunt(vn_kv=-0.4)), "is not a voltage above 0"),
        (net(shunt=shunt(step_dependency_table=True)), "from a table"),
    ],
)  # fmt: skip
def test_a_net_that_cannot_be_used(bad, reason):
    assert any(reason in fault.reason for fault in faults(bad))


TRAFO = {
    "name": ["trafo"], "hv_bus": 0, "lv_bus": 1, "sn_mva": 0.4, "vn_hv_kv": 20.0, "vn_lv_kv": 0.4,
    "vk_percent": 6.0, "vkr_percent": 1.0, "pfe_kw": 1.0, "i0_percent": 0.2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("sn_mva", 0.0, "is not a rated power above 0"),
        ("vk_percent", None, "is not a short-circuit voltage above 0"),
        ("vkr_percent", 7.0, "exceeds vk_percent"),
        ("df", -1.0, "is not a rating factor above 0"),
    ],
)
def test_a_transformer_that_cannot_be_used(column, value, reason):
    trafo = pd.DataFrame(TRAFO | {column: [value]})
    bad = net(trafo=trafo, line=net()["line"].iloc[:0], bus=net()["bus"].assign(vn_kv=[20.0, 0.4]))
    assert [fault.reason for fault in faults(bad)] == [reason]


def test_old_nets_with_a_phase_shifter_flag_tap_by_ratio():
    taps = {
        "tap_side": "hv",
        "tap_pos": 2,
        "tap_neutral": 0,
        "tap_step_percent": 2.5,
        "tap_phase_shifter": False,
    }
    good = net(
        trafo=pd.DataFrame(TRAFO | taps),
        line=net()["line"].iloc[:0],
        bus=net()["bus"].assign(vn_kv=[20.0, 0.4]),
    )
    assert network_from_pandapower(good).transformers.hv_kv.tolist() == [21.0]


def test_tables_of_old_nets_are_enough():
    old = net(bus_geodata=pd.DataFrame({"x": [0.0, 3.0], "y": [1.0, 1.0]}))
    old["load"]["const_z_percent"] = 100.0
    network = network_from_pandapower(old)
    assert (network.bus_x.tolist(), network.coordinates) == ([0.0, 3.0], "data")
    assert network.loads.z_share_p.tolist() == network.loads.z_share_q.tolist() == [1.0]
    assert np.isinf(network.lines.rated_a).all()


def test_a_single_bus_is_a_grid():
    lone = {
        "bus": net()["bus"].iloc[:1],
        "ext_grid": net()["ext_grid"],
        "load": net()["load"].assign(bus=0, p_mw=-0.02),
    }
    grid = GridModel(network_from_pandapower(lone))
    flow = grid.power_flow(*grid.base_import())
    assert (flow.import_kw.tolist(), flow.losses_kw.tolist()) == (
        [pytest.approx(-20.0)],
        [pytest.approx(0.0)],
    )
    assert flow.loading_percent.shape == (1, 0)
    assert flow.reverse_flow.all()


def test_negative_loads_export():
    exporting = net(load=net()["load"].assign(p_mw=-0.03, scaling=0.5))
    flow = GridModel(network_from_pandapower(exporting)).base_power_flow()
    assert flow.import_kw[0] == pytest.approx(-15.0, abs=0.1)
    assert flow.vm_pu[0, 1] > 1.0
    assert flow.losses_kw[0] > 0


def test_a_net_is_not_changed_by_its_conversion():
    given = net()
    before = {name: table.copy() for name, table in given.items()}
    network_from_pandapower(given)
    for name, table in given.items():
        pd.testing.assert_frame_equal(table, before[name])
