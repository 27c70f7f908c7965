"""LinDistFlow written a second time, with branch flows as variables, in cvxpy: welfare and nodal prices."""

import cvxpy as cp
import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.grid.linear import linear_network
from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.study import GridLimits


def feeder_bids(grid, seed, *, count=150):
    rng = np.random.default_rng(seed)
    node = np.append(rng.integers(1, len(grid.buses), count), [0, 0])
    return node, Bids(
        side=np.append(rng.choice([1, -1], count, p=[0.8, 0.2]), [-1, 1]),
        price=np.append(rng.uniform(0.05, 0.35, count), [0.15, 0.05]),
        quantity=np.append(rng.uniform(1, 90, count), [9e3, 9e3]),
        node=np.array(grid.buses)[node],
    )


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_branch_flows_as_variables_give_the_same_prices(seed):
    grid, low = Grid.by_name("ieee33"), 0.93
    network = linear_network(grid, method="lindistflow", losses=False, limits=GridLimits(vm_min_pu=low))
    node, bids = feeder_bids(grid, seed)
    factor = 0.9
    result = network_auction(bids, network=network, power_factor=factor)
    lines, count = grid.network.lines, len(grid.buses)
    closed = np.flatnonzero(lines.from_closed & lines.to_closed)
    start, end = lines.from_bus[closed], lines.to_bus[closed]
    incidence = np.zeros((count, len(closed)))
    incidence[start, np.arange(len(closed))], incidence[end, np.arange(len(closed))] = 1.0, -1.0
    at = np.zeros((count, len(bids)))
    at[node, np.arange(len(bids))] = bids.side
    ohm = 1.0 / (grid.network.node_kv[0] ** 2 * 1e3)
    y, p, q = cp.Variable(len(bids)), cp.Variable(len(closed)), cp.Variable(len(closed))
    v, supply = cp.Variable(count), cp.Variable(count)
    tan = np.sqrt(1 / factor**2 - 1)
    balance = at @ y + incidence @ p == 0
    inner = np.arange(1, count)
    problem = cp.Problem(
        cp.Maximize((bids.side * bids.price) @ y),
        [
            balance,
            tan * (at @ y) + incidence @ q == supply,
            supply[inner] == 0,
            v[end]
            == v[start]
            - 2 * ohm * (cp.multiply(lines.r_ohm[closed], p) + cp.multiply(lines.x_ohm[closed], q)),
            v[0] == 1,
            v >= low**2,
            v <= 1.1**2,
            y >= 0,
            y <= bids.quantity,
        ],
    )
    problem.solve(solver=cp.HIGHS)
    assert result.welfare == pytest.approx(problem.value, rel=1e-7)
    assert (result.binding["part"] == "voltage").any()
    dual = np.asarray(balance.dual_value)
    dual = dual * np.sign(dual[0]) * np.sign(result.price[0])
    np.testing.assert_allclose(result.prices.loc[0].to_numpy(), dual, atol=1e-6)
    np.testing.assert_allclose(result.accepted, y.value, atol=1e-5)


def _at_negative_prices(seed):
    grid = Grid.by_name("ieee33")
    rng = np.random.default_rng(seed)
    kw, kvar = grid.base_import()
    network = grid.linear_network(grid.power_flow(kw * rng.uniform(0.2, 1.2), kvar * rng.uniform(0, 1)))
    count = 24
    bids = Bids(
        side=rng.choice([1, -1], count),
        price=rng.uniform(-1, 0.3, count),
        quantity=rng.exponential(200, count),
        node=rng.choice(grid.buses, count),
    )
    return bids, network


@pytest.mark.parametrize("seed", range(8))
def test_losses_are_those_of_the_wires_where_waste_would_pay(seed):
    """Losses are the larger of their tangent and 0; each of the two is a linear program of its own."""
    bids, network = _at_negative_prices(seed)
    at = {name: place for place, name in enumerate(network.nodes)}
    signs = np.zeros((len(at), len(bids)))
    signs[[at[node] for node in bids.node.tolist()], np.arange(len(bids))] = bids.side
    accepted = cp.Variable(len(bids))
    kw = signs @ accepted
    rows = network.limits
    values = rows.offset[0] + rows.per_kw[0] @ kw
    tangent = network.loss_kw[0] + network.loss_per_kw[0] @ kw
    common = [accepted >= 0, accepted <= bids.quantity, values >= rows.lower[0], values <= rows.upper[0]]
    best = -np.inf
    for losses, own in ((tangent, tangent >= 0), (0.0, tangent <= 0)):
        problem = cp.Problem(
            cp.Maximize((bids.side * bids.price) @ accepted), [*common, own, cp.sum(kw) + losses == 0]
        )
        problem.solve(solver=cp.CLARABEL)
        best = max(best, problem.value)
    result = network_auction(bids, network=network)
    assert result.welfare == pytest.approx(best, rel=1e-5, abs=1e-4)
    found = network.loss_kw[0] + network.loss_per_kw[0] @ result.imports.loc[0].to_numpy()
    assert result.losses.iloc[0, 0] == pytest.approx(max(found, 0.0), abs=1e-4)
