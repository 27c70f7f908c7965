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
