"""The state of the order book: plain arrays that the compiled kernel changes in place.

Compiled code keeps the values of the constants here and in `_book_messages`; numba recompiles when the file
of a compiled function changes, so whoever changes a constant also touches `_book_kernel` and `_book_check`.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

RESTING, FILLED, CANCELLED, EXPIRED, KILLED, SELF_MATCH = range(1, 7)
"""States of an order."""

CANCEL_RESTING, CANCEL_INCOMING, ALLOW = range(3)
"""Rules of self-match prevention."""

APPLIED, UNKNOWN_ORDER, DEAD_ORDER = range(3)
"""Outcomes of a message."""

COUNT, TRADES, BEST_BID, BEST_ASK, NOW, QUEUED, NEXT_EXPIRY, ALIVE = range(8)
"""Places in ``State.counters``."""

NEVER = np.iinfo(np.int64).max
MAX_QUANTITY_WH = 1 << 53
MAX_ORDER = 1 << 53

ORDER = np.dtype(
    [
        ("quantity_wh", np.int64),
        ("open_wh", np.int64),
        ("filled_wh", np.int64),
        ("at", np.int64),
        ("valid_until", np.int64),
        ("level", np.int32),
        ("before", np.int32),
        ("after", np.int32),
        ("participant", np.int32),
        ("side", np.int8),
        ("kind", np.int8),
        ("status", np.int8),
    ],
    align=True,  # 64 bytes: an order is one cache line
)
TRADE = np.dtype(
    [
        ("quantity_wh", np.int64),
        ("at", np.int64),
        ("level", np.int32),
        ("maker", np.int32),
        ("taker", np.int32),
        ("buyer", np.int32),
        ("seller", np.int32),
    ],
    align=True,
)

Scalar = TypeVar("Scalar", bound=np.generic)


class State(NamedTuple):
    """Everything a book knows, as arrays the kernel changes in place."""

    orders: NDArray[np.void]
    trades: NDArray[np.void]
    queue: NDArray[np.int32]
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    bitmap: NDArray[np.uint64]
    tiers: NDArray[np.int64]
    counters: NDArray[np.int64]


def new_state(levels: int) -> State:
    """Return the state of an empty book with this many price levels."""
    words, tiers = levels, [0]
    while words > 1:
        words = (words + 63) >> 6
        tiers.append(tiers[-1] + words)
    counters = np.zeros(8, dtype=np.int64)
    counters[[BEST_BID, BEST_ASK, NEXT_EXPIRY]] = -1, levels, NEVER
    return State(
        orders=np.zeros(16, dtype=ORDER),
        trades=np.zeros(16, dtype=TRADE),
        queue=np.zeros(16, dtype=np.int32),
        head=np.zeros(levels, dtype=np.int32),
        tail=np.zeros(levels, dtype=np.int32),
        bitmap=np.zeros(max(tiers[-1], 1), dtype=np.uint64),
        tiers=np.array(tiers[:-1] or [0], dtype=np.int64),
        counters=counters,
    )


def reserve(state: State, orders: int) -> State:
    """Return the state with room for so many more orders and for every trade they can make.

    Each trade completes at least one order, so the trades to come are at most the orders alive plus the new.
    """
    count, trades, alive = (int(state.counters[place]) for place in (COUNT, TRADES, ALIVE))
    return state._replace(
        orders=_grown(state.orders, count + 1, count + 1 + orders),
        queue=_grown(state.queue, count + 1, count + 1 + orders),
        trades=_grown(state.trades, trades, trades + alive + orders),
    )


def _grown(array: NDArray[Scalar], used: int, needed: int) -> NDArray[Scalar]:
    if needed <= len(array):
        return array
    larger = np.zeros(max(needed, 2 * len(array)), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger
