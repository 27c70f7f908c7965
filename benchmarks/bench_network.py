"""The network auction against the bare solver on the same problem, measured side by side in one run.

Bare means HiGHS on finished arrays: written once with every limit of the network as a row on the net imports,
and once in the sparse form with branch flows and voltages as columns, each without presolve (faster here).

Run with ``python -m benchmarks --only network``.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array, vstack

from gridagora.adapters.grids import Grid
from gridagora.market._network_limits import Cuts, limits_of, rows_of
from gridagora.market._network_market import read_market
from gridagora.market._network_program import build_program, with_rows
from gridagora.market._network_rules import Rules, auction_rules
from gridagora.market._network_start import first_basis
from gridagora.market.mechanisms.network import network_auction
from gridagora.market.rolling import RollingMarket
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Rolling
from gridagora.model.linear_network import LinearNetwork
from gridagora.model.study import GridLimits
from gridagora.solve import LinearProgram, solve

ROUNDS = 7
PERIODS = 24
BIDS = 1000
Rows = list[tuple[str, float, float]]


def best_of(*works: Callable[[], object]) -> list[float]:
    """Best times in seconds; taken in turns, so that a busy machine disturbs all alike."""
    best = [float("inf")] * len(works)
    for _ in range(ROUNDS):
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            best[place] = min(best[place], time.perf_counter() - start)
    return best


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """Bids on the 33-bus grid whose voltage band binds in most periods."""

    grid: Grid
    network: LinearNetwork
    bids: Bids


def feeder_case(*, count: int = BIDS, periods: int = PERIODS, most: float = 20.0) -> Case:
    """Return ``count`` bids in each period, with a retailer at the source."""
    grid = Grid.by_name("ieee33")
    rng = np.random.default_rng(1)
    kw, kvar = grid.base_import()
    flow = grid.power_flow(kw * rng.uniform(0.5, 1, (periods, 1)), np.repeat(kvar[None], periods, axis=0))
    network = grid.linear_network(
        flow, limits=GridLimits(vm_min_pu=0.94, vm_max_pu=1.05), method="lindistflow"
    )
    total = count * periods
    node, side = rng.integers(1, len(grid.buses), total), rng.choice([1, -1], total, p=[0.75, 0.25])
    price, quantity = rng.uniform(0.05, 0.35, total), rng.uniform(1, most * BIDS / count, total)
    for start, own_side, own_price in ((0, -1, 0.12), (1, 1, 0.08)):
        node[start::count], side[start::count], price[start::count] = 0, own_side, own_price
        quantity[start::count] = 5000.0
    bids = Bids(
        side=side,
        price=price,
        quantity=quantity,
        period=np.repeat(np.arange(periods), count),
        node=np.array(grid.buses)[node],
        participant=np.arange(total),
    )
    return Case(grid=grid, network=network, bids=bids)


def with_all_limits(case: Case, rules: Rules) -> LinearProgram:
    """Return the program with every limit as a row from the start."""
    program = build_program(read_market(case.bids, rules))
    limits = limits_of(program.blocks)
    rows = len(case.network.rows() or ())
    every = Cuts(
        block=np.zeros(PERIODS * rows, dtype=np.int64),
        slot=np.repeat(np.arange(PERIODS), rows),
        row=np.tile(np.arange(rows), PERIODS),
    )
    return with_rows(program.linear, rows_of(program, limits, every))


def in_branch_flows(case: Case) -> LinearProgram:
    """Return LinDistFlow with P, Q and squared voltage of every bus as columns: few entries per row.

    Lossless, since losses would be one dense row; without the offsets of the operating point.
    """
    network, bids = case.grid.network, case.bids
    buses, count = len(case.grid.buses), len(bids)
    lines = network.lines
    ohm = 1.0 / (network.node_kv[0] ** 2 * 1e3)
    per = 3 * buses
    ranked = np.argsort(np.array(case.grid.buses))
    position = ranked[np.searchsorted(np.array(case.grid.buses)[ranked], bids.node.astype(np.str_))]
    at = bids.period * 2 * buses + position
    closed = np.flatnonzero(lines.from_closed & lines.to_closed)
    start, end = network.bus_node[lines.from_bus[closed]], network.bus_node[lines.to_bus[closed]]
    rows, columns, entries = [at, at + buses], [np.arange(count)] * 2, [bids.side * 1.0, bids.side * 0.3287]
    slot = np.arange(PERIODS)[:, None]
    for kind in (0, 1):
        for node, sign in ((start, 1.0), (end, -1.0)):
            rows.append((slot * 2 * buses + kind * buses + node).ravel())
            columns.append((count + slot * per + kind * buses + end).ravel())
            entries.append(np.full(PERIODS * len(end), sign))
    balance = coo_array(
        (np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))),
        shape=(PERIODS * 2 * buses, count + PERIODS * per),
    )
    own = (slot * len(end) + np.arange(len(end))).ravel()
    first = count + slot * per
    drop = [
        (first + 2 * buses + end, 1.0),
        (first + 2 * buses + start, -1.0),
        (first + end, 2 * lines.r_ohm[closed] * ohm),
        (first + buses + end, 2 * lines.x_ohm[closed] * ohm),
    ]
    places = np.concatenate([column.ravel() for column, _ in drop])
    values = np.concatenate([np.broadcast_to(value, column.shape).ravel() for column, value in drop])
    voltage = coo_array((values, (np.tile(own, 4), places)), shape=(PERIODS * len(end), balance.shape[1]))
    matrix = vstack([balance.tocsr(), csr_array(voltage)], format="csc")
    root = int(network.bus_node[network.sources.bus[0]])
    low = np.concatenate([np.zeros(count), np.tile(np.repeat([-np.inf, -np.inf, 0.94**2], buses), PERIODS)])
    high = np.concatenate([bids.quantity, np.tile(np.repeat([np.inf, np.inf, 1.05**2], buses), PERIODS)])
    low[count + np.arange(PERIODS) * per + 2 * buses + root] = 1.0
    high[count + np.arange(PERIODS) * per + 2 * buses + root] = 1.0
    lower, upper = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[0])
    # reactive power comes from upstream at no cost
    slack = np.arange(PERIODS) * 2 * buses + buses + root
    lower[slack], upper[slack] = -np.inf, np.inf
    return LinearProgram(
        cost=np.concatenate([-bids.side * bids.price, np.zeros(PERIODS * per)]),
        lower=low,
        upper=high,
        row_lower=lower,
        row_upper=upper,
        starts=matrix.indptr.astype(np.int32),
        rows=matrix.indices.astype(np.int32),
        entries=matrix.data,
    )


def feeder_rows() -> Rows:
    """The promise of 1,000 bids x 24 periods on 33 buses, and building against solving."""
    case = feeder_case()
    rules = auction_rules(case.bids, network=case.network, power_factor=0.95)

    def build() -> object:
        market = read_market(case.bids, rules)
        program = build_program(market)
        return first_basis(market, program)

    full, sparse = with_all_limits(case, rules), in_branch_flows(case)
    network_auction(case.bids, network=case.network, power_factor=0.95)  # compile or load compiled code
    ours, built, bare_full, bare_sparse = best_of(
        lambda: network_auction(case.bids, network=case.network, power_factor=0.95),
        build,
        lambda: solve(full),
        lambda: solve(sparse),
    )
    name = "1,000 bids x 24 periods, 33 buses"
    return [
        (f"{name} / bare HiGHS, every limit a row", ours / bare_full, 1.3),
        (f"{name} / bare HiGHS, branch flows as columns", ours / bare_sparse, 1.3),
        ("the same, building / solving with branch flows", built / bare_sparse, 1.0),
    ]


def rolling_rows() -> Rows:
    """A window of 24 periods that moves on by one, warm against cold."""
    case = feeder_case(count=200, periods=PERIODS + ROUNDS)
    windows = [
        case.bids.take((case.bids.period >= first) & (case.bids.period < first + PERIODS))
        for first in range(ROUNDS + 1)
    ]
    market = RollingMarket(horizon=Rolling(), network=case.network, power_factor=0.95)
    market.clear(windows[0])
    times = [[float("inf")] * 2 for _ in range(ROUNDS)]
    for place, window in enumerate(windows[1:]):
        for kind, clear in enumerate(
            (market.clear, lambda bids: network_auction(bids, network=case.network, power_factor=0.95))
        ):
            start = time.perf_counter()
            clear(window)
            times[place][kind] = time.perf_counter() - start
    warm, cold = (min(pair[kind] for pair in times) for kind in (0, 1))
    return [("window of 24 periods x 200 bids, warm / cold", warm / cold, 1.0)]


def zone_rows() -> Rows:
    """A tree of zones ten times as large."""

    def zones(count: int) -> tuple[Bids, LinearNetwork]:
        rng = np.random.default_rng(count)
        names = np.array([f"z{k}" for k in range(count)])
        parent = [int(rng.integers(max(0, k - 8), k)) for k in range(1, count)]
        table = pd.DataFrame(
            {"from": names[parent], "to": names[1:], "capacity_kw": rng.uniform(5, 60, count - 1)}
        )
        total = count * 20
        bids = Bids(
            side=rng.choice([1, -1], total),
            price=rng.uniform(0.05, 0.35, total),
            quantity=rng.uniform(0.5, 9, total),
            node=names[rng.integers(0, count, total)],
        )
        return bids, LinearNetwork.from_table(table)

    (large, wide), (small, narrow) = zones(1000), zones(100)
    ten, one = best_of(
        lambda: network_auction(large, network=wide),
        lambda: [network_auction(small, network=narrow) for _ in range(10)],
    )
    return [("1,000 zones x 20 bids / ten times 100 zones", ten / one, 1.5)]


def run() -> list[dict[str, object]]:
    """Measure and return one row per promise: name, ratio, limit."""
    rows = [*feeder_rows(), *rolling_rows(), *zone_rows()]
    return [{"name": name, "ratio": ratio, "limit": limit} for name, ratio, limit in rows]


if __name__ == "__main__":
    for row in run():
        verdict = "ok" if row["ratio"] <= row["limit"] else "TOO SLOW"
        print(f"{row['name']:<70} {row['ratio']:7.3f}  limit {row['limit']:6.2f}  {verdict}")
