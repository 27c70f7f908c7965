"""Batch power flow of a year of quarter hours against a bare power-grid-model call on the same arrays.

Run ``python benchmarks/bench_power_flow.py``; the limit of the ratio is 1.3.
"""

import time

import numpy as np

from gridagora.adapters.grids import Grid
from gridagora.grid import power_flow

PERIODS = 35_040
LIMIT = 1.3
ROUNDS = 3


def bare(solver, p_w, q_var):
    """Call power-grid-model on node powers that are ready, in the same chunks and with one thread."""
    size = power_flow.CHUNK_VALUES // solver.nodes
    for first in range(0, len(p_w), size):
        update = {"p_specified": p_w[first : first + size], "q_specified": q_var[first : first + size]}
        solver._model.calculate_power_flow(
            error_tolerance=power_flow.ERROR_TOLERANCE_PU,
            max_iterations=power_flow.MAX_ITERATIONS,
            calculation_method="iterative_current",
            update_data={"sym_load": update},
            output_component_types=solver._outputs,
            continue_on_batch_error=True,
        )


def run(periods=PERIODS):
    """Return name, ratio and limit of each comparison; both sides run in turn, the best of each counts."""
    grid = Grid.by_name("cigre-lv")
    factor = np.random.default_rng(0).uniform(0.0, 1.0, (periods, len(grid.buses)))
    kw, kvar = (values * factor for values in grid.base_import())
    solver = grid._solver
    p_w, q_var = grid._at_nodes(kw), grid._at_nodes(kvar)
    best = {"ours": np.inf, "bare": np.inf}
    calls = {"ours": lambda: grid.power_flow(kw, kvar, threads=1), "bare": lambda: bare(solver, p_w, q_var)}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    name = f"power flow of {periods} periods, {len(grid.buses)} buses, against bare power-grid-model"
    return [{"name": name, "ratio": best["ours"] / best["bare"], "limit": LIMIT, "unit": "x"}]


if __name__ == "__main__":
    for row in run():
        print(row)
