"""Zones of grids: feeders with sources, a user's table, clusters; their gates and their faults."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandapower as pp
import pandas as pd
import pytest

from gridagora.adapters.grids import Grid
from gridagora.errors import InputError
from gridagora.grid import zone_clusters
from gridagora.grid.admittance import branches_of
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.model import GridModel
from gridagora.grid.topology import components
from gridagora.grid.zones import (
    electrical_distance,
    gate_limits_kw,
    zones_by_distance,
    zones_from_feeders,
    zones_from_table,
)

CABLE = {"r_ohm_per_km": 0.2, "x_ohm_per_km": 0.1, "c_nf_per_km": 0.0, "max_i_ka": 0.2}


def line(net, start, end, name, km=1.0):
    pp.create_line_from_parameters(net, start, end, km, name=name, **CABLE)


def station(net, high, low, name, *, kva, kv):
    pp.create_transformer_from_parameters(
        net, high, low, kva / 1e3, *kv, vk_percent=6.0, vkr_percent=1.0, pfe_kw=0.0, i0_percent=0.0,
        shift_degree=150.0, name=name,
    )  # fmt: skip


@cache
def town():
    """Return two MV feeders of two buses under one station, an LV grid with two branches at each MV bus.

    ``busbar`` - ``m1`` - ``m2`` and ``busbar`` - ``n1`` - ``n2``; at m1 hangs ``m1 bar`` with ``m1 a`` and
    ``m1 b``, and so on.
    """
    net = pp.create_empty_network()
    top = pp.create_bus(net, 110.0, name="hv")
    busbar = pp.create_bus(net, 20.0, name="busbar")
    pp.create_ext_grid(net, top)
    station(net, top, busbar, "hv trafo", kva=10_000, kv=(110.0, 20.0))
    for feeder in "mn":
        last = busbar
        for number in "12":
            name = feeder + number
            bus = pp.create_bus(net, 20.0, name=name)
            line(net, last, bus, f"cable {name}")
            bar = pp.create_bus(net, 0.4, name=f"{name} bar")
            station(net, bus, bar, f"trafo {name}", kva=400, kv=(20.0, 0.4))
            for branch in "ab":
                home = pp.create_bus(net, 0.4, name=f"{name} {branch}")
                line(net, bar, home, f"cable {name} {branch}", km=0.1 if branch == "a" else 0.2)
            last = bus
    return network_from_pandapower(net, name="town")


def shape(tree):
    return {zone.name: (zone.parent, set(zone.buses), zone.gate_elements) for zone in tree.zones}


def test_feeders_with_sources_nest():
    tree = zones_from_feeders(town(), sources=["m1 a", "m2 b", "n1 a"])
    assert shape(tree) == {
        "bulk": (None, {"hv"}, ()),
        "dso": ("bulk", {"busbar"}, ("hv trafo",)),
        "mv m1": ("dso", {"m1", "m2"}, ("cable m1",)),
        "mv n1": ("dso", {"n1", "n2", "n2 bar", "n2 a", "n2 b"}, ("cable n1",)),
        "lv m1 bar": ("mv m1", {"m1 bar", "m1 a", "m1 b"}, ("trafo m1",)),
        "lv m2 bar": ("mv m1", {"m2 bar", "m2 a", "m2 b"}, ("trafo m2",)),
        "lv n1 bar": ("mv n1", {"n1 bar", "n1 a", "n1 b"}, ("trafo n1",)),
    }
    assert [zone.level for zone in tree.zones] == ["bulk", "dso", "mv", "lv", "lv", "mv", "lv"]


def test_an_mv_feeder_without_sources_joins_the_nearest_with_all_below_it():
    tree = zones_from_feeders(town(), sources=["m2"])
    assert set(tree.names) == {"bulk", "dso", "mv m1"}
    joined = tree.zone("mv m1")
    assert {"n1", "n2 bar", "n1 a", "m1 b"} <= set(joined.buses)
    assert joined.gate_elements == ("cable m1", "cable n1")


def test_each_outgoing_branch_may_be_a_feeder():
    tree = zones_from_feeders(town(), sources=["m1 a", "m1 b", "n1 a"], lv_feeders="outgoing")
    assert shape(tree)["lv m1 a"] == ("mv m1", {"m1 a"}, ("cable m1 a",))
    assert {"m1", "m2", "m1 bar", "m2 bar", "m2 a", "m2 b"} == set(tree.zone("mv m1").buses)


def test_a_grid_that_is_fed_at_medium_voltage():
    tree = zones_from_feeders(Grid.by_name("ieee33").network, sources=["10"])
    assert [(zone.name, zone.parent, len(zone.buses)) for zone in tree.zones] == [
        ("bulk", None, 1),
        ("dso", "bulk", 0),
        ("mv 1", "dso", 32),
    ]
    assert tree.zone("mv 1").gate_elements == tree.zone("dso").gate_elements == ("0",)


def test_the_own_generators_of_a_grid_are_its_sources():
    tree = zones_from_feeders(Grid.from_simbench("1-LV-rural1--0-sw").network)
    assert [zone.level for zone in tree.zones] == ["bulk", "dso", "lv"]


def test_faults_of_feeders_come_together():
    with pytest.raises(InputError) as found:
        zones_from_feeders(town(), sources=["x", "y"])
    assert [fault.value for fault in found.value.faults] == ["x", "y"]
    with pytest.raises(InputError, match="no feeder has a source"):
        zones_from_feeders(town())


def test_a_table_is_checked_against_the_grid():
    table = pd.DataFrame(
        {
            "bus": ["m1", "m2", "m1 bar", "m1 a"],
            "zone": ["mv", "mv", "lv", "lv"],
            "parent": ["", "", "mv", "mv"],
        }
    )
    tree = zones_from_table(town(), table)
    assert tree.zone("mv").gate_elements == ("cable m1",)
    assert tree.zone("lv").gate_elements == ("trafo m1",)
    assert {"hv", "busbar", "n1", "n2 a"} <= set(tree.zone("bulk").buses)
    assert set(tree.zone("lv").buses) == {"m1 bar", "m1 a", "m1 b"}
    assert set(tree.zone("mv").buses) == {"m1", "m2", "m2 bar", "m2 a", "m2 b"}
    assert sum(len(zone.buses) for zone in tree.zones) == len(town().buses)


def test_faults_of_table_and_grid_come_together():
    table = pd.DataFrame({"bus": ["m1", "m1", "q"], "zone": ["a", "b", "b"], "parent": ["", "c", "c"]})
    with pytest.raises(InputError) as found:
        zones_from_table(town(), table)
    assert sorted(fault.reason for fault in found.value.faults) == [
        "a bus in two zones",
        "the grid has no such bus",
        "unknown parent",
    ]


def test_a_zone_without_a_slack():
    table = pd.DataFrame(
        {"bus": ["m1", "m1 a", "n1 b"], "zone": ["mv", "lv", "far"], "parent": ["", "", "mv"]}
    )
    with pytest.raises(InputError) as found:
        zones_from_table(town(), table)
    assert [(fault.place, fault.value) for fault in found.value.faults] == [
        ("zone lv", "bulk"),
        ("zone far", "mv"),
    ]
    assert "without a slack" in found.value.faults[0].reason


def test_a_disconnected_bus():
    network = town()
    lines = network.lines
    cut = ~np.isin(lines.name, ["cable n2 a", "cable n2 b"])
    network = replace(network, lines=replace(lines, from_closed=cut, to_closed=cut))
    table = pd.DataFrame({"bus": ["m1", "n2 a"], "zone": ["x", "y"], "parent": ["", ""]})
    for call in (
        lambda: zones_from_table(network, table),
        lambda: zones_from_feeders(network, sources=["m1"]),
        lambda: zones_by_distance(network, zones=2),
    ):
        with pytest.raises(InputError) as found:
            call()
        assert [fault.place for fault in found.value.faults] == ["bus n2 a", "bus n2 b"]


def test_electrical_distance_is_the_impedance_of_the_path():
    network = town()
    far = electrical_distance(network)
    at = {bus: k for k, bus in enumerate(network.buses)}
    cable = abs(0.2 + 0.1j)
    assert far[at["m1"], at["m2"]] == pytest.approx(cable / 20**2, rel=1e-6)
    assert far[at["m1 a"], at["m1 b"]] == pytest.approx(0.3 * cable / 0.4**2, rel=1e-6)
    through = far[at["busbar"], at["m1"]] + far[at["m1"], at["m2"]]
    assert far[at["busbar"], at["m2"]] == pytest.approx(through, rel=1e-6)
    assert np.allclose(far, far.T, rtol=1e-9)
    assert (np.diag(far) == 0).all()


def test_clusters_hang_together_and_cover_the_grid():
    grid = Grid.by_name("cigre-lv")
    for count in (1, 2, 5, 9):
        tree = zones_by_distance(grid.network, zones=count)
        assert len(tree.zones) == count + 1
        assert sorted(bus for zone in tree.zones for bus in zone.buses) == sorted(grid.buses)
        assert all(zone.gate_elements for zone in tree.zones if zone.parent is not None)
    again = zones_by_distance(grid.network, zones=9)
    assert again == tree


def test_a_threshold_sets_how_many_clusters_there_are():
    network = town()
    counts = [len(zones_by_distance(network, threshold=t).zones) for t in (1e-5, 0.2, 1e3)]
    assert counts[0] == len(network.buses)
    assert counts[0] > counts[1] > counts[2] == 2


def test_clusters_that_cannot_be():
    for wrong in ({}, {"zones": 3, "threshold": 1.0}, {"zones": 0}, {"zones": 99}, {"threshold": -1.0}):
        with pytest.raises(InputError):
            zones_by_distance(town(), **wrong)


def test_gates_let_through_what_their_branches_are_rated_for():
    tree = zones_from_feeders(town(), sources=["m1 a", "n1 a"])
    limits = gate_limits_kw(town(), tree, power_factor=0.9, loading_percent=50)
    assert limits["dso"] == pytest.approx(4500)
    assert limits["lv m1 bar"] == pytest.approx(180)
    assert limits["mv m1"] == pytest.approx(0.45 * np.sqrt(3) * 20 * 200)


def test_meshes_do_not_disturb_zones():
    """An open ring is two feeders; closed, it is one, which hangs on both of its ends."""

    def ring(closed):
        net = pp.create_empty_network()
        top, busbar, one, two = (
            pp.create_bus(net, kv, name=name)
            for kv, name in ((110.0, "hv"), (20.0, "bar"), (20.0, "one"), (20.0, "two"))
        )
        pp.create_ext_grid(net, top)
        station(net, top, busbar, "hv trafo", kva=10_000, kv=(110.0, 20.0))
        line(net, busbar, one, "c1")
        line(net, busbar, two, "c2")
        line(net, one, two, "tie")
        pp.create_switch(net, two, 2, et="l", closed=closed)
        return zones_from_feeders(network_from_pandapower(net, name="ring"), sources=["one", "two"])

    assert set(ring(False).names) == {"bulk", "dso", "mv one", "mv two"}
    assert set(ring(True).names) == {"bulk", "dso", "mv one"}
    assert ring(True).zone("mv one").gate_elements == ("c1", "c2")


def test_zones_that_meet_in_a_closed_switch_have_no_gate_branch():
    net = pp.create_empty_network()
    top, bar, home = (pp.create_bus(net, 0.4, name=name) for name in ("top", "bar", "home"))
    pp.create_ext_grid(net, top)
    pp.create_switch(net, top, bar, et="b", closed=True)
    line(net, bar, home, "cable")
    network = network_from_pandapower(net, name="switch")
    table = pd.DataFrame({"bus": ["top", "bar", "home"], "zone": ["bulk", "a", "a"], "parent": ["", "", ""]})
    tree = zones_from_table(network, table)
    assert tree.zone("a").gate_elements == ()
    assert gate_limits_kw(network, tree) == {"a": np.inf}


def test_faults_of_kinds_and_numbers():
    with pytest.raises(InputError) as found:
        zones_from_feeders(town(), sources=["nowhere"], lv_feeders="street")
    assert [fault.place for fault in found.value.faults] == ["bus nowhere", "lv_feeders"]
    with pytest.raises(InputError, match="whole number"):
        zones_by_distance(town(), zones=2.5)
    tree = zones_from_feeders(town(), sources=["m1 a", "n1 a"])
    other = Grid.by_name("ieee33").network
    with pytest.raises(InputError) as found:
        gate_limits_kw(other, tree, power_factor=2.0, loading_percent=-1.0)
    assert [fault.place for fault in found.value.faults[:2]] == ["power_factor", "loading_percent"]
    assert {fault.reason for fault in found.value.faults[2:]} == {"the grid has no such branch"}


def test_a_grid_will_do_where_its_network_does():
    grid = GridModel(town())
    sources = ["m1 a", "n1 a"]
    table = pd.DataFrame({"bus": ["m1", "n1"], "zone": ["x", "y"], "parent": ["", ""]})
    tree = zones_from_feeders(grid, sources=sources)
    assert tree == zones_from_feeders(town(), sources=sources)
    assert zones_from_table(grid, table) == zones_from_table(town(), table)
    assert zones_by_distance(grid, zones=3) == zones_by_distance(town(), zones=3)
    assert gate_limits_kw(grid, tree) == gate_limits_kw(town(), tree)
    assert np.array_equal(electrical_distance(grid), electrical_distance(town()))


@pytest.mark.parametrize(
    "call",
    [
        lambda thing: zones_from_feeders(thing),
        lambda thing: zones_from_table(thing, pd.DataFrame()),
        lambda thing: zones_by_distance(thing, zones=2),
        lambda thing: gate_limits_kw(thing, zones_from_feeders(town(), sources=["m1"])),
        lambda thing: electrical_distance(thing),
    ],
)
def test_what_is_no_grid_is_told(call):
    with pytest.raises(InputError, match=r"network: is no grid \(found 'ieee33'\); give a Grid"):
        call("ieee33")


def cut(network, *names):
    """Return the network with lines open at both ends."""
    closed = ~np.isin(network.lines.name, names)
    return replace(network, lines=replace(network.lines, from_closed=closed, to_closed=closed))


def test_dead_buses_strangers_and_zones_without_a_slack_are_told_together():
    network = cut(town(), "cable n2 a")
    table = pd.DataFrame(
        {
            "bus": ["m1", "m1 a", "n2 a", "n1 b", "nowhere"],
            "zone": ["mv", "lv", "dark", "far", "far"],
            "parent": ["", "", "", "mv", "mv"],
        }
    )
    with pytest.raises(InputError) as found:
        zones_from_table(network, table)
    assert [fault.place for fault in found.value.faults] == [
        "bus nowhere",
        "bus n2 a",
        "zone lv",
        "zone far",
    ]


def test_no_source_is_told_with_all_else():
    network = cut(town(), "cable n2 a")
    for sources in (None, []):
        with pytest.raises(InputError) as found:
            zones_from_feeders(network, sources=sources, lv_feeders="street")
        assert [fault.place for fault in found.value.faults] == ["bus n2 a", "lv_feeders", "sources"]
    with pytest.raises(InputError, match="no feeder has a source"):
        zones_from_feeders(town(), sources=["busbar"])


def test_distances_of_a_grid_with_dead_buses():
    with pytest.raises(InputError) as found:
        electrical_distance(cut(town(), "cable n2 a", "cable n2 b"))
    assert [fault.place for fault in found.value.faults] == ["bus n2 a", "bus n2 b"]


def test_a_grid_too_large_to_cluster(monkeypatch):
    monkeypatch.setattr(zone_clusters, "MOST_NODES", 10)
    with pytest.raises(InputError) as found:
        zones_by_distance(town(), zones=0)
    assert [fault.place for fault in found.value.faults] == ["network", "zones"]
    assert "more than 10 buses" in found.value.faults[0].reason


@pytest.mark.parametrize("name", ["ieee33", "cigre-lv", "cigre-mv", "1-MV-rural--0-sw"])
def test_every_cluster_hangs_together_whatever_their_number(name):
    network = Grid.by_name(name).network
    branches = branches_of(network)
    most = len(network.node_kv) - 1
    at = {bus: int(node) for bus, node in zip(network.buses, network.bus_node, strict=True)}
    for count in sorted({*range(1, min(most, 12)), most // 2, most}):
        tree = zones_by_distance(network, zones=count)
        label = np.zeros(len(network.node_kv), dtype=int)
        for number, zone in enumerate(tree.zones):
            label[[at[bus] for bus in zone.buses]] = number
        ends = label[branches.start], label[branches.end]
        same = branches.closed & ((ends[0] == ends[1]) | (ends[0] == 0) | (ends[1] == 0))
        part = components(len(label), branches.start[same], branches.end[same])
        assert len(tree.zones) <= count + 1
        for number in range(1, len(tree.zones)):
            assert len(set(part[label == number])) == 1
