"""Zones of a whole SimBench grid: 90 low-voltage grids on the eight feeders of a medium-voltage grid."""

import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.grid.zones import gate_limits_kw, zones_by_distance, zones_from_feeders
from gridagora.market.islanding import island
from gridagora.market.zonal import hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import welfare_gap
from gridagora.model.bids import Bids


@pytest.fixture(scope="module")
def grid():
    return Grid.from_simbench("1-MVLV-rural-all-0-sw")


@pytest.fixture(scope="module")
def tree(grid):
    return zones_from_feeders(grid)


@pytest.fixture(scope="module")
def market(grid, tree):
    """Return an hour of the grid's own loads and generators, each at a price of its own."""
    loads, rng = grid.network.loads, np.random.default_rng(3)
    kw = loads.p_kw.sum(axis=1)
    kept = np.abs(kw) > 0
    side = np.where(kw[kept] > 0, 1, -1)
    bids = Bids(
        side=side,
        price=np.where(side > 0, rng.uniform(0.15, 0.35, len(side)), rng.uniform(0.02, 0.25, len(side))),
        quantity=np.abs(kw[kept]),
        participant=loads.name[kept],
        node=np.array(grid.buses)[loads.bus[kept]],
    )
    return with_bulk(bids, tree, pays=0.05, asks=0.30)


def test_low_voltage_grids_nest_in_medium_voltage_feeders(grid, tree):
    levels = [zone.level for zone in tree.zones]
    assert (levels.count("bulk"), levels.count("dso"), levels.count("mv"), levels.count("lv")) == (
        1,
        1,
        8,
        90,
    )
    assert sorted(bus for zone in tree.zones for bus in zone.buses) == sorted(grid.buses)
    kinds = dict(zip(grid.elements, grid.kinds, strict=True))
    for zone in tree.zones:
        if zone.level == "lv":
            assert [kinds[name] for name in zone.gate_elements] == ["transformer"]
            assert tree.zone(zone.parent).level == "mv"
        if zone.level == "mv":
            assert zone.parent == "dso"
            assert [kinds[name] for name in zone.gate_elements] == ["line"]
    assert set(tree.depth.tolist()) == {0, 1, 2, 3}


def test_zones_of_a_real_grid_keep_their_gates_and_lose_little_to_the_joint_market(grid, tree, market):
    limits = {name: kw / 4 for name, kw in gate_limits_kw(grid, tree).items()}
    found = welfare_gap(market, tree, transfer_kw=limits)
    bound = np.array([limits.get(name, np.inf) for name in tree.names])
    for imports in (found.hierarchical.imports, found.joint.imports):
        assert (np.abs(imports) <= bound * (1 + 1e-9) + 1e-6).all()
    assert 0 <= found.gap < 0.5 * found.joint.welfare
    inside = found.hierarchical.by_depth[3].sum() / found.hierarchical.accepted.sum()
    assert 0.05 < inside < 1


def test_the_cleared_zones_can_be_run_on_the_grid(grid, tree, market):
    """The flow over each LV transformer is that of the zone's market, but for losses."""
    result = hierarchical_clearing(market, tree, transfer_kw=gate_limits_kw(grid, tree))
    at_bus = np.zeros(len(grid.buses))
    rows = np.array([str(node) in grid.bus_position for node in market.node])
    columns = [grid.bus_position[str(node)] for node in market.node[rows]]
    np.add.at(at_bus, columns, (market.side * result.accepted)[rows])
    flow = grid.power_flow(at_bus)
    assert flow.converged.all()
    kva = dict(zip(grid.elements, flow.loading_percent[0], strict=True))
    rated = dict(
        zip(grid.network.transformers.name.tolist(), grid.network.transformers.rated_kva, strict=True)
    )
    compared = 0
    for position, zone in enumerate(tree.zones):
        through = abs(result.imports[0, position])
        if zone.level == "lv" and through > 50:
            gate = zone.gate_elements[0]
            assert kva[gate] / 100 * rated[gate] == pytest.approx(through, rel=0.12)
            compared += 1
    assert compared > 10


def test_a_feeder_cut_off_from_the_grid_sheds_what_it_cannot_cover(tree, market):
    name = next(zone.name for zone in tree.zones if zone.level == "mv")
    result = island(name, market, tree, value_of_lost_load=10.0)
    own = result.bids
    bought, sold = (result.served[own.side == side].sum() for side in (1, -1))
    assert bought == pytest.approx(sold)
    assert result.not_served.sum() == pytest.approx(
        max(own.quantity[own.is_buy].sum() - own.quantity[~own.is_buy].sum(), 0)
    )
    assert result.participants.lost_load_cost.sum() == pytest.approx(result.lost_load_cost)


@pytest.mark.slow
@pytest.mark.parametrize("way", [{"zones": 40}, {"threshold": 0.5}])
def test_buses_of_a_large_grid_are_clustered(grid, way):
    tree = zones_by_distance(grid, **way)
    assert sorted(bus for zone in tree.zones for bus in zone.buses) == sorted(grid.buses)
    assert len(tree.zones) > 20
    assert all(zone.gate_elements for zone in tree.zones if zone.parent is not None)
