"""Nodal prices of AC power, written a second time: DistFlow as a cone program, whose duals are the prices.

The relaxation of Farivar and Low 2013 is exact for these feeders (asserted), so that its optimum is that of
the nonlinear program and its duals are the marginal costs of AC power.  The market's network is made anew at
its own result until it stands still; there its losses, voltages and currents have the true slopes.
"""

from dataclasses import dataclass, replace

import cvxpy as cp
import numpy as np
import pytest

from gridagora.adapters.grids import Grid
from gridagora.market.mechanisms.network import network_auction
from gridagora.model.bids import Bids
from gridagora.model.study import GridLimits

KVA = 1e3
"""What one per unit is."""

FACTOR = 0.95


@dataclass(frozen=True, kw_only=True)
class Case:
    """A feeder with bids at the positions ``node``, and its limits."""

    grid: Grid
    bids: Bids
    node: np.ndarray
    limits: GridLimits
    rated_a: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Optimum:
    welfare: float
    price: np.ndarray
    accepted: np.ndarray
    vm_pu: np.ndarray
    losses_kw: float


def evening(seed, *, low, rated_a=np.inf):
    """Loads in three steps of falling worth, six generators, and supply from upstream."""
    rng, grid = np.random.default_rng(seed), Grid.by_name("ieee33")
    if np.isfinite(rated_a):
        lines = grid.network.lines
        rated = np.full(len(lines), rated_a)
        grid = Grid.from_network(replace(grid.network, lines=replace(lines, rated_a=rated)))
    kw = grid.base_import()[0]
    used = np.flatnonzero(kw > 0)
    rows = []
    for bus in used:
        steps = (0.6, 0.60), (0.3, rng.uniform(0.16, 0.4)), (0.3, rng.uniform(0.1, 0.25))
        rows += [(1, price, kw[bus] * share, bus) for share, price in steps]
    rows += [
        (-1, rng.uniform(0.1, 0.2), rng.uniform(50, 200), bus) for bus in rng.choice(used, 6, replace=False)
    ]
    return case_of(grid, [*rows, (-1, 0.15, 9e3, 0)], low=low, rated_a=rated_a)


def noon(seed):
    """More sun than the feeder uses, which lifts the voltage to its upper limit on the way out."""
    rng, grid = np.random.default_rng(seed), Grid.by_name("ieee33")
    kw = grid.base_import()[0]
    rows = []
    for bus in np.flatnonzero(kw > 0):
        rows += [(1, 0.60, 0.3 * kw[bus], bus), (1, rng.uniform(0.02, 0.4), 0.3 * kw[bus], bus)]
        rows.append((-1, rng.uniform(-0.02, 0.06), kw[bus] * rng.uniform(0.5, 4), bus))
    return case_of(grid, [*rows, (-1, 0.15, 9e3, 0), (1, 0.08, 9e3, 0)], low=0.9)


def case_of(grid, rows, *, low, rated_a=np.inf):
    side, price, quantity, node = map(np.array, zip(*rows, strict=True))
    bids = Bids(side=side, price=price, quantity=quantity, node=np.array(grid.buses)[node])
    limits = GridLimits(vm_min_pu=low, vm_max_pu=1.1)
    return Case(grid=grid, bids=bids, node=node, limits=limits, rated_a=rated_a)


def power_factor(case, *, unity=False):
    return np.where((case.node == 0) | unity, 1.0, FACTOR)


def away_from_source(grid):
    """Return impedances (pu) of the closed lines with their ends, each line away from bus 0."""
    lines = grid.network.lines
    closed = np.flatnonzero(lines.from_closed & lines.to_closed)
    ends = np.stack([lines.from_bus[closed], lines.to_bus[closed]], axis=1)
    reached = {0}
    while len(reached) < len(grid.buses):
        for pair in ends:
            if pair[1] in reached and pair[0] not in reached:
                pair[:] = pair[::-1]
            if pair[0] in reached:
                reached.add(int(pair[1]))
    ohm = grid.network.node_kv[0] ** 2 * 1e3 / KVA
    return lines.r_ohm[closed] / ohm, lines.x_ohm[closed] / ohm, ends[:, 0], ends[:, 1]


