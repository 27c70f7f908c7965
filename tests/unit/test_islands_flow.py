"""Power flow while gates of zones are open: parts, their sources, and zones that cannot be islands."""

from dataclasses import replace

import numpy as np
import pandapower as pp
import pytest
from test_zones_grid import line, station, town

from gridagora.errors import InputError
from gridagora.grid.convert import network_from_pandapower
from gridagora.grid.islands import IslandedGrid, island_faults
from gridagora.grid.model import GridModel
from gridagora.grid.zones import zones_from_feeders
from gridagora.model.zones import Zone, ZoneTree

TREE = zones_from_feeders(town(), sources=["m1 a", "m2 b", "n1 a"])
GRID = GridModel(town())


def cut_of(*patterns, tree=TREE):
    return np.array([[zone.name in names for zone in tree.zones] for names in patterns])


def powers(periods, *, seed=3):
    rng = np.random.default_rng(seed)
    homes = [name.endswith((" a", " b")) for name in GRID.buses]
    kw = np.zeros((periods, len(GRID.buses)))
    kw[:, homes] = rng.uniform(-15, 25, (periods, sum(homes)))
    return kw, 0.3 * kw


def loads(kw, row, zones):
    inside = [bus for zone in TREE.zones if zone.name in zones for bus in zone.buses]
    return kw[row, [GRID.bus_position[bus] for bus in inside]].sum()


