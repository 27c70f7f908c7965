"""Who trades with whom: pairs accepted buys with accepted sells, best with best."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.model.bids import Bids

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]


def pair_accepted(bids: Bids, accepted: NDArray[Any]) -> Pairs:
    """Return (row of the buy, row of the sell, quantity) of the trades that realise an accepted allocation.

    In each period buys go dearest first, sells cheapest first, equal prices by participant, step, group and
    node.  Each buy in turn takes from the first sells with something left, passing over its owner's.
    What is left then could only trade with itself; it changes partners with earlier trades between two
    others, in their order, so that a participant trades with itself only where no pairing avoids it.

    >>> bids = Bids(side=["buy", "buy", "sell"], price=[3, 5, 1], quantity=[4, 4, 6])
    >>> [column.tolist() for column in pair_accepted(bids, np.array([2, 4, 6]))]
    [[1, 0], [2, 2], [4, 2]]
    """
    from gridagora.model import _pairing_kernel

    rows = np.flatnonzero(accepted > 0)
    if len(rows) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64), accepted[:0]
    side = bids.side[rows]
    period = bids.period[rows]
    owner = np.unique(bids.participant[rows], return_inverse=True)[1]
    ties = [column[rows] for column in (bids.node, bids.group, bids.step) if column is not None]
    merit = -side * bids.price[rows]
    order = np.lexsort((accepted[rows], *ties, owner, merit, -side, period))
    rows, side, period, owner = rows[order], side[order], period[order], owner[order]
    starts = np.flatnonzero(np.diff(period, prepend=period[0] - 1))
    buys = np.add.reduceat((side > 0).astype(np.int64), starts)
    given = accepted[rows]
    dust = given * (0.0 if given.dtype.kind == "i" else _pairing_kernel.DUST)
    buyer, seller, quantity = _pairing_kernel.pair(np.append(starts, len(rows)), buys, owner, given, dust)
    return rows[buyer], rows[seller], quantity
