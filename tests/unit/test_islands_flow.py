"""Power flow while gates of zones are open: parts, their sources, and zones that cannot be islands."""

from dataclasses import replace

import numpy as np
import pytest
from test_zones_grid import town

from gridagora.errors import InputError
from gridagora.grid.islands import IslandedGrid
from gridagora.grid.model import GridModel
from gridagora.grid.zones import zones_from_feeders
from gridagora.model.zones import ZoneTree

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
    ("tree", "zone", "reason"),
    [
        (TREE, "bulk", "a source of the grid stands in it"),
        (with_zone("mv m1", gate_elements=("cable x",)), "mv m1", "cable m1 joins it to what lies outside"),
        (with_zone("mv m1", gate_elements=()), "mv m1", "is not of its gate"),
        (zones_from_feeders(town(), sources=["m1 a"]), "mv m1", "only its gate joins its parts"),
    ],
)
def test_zones_that_cannot_be_islands_are_named(tree, zone, reason):
    cut = cut_of((), (zone,), (zone,), tree=tree)
    with pytest.raises(InputError, match=reason) as error:
        IslandedGrid(GRID, tree).power_flow(powers(3)[0], cut=cut)
    assert [fault.place for fault in error.value.faults] == [f"zone {zone}"]


def test_every_zone_of_sound_feeders_can_be_an_island():
    names = [zone.name for zone in TREE.zones if zone.parent is not None]
    cut = cut_of(*[(name,) for name in names], names)
    grid = IslandedGrid(GRID, TREE)
    assert grid.power_flow(powers(len(cut))[0], cut=cut).flow.converged.all()
    heads = [grid.grid.buses[bus] for bus in grid.at(cut[-1]).network.sources.bus]
    assert heads == ["hv", "busbar", "m1", "m1 bar", "m2 bar", "n1", "n1 bar"]
