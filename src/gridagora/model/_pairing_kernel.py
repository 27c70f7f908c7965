"""Compiled part of `gridagora.model.pairing`."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridagora.model._jit import compiled

Ints = NDArray[np.int64]

DUST = 2.0**-44
"""A rest this small against the accepted quantity comes from rounding float sums and is not traded."""


class _Sheet(NamedTuple):
    """Bids of all periods, buys before sells and best first in each, and the trades written so far."""

    owner: Ints
    left: NDArray[Any]
    dust: NDArray[np.float64]
    follow: Ints
    reached: Ints
    buyer: Ints
    seller: Ints
    quantity: NDArray[Any]


@compiled
def _next_open(sheet: _Sheet, sell: int) -> int:
    """First sell from this one on that has something left (path halving keeps repeated skips cheap)."""
    while sheet.follow[sell] != sell:
        sheet.follow[sell] = sheet.follow[sheet.follow[sell]]
        sell = sheet.follow[sell]
    return sell


@compiled
def _trade(sheet: _Sheet, buy: int, sell: int, count: int) -> int:
    quantity = min(sheet.left[buy], sheet.left[sell])
    sheet.buyer[count] = buy
    sheet.seller[count] = sell
    sheet.quantity[count] = quantity
    for bid in (buy, sell):
        sheet.left[bid] -= quantity
        if sheet.left[bid] <= sheet.dust[bid]:
            sheet.left[bid] = 0
    return count + 1


@compiled
def _take_best(sheet: _Sheet, start: int, middle: int, stop: int, count: int) -> int:
    for buy in range(start, middle):
        owner = sheet.owner[buy]
        # all sells before the point this owner reached are used up or its own
        sell = _next_open(sheet, max(sheet.reached[owner], middle))
        while sheet.left[buy] > 0 and sell < stop:
            if sheet.owner[sell] != owner:
                count = _trade(sheet, buy, sell, count)
                if sheet.left[sell] == 0:
                    sheet.follow[sell] = sell + 1
            if sheet.left[buy] > 0:
                sell = _next_open(sheet, sell + 1)
        sheet.reached[owner] = sell
    return count


@compiled
def _change_partners(sheet: _Sheet, place: tuple[int, int, int], first: int, count: int) -> int:
    """Let the rest, which one owner could only trade with itself, step into trades of others."""
    start, middle, stop = place
    buy, sell, trade, last = start, middle, first, count
    while True:
        while buy < middle and sheet.left[buy] == 0:
            buy += 1
        while sell < stop and sheet.left[sell] == 0:
            sell += 1
        if buy == middle or sell == stop:
            return count
        owner = sheet.owner[buy]
        while trade < last and (
            sheet.quantity[trade] == 0
            or sheet.owner[sheet.buyer[trade]] == owner
            or sheet.owner[sheet.seller[trade]] == owner
        ):
            trade += 1
        if trade == last:
            count = _trade(sheet, buy, sell, count)
            continue
        moved = min(sheet.quantity[trade], min(sheet.left[buy], sheet.left[sell]))
        sheet.buyer[count], sheet.seller[count], sheet.quantity[count] = buy, sheet.seller[trade], moved
        count += 1
        sheet.buyer[count], sheet.seller[count], sheet.quantity[count] = sheet.buyer[trade], sell, moved
        count += 1
        sheet.quantity[trade] -= moved
        for bid in (buy, sell):
            sheet.left[bid] -= moved
            if sheet.left[bid] <= sheet.dust[bid]:
                sheet.left[bid] = 0


@compiled
def pair(
    starts: Ints, buys: Ints, owner: Ints, accepted: NDArray[Any], dust: NDArray[np.float64]
) -> tuple[Ints, Ints, NDArray[Any]]:
    """Pair every period; bids are sorted by period, buys before sells, best first.  Returns positions."""
    size = 6 * len(owner)
    sheet = _Sheet(
        owner,
        accepted.copy(),
        dust,
        np.arange(len(owner) + 1),
        np.zeros(owner.max() + 1, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, accepted.dtype),
    )
    count = 0
    for run in range(len(buys)):
        first = count
        middle, stop = starts[run] + buys[run], starts[run + 1]
        count = _take_best(sheet, starts[run], middle, stop, count)
        count = _change_partners(sheet, (starts[run], middle, stop), first, count)
    kept = np.flatnonzero(sheet.quantity[:count] > 0)
    return sheet.buyer[kept], sheet.seller[kept], sheet.quantity[kept]