def test_parts_are_solved_apart_and_told_apart():
    kw, kvar = powers(4)
    cut = cut_of((), ("mv m1",), ("mv m1", "lv m1 bar"), ())
    found = IslandedGrid(GRID, TREE).power_flow(kw, kvar, cut=cut)
    flow, plain = found.flow, GRID.power_flow(kw, kvar)
    assert flow.converged.all()
    for name in ("vm_pu", "loading_percent", "import_kw", "import_kvar", "losses_kw", "source_kw"):
        np.testing.assert_array_equal(getattr(flow, name)[[0, 3]], getattr(plain, name)[[0, 3]])
    m1, lv = TREE.position("mv m1"), TREE.position("lv m1 bar")
    assert [tuple(np.flatnonzero(row)) for row in found.formed_kw] == [(), (m1,), (m1, lv), ()]
    gates = [GRID.elements.index("cable m1"), GRID.elements.index("trafo m1")]
    assert (flow.loading_percent[2, gates] == 0).all()
    assert flow.loading_percent[1, gates[0]] == 0 < flow.loading_percent[1, gates[1]]
    inside = ("mv m1", "lv m2 bar", "lv m1 bar")
    for row, zones, at in ((1, inside, m1), (2, inside[:2], m1), (2, inside[2:], lv)):
        lost = found.formed_kw[row, at] - loads(kw, row, zones)
        assert 0 < lost < flow.losses_kw[row]
    everything = flow.import_kw + found.formed_kw.sum(axis=1)
    np.testing.assert_allclose(everything, kw.sum(axis=1) + flow.losses_kw, rtol=0, atol=1e-6)
    heads = [GRID.bus_position[bus] for bus in ("m1", "m1 bar")]
    np.testing.assert_allclose(flow.vm_pu[2, heads], 1.0, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(flow.bus_kw, kw)


def test_each_part_is_what_it_is_alone():
    """What happens in an island moves nothing outside, and the other way round."""
    kw = np.repeat(powers(1)[0], 3, axis=0)
    inside = np.array([bus.startswith("m") for bus in GRID.buses])
    kw[1, inside] *= 0.4
    kw[2, ~inside] *= 0.4
    found = IslandedGrid(GRID, TREE).power_flow(kw, cut=cut_of(*[("mv m1",)] * 3))
    vm, formed = found.flow.vm_pu, found.formed_kw.sum(axis=1)
    np.testing.assert_array_equal(vm[0, ~inside], vm[1, ~inside])
    np.testing.assert_array_equal(vm[0, inside], vm[2, inside])
    assert found.flow.import_kw[0] == found.flow.import_kw[1] != found.flow.import_kw[2]
    assert formed[0] == formed[2] != formed[1]


def test_three_phases_agree_with_one_where_the_load_is_balanced():
    kw, kvar = powers(3)
    cut = cut_of(("lv n1 bar",), (), ("mv m1", "lv n1 bar"))
    grid = IslandedGrid(GRID, TREE)
    one = grid.power_flow(kw, kvar, cut=cut)
    thirds = [np.repeat(values[:, :, None] / 3, 3, axis=2) for values in (kw, kvar)]
    three = grid.power_flow_3ph(*thirds, cut=cut, zero_sequence="assume")
    np.testing.assert_allclose(three.flow.vm_pu.mean(axis=2), one.flow.vm_pu, rtol=0, atol=1e-5)
    np.testing.assert_allclose(three.formed_kw, one.formed_kw, rtol=0, atol=0.05)
    np.testing.assert_allclose(three.flow.import_kw, one.flow.import_kw, rtol=0, atol=0.05)
    assert three.flow.unbalance_percent.shape == one.flow.vm_pu.shape


def test_one_part_without_solution_is_a_period_without():
    kw, _ = powers(2)
    kw[0, GRID.bus_position["m2 b"]] = 5e3
    found = IslandedGrid(GRID, TREE).power_flow(kw, cut=cut_of(("mv m1",), ("mv m1",)))
    assert found.flow.converged.tolist() == [False, True]
    assert np.isnan(found.formed_kw[0]).all()
    assert np.isnan([found.flow.import_kw[0], found.flow.losses_kw[0]]).all()
    assert found.flow.weakest_bus[0] == "m2 b"
    assert np.isfinite(found.formed_kw[1]).all()


def test_no_period_and_no_open_gate():
    grid = IslandedGrid(GRID, TREE)
    none = grid.power_flow(np.zeros((0, len(GRID.buses))), cut=np.zeros((0, len(TREE.zones)), dtype=bool))
    assert none.flow.vm_pu.shape == (0, len(GRID.buses))
    assert none.formed_kw.shape == (0, len(TREE.zones))
    assert grid.at(np.zeros(len(TREE.zones), dtype=bool)) is GRID


def test_a_pattern_of_open_gates_is_built_once():
    grid, cut = IslandedGrid(GRID, TREE), cut_of(("mv m1",))
    first = grid.at(cut[0])
    grid.power_flow(powers(1)[0], cut=cut)
    assert grid.at(cut[0].copy()) is first
    assert first.network.sources.name.tolist()[-1] == "island mv m1"


@pytest.mark.parametrize("shape", [(1, 3), (2, 7), (7,)])
def test_a_table_of_cuts_must_fit(shape):
    with pytest.raises(InputError, match="does not fit"):
        IslandedGrid(GRID, TREE).power_flow(powers(1)[0], cut=np.zeros(shape, dtype=bool))


def with_zone(name, **changes):
    zones = [replace(zone, **changes) if zone.name == name else zone for zone in TREE.zones]
    return ZoneTree(zones=tuple(zones))


@pytest.mark.parametrize(
    ("tree", "cut", "place", "reason"),
    [
        (TREE, ("bulk",), "zone bulk", "has no gate"),
        (with_zone("mv m1", gate_elements=("cable x",)), ("mv m1",), "zone mv m1", "no such branch"),
        (with_zone("mv m1", gate_elements=()), ("mv m1",), "zone mv m1", "nothing can be opened"),
        (
            with_zone("lv m1 bar", gate_elements=("trafo m2",)),
            ("lv m1 bar",),
            "branch trafo m1",
            "is no gate",
        ),
        (with_zone("mv m1", gate_elements=("cable m1", "cable m2")), ("mv m1",), "island mv m1", "parts"),
        (
            with_zone("mv m1", gate_elements=("cable m1", "cable n1")),
            ("mv m1",),
            "bus n1",
            "no source feeds it while the gates of mv m1 are open",
        ),
    ],
)
def test_zones_that_cannot_be_islands_are_named(tree, cut, place, reason):
    faults = island_faults(town(), tree, cut_of((), cut, cut, tree=tree))
    assert place in [fault.place for fault in faults]
    assert reason in " ".join(fault.reason for fault in faults)
    assert len({str(fault) for fault in faults}) == len(faults)
    with pytest.raises(InputError):
        IslandedGrid(GRID, tree).power_flow(powers(1)[0], cut=cut_of(cut, tree=tree))


def test_sound_zones_have_no_faults():
    names = [zone.name for zone in TREE.zones if zone.parent is not None]
    assert island_faults(town(), TREE, cut_of(*[(name,) for name in names], names)) == []


def test_a_source_and_a_closed_switch_keep_a_zone_joined():
    net = pp.create_empty_network()
    top, other, low = (pp.create_bus(net, kv, name=name) for kv, name in ((20, "a"), (20, "b"), (0.4, "c")))
    pp.create_ext_grid(net, top)
    pp.create_ext_grid(net, low)
    station(net, other, low, "trafo", kva=400, kv=(20.0, 0.4))
    pp.create_switch(net, top, other, et="b", closed=True)
    line(net, low, pp.create_bus(net, 0.4, name="d"), "cable")
    zones = (
        Zone(name="bulk", level="bulk", parent=None, buses=("a",)),
        Zone(name="mv", level="mv", parent="bulk", buses=("b",), gate_elements=("trafo",)),
        Zone(name="lv", level="lv", parent="mv", buses=("c", "d"), gate_elements=("trafo",)),
    )
    tree = ZoneTree(zones=zones)
    network = network_from_pandapower(net)
    joined = island_faults(network, tree, cut_of(("mv",), tree=tree))
    assert [fault.place for fault in joined if "closed switch" in fault.reason] == ["bus b"]
    fed = island_faults(network, tree, cut_of(("lv",), tree=tree))
    assert [fault.reason for fault in fed] == ["the upstream grid feeds this bus, whatever gate is open"]
