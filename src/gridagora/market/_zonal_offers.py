"""What zones offer further out: what is left of their bids, as far as the gates on the way have room."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._zonal_input import ZonalInput
from gridagora.market.merit import RELATIVE_RESIDUE
from gridagora.market.ration import ration
from gridagora.model.bids import Bids

Ints = NDArray[np.int64]

_NO_LIMIT = 2**62
"""Whole Wh that no market reaches."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class GateRooms:
    """The gates that each bid passes: its ancestors (depths, bids), periods and the limits."""

    given: ZonalInput
    at: Ints
    ancestors: Ints

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of periods and zones."""
        return len(self.given.periods), self.given.import_limit.shape[1]

    def net(self, bids: Bids, accepted: NDArray[Any], *, depth: int) -> NDArray[Any]:
        """Return the net import of the zones of one depth so far, (periods, zones); 0 for the others."""
        rows = np.flatnonzero(self.ancestors[depth] >= 0)
        code = self.at[rows] * self.shape[1] + self.ancestors[depth, rows]
        signed = bids.side[rows] * accepted[rows]
        return totals(code, signed, self.shape[0] * self.shape[1]).reshape(self.shape)

    def room(self, net: NDArray[Any], *, buy: bool) -> NDArray[Any]:
        """Return what may still pass the gates in one direction, (periods, zones), beyond a net import."""
        limit = self.given.import_limit if buy else self.given.export_limit
        used = net if buy else -net
        if net.dtype.kind == "i":
            return np.asarray(np.minimum(limit, _NO_LIMIT).astype(np.int64) - used)
        room = limit - used
        residue = RELATIVE_RESIDUE * np.where(np.isinf(limit), 0.0, limit)
        return np.where(room > residue, room, 0.0)


def totals(index: Ints, values: NDArray[Any], count: int) -> NDArray[Any]:
    """Return the sum per index, added in the order given: bids are sorted, so that it is always the same.

    >>> totals(np.array([0, 2, 0]), np.array([1, 5, 2]), 3).tolist()
    [3, 0, 5]
    """
    out: NDArray[Any] = np.zeros(count, dtype=values.dtype)
    np.add.at(out, index, values)
    return out


def offered(bids: Bids, accepted: NDArray[Any], *, depth: int, rooms: GateRooms) -> NDArray[Any]:
    """Return what each bid offers in the market of its zone at a depth; 0 where it has none there."""
    left = bids.quantity - accepted
    if not bids.is_integer:
        left = np.where(left > RELATIVE_RESIDUE * bids.quantity, left, 0.0)
    left = np.where(rooms.ancestors[depth] >= 0, left, 0)
    # A gate further in has cut already when one further out cuts.
    for gate in range(len(rooms.ancestors) - 1, depth, -1):
        net = rooms.net(bids, accepted, depth=gate)
        for buy in (True, False):
            room = rooms.room(net, buy=buy)
            rows = np.flatnonzero((rooms.ancestors[gate] >= 0) & (bids.is_buy == buy) & (left > 0))
            group = rooms.at[rows] * rooms.shape[1] + rooms.ancestors[gate, rows]
            _cut(bids, left, rows, group=group, room=room.ravel())
    return left


def _cut(bids: Bids, left: NDArray[Any], rows: Ints, *, group: Ints, room: NDArray[Any]) -> None:
    """Keep the best offers of each group that fit its room; those at the price where it ends share it."""
    over = (totals(group, left[rows], len(room)) > room)[group]
    rows, group = rows[over], group[over]
    if not len(rows):
        return
    worse = -bids.side[rows] * bids.price[rows]
    ranked = np.lexsort((worse, group))
    rows, group, worse = rows[ranked], group[ranked], worse[ranked]
    is_new = np.ones(len(rows), dtype=bool)
    is_new[1:] = (np.diff(group) != 0) | (np.diff(worse) != 0)
    first, level = np.flatnonzero(is_new), np.cumsum(is_new) - 1
    amount = totals(level, left[rows], len(first))
    before = _before(amount, group[first])
    share = np.clip(room[group[first]] - before, 0, amount)
    left[rows] = ration(bids=bids, rows=rows, weight=left[rows], group=level, target=share)


def _before(amount: NDArray[Any], group: Ints) -> NDArray[Any]:
    """Return for each level the sum of the levels before it in its group."""
    running = np.cumsum(amount) - amount
    begins = np.flatnonzero(np.diff(group, prepend=-1) != 0)
    lengths = np.diff(np.append(begins, len(group)))
    rest: NDArray[Any] = running - np.repeat(running[begins], lengths)
    return rest