def cone_program(case, factor):
    """Baran and Wu's branch flows with ``l >= (P^2 + Q^2) / v`` in place of the equation."""
    r, x, start, end = away_from_source(case.grid)
    buses, lines, bids = len(case.grid.buses), np.arange(len(r)), case.bids
    leaves, enters = np.zeros((buses, len(r))), np.zeros((buses, len(r)))
    leaves[start, lines] = enters[end, lines] = 1.0
    at = np.zeros((buses, len(bids)))
    at[case.node, np.arange(len(bids))] = bids.side / KVA
    tan = np.sqrt(1 / factor**2 - 1)
    y, v, source = cp.Variable(len(bids)), cp.Variable(buses), cp.Variable()
    p, q, current = (cp.Variable(len(r)) for _ in range(3))
    root = np.eye(buses)[0]
    balance = at @ y + leaves @ p - enters @ (p - cp.multiply(r, current)) == 0
    rules = [
        balance,
        at @ cp.multiply(tan, y) + leaves @ q - enters @ (q - cp.multiply(x, current)) == root * source,
        v[end] == v[start] - 2 * (cp.multiply(r, p) + cp.multiply(x, q)) + cp.multiply(r**2 + x**2, current),
        v[0] == 1,
        v >= case.limits.vm_min_pu**2,
        v <= case.limits.vm_max_pu**2,
        y >= 0,
        y <= bids.quantity,
        cp.SOC(current + v[start], cp.vstack([2 * p, 2 * q, current - v[start]]), axis=0),
    ]
    if np.isfinite(case.rated_a):
        base_a = KVA / (np.sqrt(3) * case.grid.network.node_kv[0])
        rules.append(current <= (case.rated_a / base_a) ** 2)
    problem = cp.Problem(cp.Maximize((bids.side * bids.price) @ y), rules)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    exact = current.value * v.value[start] - p.value**2 - q.value**2
    assert np.abs(exact).max() < 1e-5
    price = np.asarray(balance.dual_value) / KVA
    return Optimum(
        welfare=problem.value,
        price=price * np.sign(price[0]),
        accepted=y.value,
        vm_pu=np.sqrt(v.value),
        losses_kw=float(r @ current.value) * KVA,
    )


def settled(case, factor, *, method, rounds=7):
    """Clear, and make the network anew at what was accepted, until it stands still."""
    flow = case.grid.power_flow(*case.grid.base_import())
    for _ in range(rounds):
        network = case.grid.linear_network(flow, limits=case.limits, method=method)
        result = network_auction(case.bids, network=network, power_factor=factor)
        flow = case.grid.power_flow(result.carriers[0].kw, result.carriers[0].kvar)
    return result, flow


EVENINGS = [(0, 0.8, np.inf), (0, 0.94, np.inf), (2, 0.96, np.inf), (1, 0.9, 100.0), (0, 0.95, 130.0)]


@pytest.mark.parametrize(("seed", "low", "rated_a"), EVENINGS)
def test_prices_of_an_evening_are_those_of_ac_power(seed, low, rated_a):
    case = evening(seed, low=low, rated_a=rated_a)
    factor = power_factor(case)
    best = cone_program(case, factor)
    result, flow = settled(case, factor, method="sensitivity")
    # measured: 3e-7, the tolerance of the interior point method
    np.testing.assert_allclose(result.prices.loc[0], best.price, rtol=1e-5)
    np.testing.assert_allclose(result.accepted, best.accepted, atol=0.01)
    np.testing.assert_allclose(flow.vm_pu[0], best.vm_pu, atol=1e-5)
    assert result.welfare == pytest.approx(best.welfare, rel=1e-7)
    assert result.losses.iloc[0, 0] == pytest.approx(best.losses_kw, rel=1e-4)
    expected = {"voltage"} if low > 0.93 and not np.isfinite(rated_a) else set()
    expected |= {"congestion"} if np.isfinite(rated_a) else set()
    assert expected <= set(result.binding["part"])


@pytest.mark.parametrize("seed", [0, 1])
def test_prices_of_a_sunny_noon_are_those_of_ac_power(seed):
    case = noon(seed)
    factor = power_factor(case, unity=True)
    best = cone_program(case, factor)
    result, _ = settled(case, factor, method="sensitivity")
    assert result.slack.iloc[0, 0] < -1e3
    assert set(result.binding["part"]) == {"voltage"}
    np.testing.assert_allclose(result.prices.loc[0], best.price, atol=1e-6)
    np.testing.assert_allclose(result.accepted, best.accepted, atol=0.01)


@pytest.mark.parametrize(("seed", "low"), [(0, 0.8), (1, 0.94), (3, 0.96)])
def test_lindistflow_prices_are_within_one_percent(seed, low):
    """Its voltages lack the slope of losses, at most 1 % of a price here; its losses lack nothing."""
    case = evening(seed, low=low)
    factor = power_factor(case)
    best = cone_program(case, factor)
    result, _ = settled(case, factor, method="lindistflow")
    without_limits = low < 0.9
    rtol = 1e-5 if without_limits else 0.01
    np.testing.assert_allclose(result.prices.loc[0], best.price, rtol=rtol)
    parts = {name: table.loc[0] for name, table in result.price_parts.items()}
    assert (parts["congestion"].abs() < 1e-12).all()
    assert without_limits == bool((parts["voltage"].abs() < 1e-12).all())


def test_lindistflow_prices_of_full_lines_are_within_three_percent():
    """What one more kWh loses behind a full line has to pass it as well, which LinDistFlow leaves out."""
    case = evening(0, low=0.9, rated_a=100.0)
    factor = power_factor(case)
    best = cone_program(case, factor)
    result, flow = settled(case, factor, method="lindistflow")
    np.testing.assert_allclose(result.prices.loc[0], best.price, rtol=0.03)
    np.testing.assert_allclose(result.accepted, best.accepted, atol=0.01)
    assert flow.loading_percent.max() == pytest.approx(100.0, abs=1e-3)
