"""Traps of pandapower's data, each on a small net: what a converter gets wrong unless it looks."""

import copy
import json
import pickle

import numpy as np
import pandapower as pp
import pandapower.toolbox
import pandas as pd
import pytest
from grid_cases import agrees

from gridagora.errors import InputError
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


NAMEPLATE = {
    "sn_mva": 0.4,
    "vn_hv_kv": 20.0,
    "vn_lv_kv": 0.4,
    "vkr_percent": 1.2,
    "vk_percent": 6.0,
    "pfe_kw": 0.9,
    "i0_percent": 0.3,
}
TAPS = {
    "tap_side": "hv",
    "tap_neutral": 0.0,
    "tap_min": -5.0,
    "tap_max": 5.0,
    "tap_step_percent": 2.5,
    "tap_pos": -2.0,
}


def feeder(**transformer):
    """20/0.4 kV transformer, two cables with charging, loads at both ends."""
    net = pp.create_empty_network(f_hz=50)
    for name, kv in (("mv", 20.0), ("busbar", 0.4), ("middle", 0.4), ("end", 0.4)):
        pp.create_bus(net, kv, name=name)
    pp.create_ext_grid(net, 0, vm_pu=1.02)
    pp.create_transformer_from_parameters(
        net, 0, 1, name="trafo", **(NAMEPLATE | {"shift_degree": 150.0} | transformer)
    )
    for start in (1, 2):
        pp.create_line_from_parameters(
            net, start, start + 1, 0.2, 0.21, 0.08, 300.0, 0.27, name=f"cable {start}"
        )
    pp.create_load(net, 2, 0.08, 0.02, name="shop")
    pp.create_load(net, 3, 0.05, 0.01, name="home")
    return net


def test_a_short_circuit_power_of_the_source_moves_nothing():
    net = feeder()
    net.ext_grid["s_sc_max_mva"], net.ext_grid["rx_max"] = 100.0, 0.1
    agrees(net)


def test_a_hundred_mva_grid_does_not_bend_the_source():
    net = pp.create_empty_network()
    for kv in (110.0, 110.0):
        pp.create_bus(net, kv)
    pp.create_ext_grid(net, 0)
    pp.create_line_from_parameters(net, 0, 1, 10.0, 0.1, 0.3, 9.0, 0.6)
    pp.create_load(net, 1, 90.0, 40.0)
    agrees(net)


@pytest.mark.parametrize("group", [None, np.nan, pd.NA, "", "Dyn5", "YNyn0"])
def test_any_vector_group_serves_the_balanced_power_flow(group):
    net = feeder()
    net.trafo["vector_group"] = pd.Series([group], dtype=object)
    agrees(net)


def test_string_object_and_nullable_columns_are_read_for_their_values():
    net = feeder(**TAPS)
    net.trafo["tap_changer_type"] = "Ratio"
    for table in ("trafo", "line", "load", "bus"):
        frame = net[table].convert_dtypes()
        for column in frame.columns:
            if frame[column].dtype == "Float64":
                frame[column] = frame[column].astype(object)
        net[table] = frame
    reference = feeder(**TAPS)
    reference.trafo["tap_changer_type"] = "Ratio"
    assert_same(network_from_pandapower(net), network_from_pandapower(reference))


def test_an_unpickled_net_is_the_same_net():
    net = feeder(**TAPS)
    net.trafo["tap_changer_type"] = pd.Series(["Ratio"], dtype=object)
    loaded = pp.from_json_string(pp.to_json(net))
    unpickled = copy.deepcopy(net)
    for table in ("trafo", "line", "bus"):
        unpickled[table] = pickle.loads(pickle.dumps(net[table]))
    assert_same(network_from_pandapower(unpickled), network_from_pandapower(net))
    assert_same(network_from_pandapower(loaded), network_from_pandapower(net))


def assert_same(left, right):
    first, second = left.to_arrays(), right.to_arrays()
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


def test_a_tap_side_of_none_means_no_changer():
    net = feeder(tap_side=None, tap_pos=3.0)
    net.trafo["tap_changer_type"] = "Ratio"
    agrees(net)


