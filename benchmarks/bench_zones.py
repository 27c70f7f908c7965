"""How the clearing of zones grows with their number; run with ``python benchmarks/bench_zones.py``.

Ten zones to a medium-voltage zone, 20 bids to a zone, 24 periods, a gate limit in each.  Linear means that
1,000 zones take ten times as long as 100, but for sorting the bids and for the larger memory they touch.
"""

from time import process_time
from typing import Any

import numpy as np

from gridagora.market.zonal import hierarchical_clearing, with_bulk
from gridagora.market.zonal_joint import joint_clearing
from gridagora.model.bids import Bids
from gridagora.model.zones import Zone, ZoneTree

BIDS, PERIODS, TO_ONE = 20, 24, 10


def _market(zones: int) -> tuple[Bids, ZoneTree, dict[str, float]]:
    rng = np.random.default_rng(1)
    names = [f"lv {k}" for k in range(zones)]
    outer = [f"mv {k}" for k in range(-(-zones // TO_ONE))]
    tree = ZoneTree(
        zones=(
            Zone(name="bulk", level="bulk", parent=None),
            Zone(name="dso", level="dso", parent="bulk"),
            *(Zone(name=name, level="mv", parent="dso", buses=(f"{name} bus",)) for name in outer),
            *(
                Zone(name=name, level="lv", parent=outer[k // TO_ONE], buses=(f"{name} bus",))
                for k, name in enumerate(names)
            ),
        )
    )
    count = zones * BIDS * PERIODS
    side = rng.choice([1, -1], count)
    bids = Bids(
        side=side,
        price=rng.uniform(0.05, 0.30, count) + 0.05 * side,
        quantity=rng.exponential(0.5, count),
        participant=np.tile(np.arange(zones * BIDS), PERIODS),
        period=np.repeat(np.arange(PERIODS), zones * BIDS),
        node=np.tile(np.repeat(names, BIDS), PERIODS),
    )
    return with_bulk(bids, tree, pays=0.05, asks=0.40), tree, dict.fromkeys(names, 2.0)


def _seconds(work: Any) -> float:
    started = process_time()
    work()
    return process_time() - started


def run() -> list[dict[str, Any]]:
    """Measure, best of three; one figure per row."""
    times = {}
    for zones in (100, 1000):
        bids, tree, limits = _market(zones)

        def clear(bids: Bids = bids, tree: ZoneTree = tree, limits: dict[str, float] = limits) -> None:
            hierarchical_clearing(bids, tree, transfer_kw=limits)

        clear()
        times[zones] = min(_seconds(clear) for _ in range(3))
    joint_bids, joint_tree, joint_limits = _market(300)

    def clear_jointly() -> None:
        joint_clearing(joint_bids, joint_tree, transfer_kw=joint_limits)

    joint = min(_seconds(clear_jointly) for _ in range(3))
    return [
        {
            "name": "zones: time per zone, 1,000 / 100",
            "ratio": times[1000] / times[100] / 10,
            "limit": 1.5,
            "unit": "x",
        },
        {"name": "1,000 zones, 480,000 bids", "value": times[1000], "limit": 3.0, "unit": "s"},
        {"name": "joint clearing of 300 zones, 144,000 bids", "value": joint, "limit": 1.5, "unit": "s"},
    ]


if __name__ == "__main__":
    for row in run():
        figure = row.get("ratio", row.get("value"))
        print(f"{row['name']:50s} {figure:9.3f} {row['unit']:2s}  at most {row['limit']}")
