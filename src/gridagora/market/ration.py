"""Sharing a scarce quantity pro rata, in whole units where the quantities are integers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.model.bids import Bids
from gridagora.model.results import sum_by


def ration(
    *,
    bids: Bids,
    rows: NDArray[np.int64],
    weight: NDArray[Any],
    group: NDArray[np.int64],
    target: NDArray[Any],
) -> NDArray[Any]:
    """Share ``target[g]`` among the rows of each group in proportion to their weights.

    Floats: weight x target / sum of weights.  Integers: rounded down, the rest by `extra_units`.

    >>> bids = Bids(side=["buy"] * 3, price=[1, 1, 1], quantity=[5, 5, 5], participant=["c", "a", "b"])
    >>> same = np.zeros(3, dtype=np.int64)
    >>> ration(bids=bids, rows=np.arange(3), weight=bids.quantity, group=same, target=np.array([7])).tolist()
    [2, 3, 2]
    """
    from gridagora.market import _share_kernel

    total = sum_by(group, weight, len(target))
    if weight.dtype.kind == "f":
        ratio = np.divide(target, total, out=np.zeros(len(target)), where=total > 0)
        shared: NDArray[Any] = weight * np.minimum(ratio, 1.0)[group]
        return shared
    given, rest = _share_kernel.shares(weight, target[group], total[group])
    lacking = target - sum_by(group, given, len(target))
    return given + extra_units(bids=bids, rows=rows, rest=rest, group=group, lacking=lacking)


def extra_units(
    *,
    bids: Bids,
    rows: NDArray[np.int64],
    rest: NDArray[np.int64],
    group: NDArray[np.int64],
    lacking: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Give each group's ``lacking[g]`` whole units, one each, to its rows with the largest remainders.

    Equal remainders go by participant id, then step, group, node, quantity and price of the bid.  Bids equal
    in all of these belong to one participant, who gets the same whichever of them is filled.

    >>> bids = Bids(side=["buy", "buy"], price=[1, 1], quantity=[5, 5], participant=["b", "a"])
    >>> same = np.zeros(2, dtype=np.int64)
    >>> extra_units(bids=bids, rows=np.arange(2), rest=same, group=same, lacking=np.array([1])).tolist()
    [0, 1]
    """
    ties = [column[rows] for column in (bids.node, bids.group, bids.step) if column is not None]
    own = (bids.price[rows], bids.quantity[rows], *ties, bids.participant[rows])
    ranked = np.lexsort((*own, -rest, group))
    ordered = group[ranked]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    place = np.arange(len(ordered)) - np.repeat(begins, np.diff(np.append(begins, len(ordered))))
    extra = np.zeros(len(rows), dtype=np.int64)
    extra[ranked[place < lacking[ordered]]] = 1
    return extra