def test_a_storage_is_a_load():
    net = feeder()
    pp.create_storage(net, 3, p_mw=0.03, max_e_mwh=0.1, q_mvar=0.005, scaling=0.5, name="battery")
    grid = agrees(net)
    assert grid.base_import()[0][3] == pytest.approx(50.0 + 15.0)


def test_generators_count_as_negative_load_with_scaling():
    net = feeder()
    pp.create_sgen(net, 3, p_mw=0.2, q_mvar=0.02, scaling=0.6, name="roof")
    grid = agrees(net)
    assert grid.base_import()[0][3] == pytest.approx(50.0 - 120.0)


def test_a_motor_draws_its_working_point():
    net = feeder()
    pp.create_motor(
        net, 3, pn_mech_mw=0.03, cos_phi=0.9, efficiency_percent=95.0, loading_percent=80.0, scaling=0.7
    )
    agrees(net)


def test_asymmetric_loads_count_with_their_sum():
    net = feeder()
    pp.create_asymmetric_load(net, 3, p_a_mw=0.01, p_b_mw=0.02, q_c_mvar=0.003, scaling=0.5)
    pp.create_asymmetric_sgen(net, 2, p_b_mw=0.02)
    agrees(net)


@pytest.mark.parametrize("scaling", [1.0, 0.4, 1.7])
@pytest.mark.parametrize("shares", [(100, 0), (0, 100), (40, 30), (0, 0)])
def test_voltage_dependent_loads_are_scaled_once(scaling, shares):
    net = feeder()
    net.load["scaling"] = scaling
    for power in "pq":
        net.load[f"const_z_{power}_percent"], net.load[f"const_i_{power}_percent"] = shares
    agrees(net)


def test_shares_of_p_and_q_may_differ():
    net = feeder()
    net.load["const_z_p_percent"], net.load["const_i_q_percent"] = 60.0, 80.0
    agrees(net)


@pytest.mark.parametrize("kind", [None, np.nan, "Ratio", "Symmetrical", "Ideal"])
@pytest.mark.parametrize("side", ["hv", "lv"])
@pytest.mark.parametrize("position", [-2.0, 1.4])
def test_a_tap_works_only_with_a_changer_and_may_be_fractional(kind, side, position):
    net = feeder(**(TAPS | {"tap_side": side, "tap_pos": position}))
    net.trafo["tap_pos"] = position
    net.trafo["tap_changer_type"] = pd.Series([kind], dtype=object)
    grid = agrees(net)
    assert bool(grid.network.notes) == (not isinstance(kind, str))


def test_a_tap_with_an_angle_turns_and_scales():
    net = feeder(**(TAPS | {"tap_step_degree": 30.0}))
    net.trafo["tap_changer_type"] = "Symmetrical"
    agrees(net)


def test_a_second_tap_changer_works_too():
    net = feeder(**TAPS)
    net.trafo["tap_changer_type"] = "Ratio"
    for column, value in (
        ("side", "lv"),
        ("neutral", 0.0),
        ("pos", 2.0),
        ("step_percent", 1.5),
        ("step_degree", 0.0),
    ):
        net.trafo[f"tap2_{column}"] = value
    net.trafo["tap2_changer_type"] = "Ratio"
    agrees(net)


def test_a_phase_shifter_in_a_ring_drives_a_circulating_flow():
    net = feeder(shift_degree=0.0)
    pp.create_transformer_from_parameters(
        net, 0, 1, name="shifter", **NAMEPLATE, tap_side="hv", tap_neutral=0.0, tap_min=-9.0, tap_max=9.0,
        tap_step_degree=0.5, tap_pos=2.0, tap_changer_type="Ideal",
    )  # fmt: skip
    agrees(net)


@pytest.mark.parametrize("side", ["hv", "lv"])
def test_a_tap_table_gives_ratio_angle_and_impedance(side):
    net = feeder(**(TAPS | {"tap_side": side}))
    net.trafo["tap_changer_type"], net.trafo["tap_dependency_table"] = "Tabular", True
    net.trafo["id_characteristic_table"] = pd.array([7], dtype="Int64")
    steps = [-2, -1, 0]
    net.trafo_characteristic_table = pd.DataFrame(
        {
            "id_characteristic": [7] * 3, "step": steps, "voltage_ratio": [0.96, 0.98, 1.0],
            "angle_deg": [1.0, 0.5, 0.0],
            "vk_percent": [6.6, 6.3, 6.0], "vkr_percent": [1.4, 1.3, 1.2],
            **{f"{v}_{w}_percent": [np.nan] * 3 for v in ("vk", "vkr") for w in ("hv", "mv", "lv")},
        }
    )  # fmt: skip
    agrees(net)


