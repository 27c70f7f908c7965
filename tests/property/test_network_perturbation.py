"""What prices, their parts and the worth of limits promise, found by moving demand and limits a little."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridagora.adapters.grids import Grid
from gridagora.errors import InfeasibleMarket
from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.study import GridLimits

sys.path.insert(0, str(Path(__file__).parent))
from network_samples import NODES, random_bids, random_linear, random_table

SOME = settings(max_examples=12, deadline=None)
seeds = st.integers(0, 10**6)

STEP = 1e-4
CLOSE = 2e-4


def welfare(bids, network, **options):
    """Return the highest welfare; NaN if there is no answer."""
    try:
        return network_auction(bids, network=network, **options).welfare
    except InfeasibleMarket:
        return np.nan


def slopes(value, moved):
    """Return the welfare that a step down and a step up bring per unit, the lower first.

    Welfare is concave in a limit: what one more unit brings is the lower one, what one less costs the higher.
    """
    found = [(moved(way * STEP) - value) / (way * STEP) for way in (1.0, -1.0)]
    return sorted(one for one in found if np.isfinite(one))


def assert_between(shown, found, *, place):
    assert found, place
    assert found[0] - CLOSE <= shown <= found[-1] + CLOSE, (place, shown, found)


def network_of(kind, rng):
    if kind in ("transfer", "lossy", "dc"):
        table = random_table(rng, reactance=kind == "dc", losses=kind == "lossy")
        return LinearNetwork.from_table(table, import_kw=rng.uniform(2, 9), export_kw=rng.uniform(2, 9))
    return random_linear(rng)


def limits_of(network):
    """Return, for every limit: name, side, a function that makes the network with that limit moved."""
    found = [
        ("connection", "upper", lambda by: replace(network, import_kw=network.import_kw + by)),
        ("connection", "lower", lambda by: replace(network, export_kw=network.export_kw + by)),
    ]

    def changed(values, place, by):
        out = np.broadcast_to(values, (1, values.shape[-1])).copy() if values.ndim == 2 else values.copy()
        out[..., place] += by
        return out

    if network.lines is not None:
        for place, name in enumerate(network.lines.name.tolist()):
            for side, column in (("upper", "capacity_kw"), ("lower", "reverse_kw")):

                def moved(by, place=place, column=column):
                    values = changed(getattr(network.lines, column), place, by)
                    return replace(network, lines=replace(network.lines, **{column: values}))

                found.append((name, side, moved))
        return found
    for place, name in enumerate(network.limits.name.tolist()):
        for side, way in (("upper", 1.0), ("lower", -1.0)):

            def moved(by, place=place, side=side, way=way):
                values = changed(getattr(network.limits, side), place, way * by)
                return replace(network, limits=replace(network.limits, **{side: values}))

            found.append((name, side, moved))
    return found


@pytest.mark.parametrize("kind", ["transfer", "lossy", "dc", "linear_ac"])
@given(seed=seeds)
@SOME
def test_a_limit_is_worth_what_one_more_unit_of_it_brings(kind, seed):
    rng = np.random.default_rng(seed)
    network, bids = network_of(kind, rng), random_bids(rng, periods=1, count=18)
    result = network_auction(bids, network=network)
    binding = result.binding
    for name, side, moved in limits_of(network):
        mine = binding[(binding["name"] == name) & (binding["side"] == side)]
        found = slopes(result.welfare, lambda by, moved=moved: welfare(bids, moved(by)))
        assert_between(float(mine["worth"].sum()), found, place=(name, side))


def with_offsets(network, node, by, *, part):
    """Return a network in which ``by`` kW more of demand that does not bid stand at a node.

    Only limits of one part, or only losses, feel it.
    """
    if part == "loss":
        return replace(network, loss_kw=network.loss_kw + by * network.loss_per_kw[:, node])
    rows = network.limits
    moved = rows.per_kw[:, :, node] * (rows.part == part)
    return replace(network, limits=replace(rows, offset=rows.offset + by * moved))


@given(seed=seeds)
@SOME
def test_each_part_of_a_price_is_what_demand_costs_by_it_alone(seed):
    rng = np.random.default_rng(seed)
    network = replace(random_linear(rng), import_kw=np.inf, export_kw=np.inf)
    bids = random_bids(rng, periods=1, count=18)
    result = network_auction(bids, network=network)
    if np.isnan(result.price[0]):
        return
    parts = {name: table.loc[0].to_numpy() for name, table in result.price_parts.items()}
    for node in range(1, len(NODES)):
        for part in ("loss", "congestion", "voltage"):
            found = slopes(
                result.welfare,
                lambda by, node=node, part=part: welfare(bids, with_offsets(network, node, by, part=part)),
            )
            costs = sorted(-one for one in found)
            assert_between(parts[part][node], costs, place=(part, node))


@given(seed=seeds)
@SOME
def test_reactive_prices_are_what_one_more_kvar_costs(seed):
    rng = np.random.default_rng(seed)
    network = replace(random_linear(rng), import_kw=np.inf, export_kw=np.inf)
    network = replace(network, kvar_min=-rng.uniform(0, 1, 4), kvar_max=rng.uniform(0, 1, 4))
    bids = random_bids(rng, periods=1, count=18)
    result = network_auction(bids, network=network)
    if np.isnan(result.price[0]):
        return
    shown = result.reactive_prices.loc[0].to_numpy()
    for node in range(len(NODES)):
        kvar = np.eye(len(NODES))[node]
        found = slopes(
            result.welfare, lambda by, kvar=kvar: welfare(bids, network.with_fixed(0.0, by * kvar))
        )
        assert_between(shown[node], sorted(-one for one in found), place=node)


@given(seed=seeds)
@SOME
def test_an_inverter_is_worth_the_reactive_price_of_its_node(seed):
    rng = np.random.default_rng(seed)
    network, bids = random_linear(rng), random_bids(rng, periods=1, count=12)
    low, high = -rng.uniform(0.01, 0.5, 12), rng.uniform(0.01, 0.5, 12)
    result = network_auction(bids, network=network, kvar_limits=(low, high))
    if np.isnan(result.price[0]):
        return
    price = result.reactive_prices.loc[0]
    for row in range(12):
        shown = price[bids.node[row]]
        step = np.eye(12)[row]
        for side in (0, 1):

            def moved(by, step=step, side=side):
                limits = (low - by * step, high) if side == 0 else (low, high + by * step)
                return welfare(bids, network, kvar_limits=limits)

            # at a price above 0 reactive power is wanted, so that drawing less of it pays
            worth = max(shown, 0.0) if side == 0 else max(-shown, 0.0)
            assert_between(worth, slopes(result.welfare, moved), place=(row, side))


@pytest.mark.parametrize("method", ["lindistflow", "sensitivity"])
def test_limits_of_a_feeder_are_worth_what_one_more_unit_of_them_brings(method):
    grid, limits = Grid.by_name("ieee33"), GridLimits(vm_min_pu=0.98)
    flow = grid.power_flow(*grid.base_import())
    network = grid.linear_network(flow, limits=limits, method=method, import_kw=900.0)
    rng, count = np.random.default_rng(7), 200
    bids = Bids(
        side=np.append(rng.choice([1, -1], count, p=[0.8, 0.2]), -1),
        price=np.append(rng.uniform(0.05, 0.35, count), 0.15),
        quantity=np.append(rng.uniform(1, 60, count), 9e3),
        node=np.array(grid.buses)[np.append(rng.integers(1, 33, count), 0)],
    )
    result = network_auction(bids, network=network, power_factor=0.95)
    assert set(result.binding["part"]) == {"voltage", "congestion"}
    every = {(name, side): moved for name, side, moved in limits_of(network)}
    for name, side, worth in result.binding[["name", "side", "worth"]].itertuples(index=False):
        # kW of the connection, per unit of a voltage, of which a millionth is little enough
        step = 1e-2 if name == "connection" else 1e-6
        found = [
            (
                network_auction(bids, network=every[name, side](way * step), power_factor=0.95).welfare
                - result.welfare
            )
            / (way * step)
            for way in (1.0, -1.0)
        ]
        assert found == pytest.approx([worth, worth], rel=1e-4), name
