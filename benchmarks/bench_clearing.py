"""Uniform clearing against NumPy's sorts of the same prices, measured side by side in one run.

Run with ``python benchmarks/bench_clearing.py``; every line is a ratio and the limit it must keep.
"""

import time
from collections.abc import Callable

import numpy as np

from gridagora.market import pay_as_cleared
from gridagora.model.bids import Bids

ROUNDS = 5


def best_pair(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Best times of both in seconds; taken in turns, so that a busy machine disturbs both alike."""
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for place, work in enumerate((ours, theirs)):
            start = time.perf_counter()
            work()
            best[place] = min(best[place], time.perf_counter() - start)
    return best[0], best[1]


def random_bids(count: int, *, whole: bool = False, periods: int = 1) -> Bids:
    """Half buys, half sells; ticks of 1e-4 and Wh if whole."""
    rng = np.random.default_rng(count)
    return Bids(
        side=rng.choice([1, -1], count),
        price=rng.integers(0, 5000, count) if whole else rng.random(count),
        quantity=rng.integers(0, 5000, count) if whole else rng.random(count),
        period=np.repeat(np.arange(periods), count // periods),
    )


def run() -> list[dict[str, object]]:
    """Measure and return one row per promise: name, ratio, limit."""
    for whole in (False, True):
        pay_as_cleared(random_bids(1000, whole=whole))  # compile or load the compiled code
    million = random_bids(1_000_000)
    ours, argsort = best_pair(
        lambda: pay_as_cleared(million), lambda: np.argsort(million.price, kind="stable")
    )
    rows = [("1,000,000 bids, one period / stable argsort of the prices", ours / argsort, 3.0)]
    # ten markets touch as much memory as the large one, so that only the work per bid can differ
    tenths = [million.take(slice_) for slice_ in np.arange(1_000_000).reshape(10, -1)]
    large, small = best_pair(
        lambda: pay_as_cleared(million), lambda: [pay_as_cleared(tenth) for tenth in tenths]
    )
    rows.append(
        ("1,000,000 bids / ten times 100,000 (n log n: 1.2)", large / small, float(np.log(1e6) / np.log(1e5)))
    )
    ticks = random_bids(1_000_000, whole=True)
    whole_time, tick_sort = best_pair(
        lambda: pay_as_cleared(ticks), lambda: np.argsort(ticks.price, kind="stable")
    )
    rows.append(("1,000,000 integer bids / stable argsort of the ticks", whole_time / tick_sort, 0.3))
    year = random_bids(35_040 * 40, periods=35_040)
    many, lexsort = best_pair(lambda: pay_as_cleared(year), lambda: np.lexsort((year.price, year.period)))
    rows.append(("35,040 periods x 40 bids / lexsort of period and price", many / lexsort, 3.0))
    return [{"name": name, "ratio": ratio, "limit": limit} for name, ratio, limit in rows]


if __name__ == "__main__":
    for row in run():
        verdict = "ok" if row["ratio"] <= row["limit"] else "TOO SLOW"
        print(f"{row['name']:<60} {row['ratio']:7.3f}  limit {row['limit']:6.2f}  {verdict}")