def test_a_tap_table_without_the_position_is_a_fault():
    net = feeder(**TAPS)
    net.trafo["tap_changer_type"], net.trafo["tap_dependency_table"] = "Tabular", True
    net.trafo["id_characteristic_table"] = pd.array([7], dtype="Int64")
    with pytest.raises(InputError, match="has no line in the characteristic table"):
        network_from_pandapower(net)


def test_parallel_units_and_rating_factors_count_in_impedance_and_loading():
    net = feeder(parallel=3, df=0.8)
    net.line["parallel"], net.line["df"] = [2, 1], [0.9, 1.1]
    grid = agrees(net)
    assert grid.network.lines.rated_a[0] == pytest.approx(270 * 0.9 * 2)


def test_transformer_loading_is_by_current_of_the_larger_side():
    net = feeder(vn_hv_kv=21.0, vn_lv_kv=0.42)
    agrees(net)


def test_a_conducting_line_without_capacitance_keeps_its_conductance():
    net = feeder()
    net.line["g_us_per_km"], net.line["c_nf_per_km"] = 5e3, [0.0, 300.0]
    agrees(net)


def test_closed_bus_bus_switches_fuse_buses_and_both_names_stay():
    net = feeder()
    for _ in range(3):
        pp.create_bus(net, 0.4, name="section")
    for pair in ((1, 4), (4, 5), (5, 6)):
        pp.create_switch(net, *pair, et="b")
    pp.create_load(net, 6, 0.02, name="kiosk")
    grid = agrees(net)
    assert grid.buses == ("mv", "busbar", "middle", "end", "4", "5", "6")
    assert len(set(grid.network.bus_node[[1, 4, 5, 6]].tolist())) == 1
    kw, kvar = grid.base_import()
    elsewhere = kw.copy()
    elsewhere[[1, 6]] = elsewhere[[6, 1]]
    both = grid.power_flow(np.stack([kw, elsewhere]), np.stack([kvar, kvar]))
    np.testing.assert_array_equal(both.vm_pu[0], both.vm_pu[1])


def test_a_line_bridged_by_a_closed_switch_carries_nothing_but_its_charging():
    net = feeder()
    net.line["c_nf_per_km"] = 4e5
    pp.create_switch(net, 2, 3, et="b")
    grid = agrees(net)
    assert grid.elements == ("cable 1", "trafo")
    assert "lines bridged by closed switches, left out: cable 2" in grid.network.notes


@pytest.mark.parametrize("side", [2, 3])
def test_an_open_line_beside_a_closed_switch_draws_its_charging(side):
    net = feeder()
    net.line["c_nf_per_km"] = 4e5
    pp.create_switch(net, 2, 3, et="b")
    pp.create_switch(net, side, 1, et="l", closed=False)
    assert agrees(net).elements == ("cable 1", "cable 2", "trafo")


def test_a_bus_bus_switch_with_impedance_is_a_branch():
    net = feeder()
    pp.create_bus(net, 0.4, name="section")
    pp.create_switch(net, 3, 4, et="b", z_ohm=0.05)
    pp.create_load(net, 4, 0.02, name="kiosk")
    grid = agrees(net)
    assert "switch 0" in grid.elements


@pytest.mark.parametrize("side", [2, 3])
def test_an_open_line_switch_leaves_the_charging_of_the_other_side(side):
    net = feeder()
    pp.create_line_from_parameters(net, 1, 3, 0.3, 0.21, 0.08, 9e4, 0.27, name="tie")
    pp.create_switch(net, side, 1, et="l", closed=False)
    grid = agrees(net)
    assert "cable 2" in grid.elements


