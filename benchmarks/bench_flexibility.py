"""The flexibility market: ordered clearing against a sort, Shapley values, VCG against a clearing."""

import time
from collections.abc import Callable

import numpy as np

from gridagora.market import pay_as_cleared
from gridagora.market.mechanisms.capacity_limit import capacity_limit_auction
from gridagora.market.payments import payments
from gridagora.model.bids import Bids

Figure = dict[str, object]


def market(sellers: int, *, whole: bool, rising: bool = False, seed: int = 0) -> Bids:
    """Return one buyer with four steps and sellers with one offer each, half of which can be sold."""
    rng = np.random.default_rng(seed)
    quantity = rng.integers(1, 32, sellers) * (1.0 if whole else 0.1234567891)
    total = quantity.sum() / 2
    steps = np.array([0.4, 0.3, 0.2, 0.1]) * total
    return Bids(
        side=["buy"] * 4 + ["sell"] * sellers,
        price=np.concatenate([[0.3, 2, 9, 1] if rising else [9, 5, 3, 1], rng.random(sellers) * 5]),
        quantity=np.concatenate([np.rint(steps) if whole else steps, quantity]),
        participant=["dso"] * 4 + [f"fsp {number}" for number in range(sellers)],
        step=[0, 1, 2, 3] + [0] * sellers,
    )


def fastest(work: Callable[[], object], repeats: int) -> float:
    """Shortest CPU time of some repeats in seconds: one core, whatever else the machine does."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def run() -> list[Figure]:
    """Return the figures, each good up to its limit; compiled code is warm."""
    for rising in (False, True):
        for rule in ("vcg", "shapley"):
            payments(
                capacity_limit_auction(market(25, whole=True, rising=rising), ordered=rising),
                rule=rule,
                samples=2,
            )
    return [*_clearing(), *_shapley(), *_vcg()]


def _clearing() -> list[Figure]:
    bids = market(10_000, whole=False, rising=True)
    offered = bids.price[4:]
    cleared = fastest(lambda: capacity_limit_auction(bids, ordered=True), 20)
    # the time of one sort is short, so that it is counted over many
    sort = fastest(lambda: [np.argsort(offered, kind="stable") for _ in range(20)], 5) / 20
    return [
        {"name": "ordered buyer, 10,000 offers, of a stable argsort", "ratio": cleared / sort, "limit": 2.0}
    ]


def _shapley() -> list[Figure]:
    figures: list[Figure] = []
    for sellers, whole, limit, repeats in ((20, False, 0.005, 10), (100, True, 0.1, 5), (1000, True, 5.0, 1)):
        result = pay_as_cleared(market(sellers, whole=whole))
        seconds = fastest(lambda result=result: payments(result, rule="shapley"), repeats)
        name = f"Shapley values of {sellers} sellers"
        figures.append({"name": name, "value": seconds, "limit": limit, "unit": "s"})
    free = pay_as_cleared(market(1000, whole=False))
    seconds = fastest(lambda: payments(free, rule="shapley"), 1)
    stated = float(payments(free, rule="shapley").errors.max()) / free.welfare
    figures += [
        {"name": "Shapley values of 1000, any quantities", "value": seconds, "limit": 5.0, "unit": "s"},
        {"name": "Shapley values of 1000, any quantities, stated error of v", "value": stated, "limit": 1e-3},
    ]
    found = payments(result, rule="shapley")
    exact = payments(result, rule="shapley", nodes=64)
    stated, true = float(found.errors.max()), float((found.values - exact.values).abs().max())
    return [
        *figures,
        {"name": f"{name}, stated error of v", "value": stated / result.welfare, "limit": 1e-3},
        {"name": f"{name}, change at 64 nodes, of v", "value": true / result.welfare, "limit": 1e-3},
    ]


def _vcg() -> list[Figure]:
    figures: list[Figure] = []
    for rising, name in ((False, "impact-based"), (True, "ordered")):
        bids = market(1000, whole=False, rising=rising)
        result = capacity_limit_auction(bids, ordered=rising)
        clearing = fastest(
            lambda bids=bids, rising=rising: [
                capacity_limit_auction(bids, ordered=rising) for _ in range(20)
            ],
            5,
        )
        paid = fastest(lambda result=result: [payments(result, rule="vcg") for _ in range(20)], 5)
        figures.append(
            {"name": f"VCG of 1,000 sellers, {name}, of a clearing", "ratio": paid / clearing, "limit": 3.0}
        )
    return figures


if __name__ == "__main__":
    for result in run():
        print(result)