def test_a_line_open_at_both_ends_is_out():
    net = feeder()
    pp.create_line_from_parameters(net, 1, 3, 0.3, 0.21, 0.08, 9e4, 0.27, name="tie")
    for side in (2, 3):
        pp.create_switch(net, side, 1, et="l", closed=False)
    grid = agrees(net)
    assert grid.elements == ("cable 1", "tie", "trafo")


@pytest.mark.parametrize("bus", [0, 1])
def test_an_open_transformer_switch_leaves_its_no_load_current(bus):
    net = feeder()
    spare = pp.create_transformer_from_parameters(net, 0, 1, name="spare", shift_degree=150.0, **NAMEPLATE)
    pp.create_switch(net, bus, spare, et="t", closed=False)
    agrees(net)


def test_elements_out_of_service_are_out():
    net = feeder()
    pp.create_line_from_parameters(net, 1, 3, 0.3, 0.21, 0.08, 9e4, 0.27, name="tie", in_service=False)
    pp.create_load(net, 3, 9.0, in_service=False)
    pp.create_gen(net, 3, 0.1, in_service=False)
    pp.create_shunt(net, 3, q_mvar=1.0, in_service=False)
    grid = agrees(net)
    assert "tie" not in grid.elements


def test_a_bus_out_of_service_takes_its_loads_and_the_line_end_with_it():
    net = feeder()
    net.bus.loc[3, "in_service"] = False
    grid = agrees(net)
    assert grid.buses == ("mv", "busbar", "middle")
    assert "cable 2" in grid.elements
    assert any("bus 3 (end)" in note for note in grid.network.notes)


def test_a_transformer_to_a_bus_without_supply_on_the_far_side():
    net = feeder()
    pp.create_bus(net, 0.4, name="dark")
    spare = pp.create_transformer_from_parameters(net, 0, 4, name="spare", shift_degree=150.0, **NAMEPLATE)
    pp.create_switch(net, 4, spare, et="t", closed=False)
    grid = agrees(net)
    assert "dark" not in grid.buses
    assert "spare" in grid.elements


def test_an_isolated_bus_with_a_load_is_a_fault_without_one_a_note():
    net = feeder()
    pp.create_bus(net, 0.4, name="island")
    assert any("island" in note for note in agrees(net).network.notes)
    pp.create_load(net, 4, 0.01, name="lost home")
    with pytest.raises(InputError, match=r"bus 4 \(island\): has a load but no supply .*lost home"):
        network_from_pandapower(net)


def test_shunts_count_by_step_and_their_own_voltage():
    net = feeder()
    pp.create_shunt(net, 3, q_mvar=-0.01, p_mw=0.002, step=3, vn_kv=0.42)
    pp.create_shunt(net, 2, q_mvar=0.01)
    grid = agrees(net)
    assert len(grid.network.shunts) == 2


def test_two_sources_share_the_load():
    net = feeder()
    pp.create_bus(net, 20.0, name="second mv")
    pp.create_ext_grid(net, 4, vm_pu=1.01)
    pp.create_transformer_from_parameters(net, 4, 3, name="other", shift_degree=150.0, **NAMEPLATE)
    agrees(net)


def test_two_sources_on_one_bus_must_agree():
    net = feeder()
    pp.create_ext_grid(net, 0, vm_pu=1.02)
    grid = GridModel(network_from_pandapower(net))
    assert grid.base_power_flow().import_kw[0] == pytest.approx(130.0 + grid.base_power_flow().losses_kw[0])
    net.ext_grid.loc[1, "vm_pu"] = 1.0
    with pytest.raises(InputError, match="hold the same node at two voltages"):
        network_from_pandapower(net)


@pytest.mark.parametrize(
    ("add", "element"),
    [
        (lambda net: pp.create_gen(net, 3, 0.1, name="chp"), r"gen 0 \(chp\)"),
        (lambda net: pp.create_ward(net, 3, 0.1, 0, 0, 0), "ward 0"),
        (lambda net: pp.create_xward(net, 3, 0.1, 0, 0, 0, 0.1, 0.1, 1.0), "xward 0"),
        (lambda net: pp.create_dcline(net, 2, 3, 0.1, 1.0, 0.1, 1.0, 1.0), "dcline 0"),
        (lambda net: pp.create_impedance(net, 2, 3, 0.1, 0.1, 1.0), "impedance 0"),
    ],
    ids=["gen", "ward", "xward", "dcline", "impedance"],
)
def test_what_cannot_be_represented_is_named_with_its_fix(add, element):
    net = feeder()
    add(net)
    with pytest.raises(InputError, match=f"{element}: cannot be represented .* replace it by"):
        network_from_pandapower(net)


def test_a_three_winding_transformer_is_named():
    import pandapower.networks as pn

    with pytest.raises(InputError, match="trafo3w 0"):
        network_from_pandapower(pn.example_multivoltage())


def test_numbers_need_not_be_contiguous_and_names_not_unique():
    net = feeder()
    renamed = {0: 40, 1: 7, 2: 100, 3: 3}
    pandapower.toolbox.reindex_buses(net, renamed)
    pandapower.toolbox.reindex_elements(net, "line", [9, 4])
    net.bus["name"] = ["a", "b", "b", None]
    net.line["name"] = "same"
    grid = agrees(net)
    assert grid.buses == ("a", "7", "100", "3")
    assert grid.elements == ("9", "4", "trafo")
    assert grid.network.bus_of_number() == {40: "a", 7: "7", 100: "100", 3: "3"}


def test_a_bus_named_like_the_number_of_another_keeps_its_name():
    net = feeder()
    net.bus["name"] = ["1", "twin", "twin", "2"]
    assert network_from_pandapower(net).buses == ("1", "bus 1", "bus 2", "2")


def test_a_line_of_length_zero_is_a_closed_switch():
    net = feeder()
    pp.create_bus(net, 0.4, name="box")
    pp.create_line_from_parameters(net, 3, 4, 0.0, 0.21, 0.08, 300.0, 0.27, name="stub")
    pp.create_load(net, 4, 0.01, name="kiosk")
    network = network_from_pandapower(net)
    assert network.bus_node[3] == network.bus_node[4]
    assert "lines without impedance, taken as closed switches: stub" in network.notes
    flow = GridModel(network).base_power_flow()
    assert flow.vm_pu[0, 3] == flow.vm_pu[0, 4]


def test_zero_sequence_data_are_used_and_not_taken_from_the_positive_sequence():
    def low_voltage(vk0_percent):
        net = feeder(vector_group="Dyn", vk0_percent=vk0_percent, vkr0_percent=1.0, mag0_percent=1e7,
                     mag0_rx=0.0, si0_hv_partial=0.9)  # fmt: skip
        net.line["r0_ohm_per_km"], net.line["x0_ohm_per_km"], net.line["c0_nf_per_km"] = 0.8, 0.3, 150.0
        net.ext_grid["s_sc_max_mva"], net.ext_grid["rx_max"] = 1e9, 0.1
        net.ext_grid["r0x0_max"], net.ext_grid["x0x_max"] = 0.1, 1.0
        pp.create_asymmetric_load(net, 3, p_a_mw=0.03, q_a_mvar=0.01, p_b_mw=0.01)
        pp.runpp_3ph(net, tolerance_mva=1e-10)
        grid = GridModel(network_from_pandapower(net))
        flow = grid.power_flow_3ph(*grid.base_import_3ph())
        expected = net.res_bus_3ph[["vm_a_pu", "vm_b_pu", "vm_c_pu"]].to_numpy()
        # pandapower's three-phase solver knows only the T model of transformers.
        np.testing.assert_allclose(flow.vm_pu[0], expected, rtol=0, atol=5e-6)
        return flow.vm_pu[0, 1]

    assert np.abs(low_voltage(6.0) - low_voltage(3.0)).max() > 1e-3


def test_geo_coordinates_are_read_from_geojson_and_else_laid_out_as_a_tree():
    net = feeder()
    network = network_from_pandapower(net)
    assert network.coordinates == "layout"
    assert network.bus_x.tolist() == [0.0, 1.0, 2.0, 3.0]
    net.bus["geo"] = [json.dumps({"type": "Point", "coordinates": [k, 2.0 * k]}) for k in range(4)]
    network = network_from_pandapower(net)
    assert (network.coordinates, network.bus_y.tolist()) == ("data", [0.0, 2.0, 4.0, 6.0])
