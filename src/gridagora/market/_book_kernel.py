"""The compiled heart of the order book: one matching rule on plain arrays.

A price level is an index into a ladder of ticks; the orders of a level form a first-in-first-out list linked
through the order records, so submitting, cancelling and trading cost O(1).  Since a book is never crossed,
bids and asks share one ladder.  A bitmap tree with 64 branches finds the next occupied level in
O(log64 levels).  Slot 0 of the orders means "none", which lets untouched (zeroed) memory stand for an empty
ladder.
"""

import numpy as np
from numpy.typing import NDArray

from gridagora.market._book_jit import compiled, inlined
from gridagora.market._book_messages import (
    BUY,
    CANCEL,
    EXPIRE,
    FILL_OR_KILL,
    LIMIT,
    MARKET,
    MISSING,
    NEW,
    SELL,
    Columns,
)
from gridagora.market._book_state import (
    ALIVE,
    ALLOW,
    APPLIED,
    BEST_ASK,
    BEST_BID,
    CANCEL_INCOMING,
    CANCELLED,
    COUNT,
    DEAD_ORDER,
    EXPIRED,
    FILLED,
    KILLED,
    NEVER,
    NEXT_EXPIRY,
    NOW,
    QUEUED,
    RESTING,
    SELF_MATCH,
    TRADES,
    UNKNOWN_ORDER,
    State,
)

# --- the bitmap of occupied levels ----------------------------------------------------------------


@compiled
def _lowest(word: np.uint64) -> int:
    """Place of the lowest bit set."""
    place = 0
    for width in (32, 16, 8, 4, 2, 1):
        if word & ((np.uint64(1) << np.uint64(width)) - np.uint64(1)) == np.uint64(0):
            word >>= np.uint64(width)
            place += width
    return place


@compiled
def _highest(word: np.uint64) -> int:
    """Place of the highest bit set."""
    place = 0
    for width in (32, 16, 8, 4, 2, 1):
        if word >> np.uint64(width) != np.uint64(0):
            word >>= np.uint64(width)
            place += width
    return place


@compiled
def _mark(bitmap: NDArray[np.uint64], tiers: NDArray[np.int64], level: int) -> None:
    position = level
    for tier in range(len(tiers)):
        word = tiers[tier] + (position >> 6)
        before = bitmap[word]
        bitmap[word] = before | (np.uint64(1) << np.uint64(position & 63))
        if before != np.uint64(0):
            return
        position >>= 6


@compiled
def _unmark(bitmap: NDArray[np.uint64], tiers: NDArray[np.int64], level: int) -> None:
    position = level
    for tier in range(len(tiers)):
        word = tiers[tier] + (position >> 6)
        rest = bitmap[word] & ~(np.uint64(1) << np.uint64(position & 63))
        bitmap[word] = rest
        if rest != np.uint64(0):
            return
        position >>= 6


@compiled
def _level_above(bitmap: NDArray[np.uint64], tiers: NDArray[np.int64], level: int) -> int:
    """Next occupied level above, or -1."""
    position = level
    for tier in range(len(tiers)):
        bit = position & 63
        if bit < 63:
            rest = bitmap[tiers[tier] + (position >> 6)] >> np.uint64(bit + 1)
            if rest != np.uint64(0):
                position += 1 + _lowest(rest)
                for lower in range(tier - 1, -1, -1):
                    position = (position << 6) + _lowest(bitmap[tiers[lower] + position])
                return position
        position >>= 6
    return -1


@compiled
def _level_below(bitmap: NDArray[np.uint64], tiers: NDArray[np.int64], level: int) -> int:
    """Next occupied level below, or -1."""
    position = level
    for tier in range(len(tiers)):
        mask = (np.uint64(1) << np.uint64(position & 63)) - np.uint64(1)
        rest = bitmap[tiers[tier] + (position >> 6)] & mask
        if rest != np.uint64(0):
            position = ((position >> 6) << 6) + _highest(rest)
            for lower in range(tier - 1, -1, -1):
                position = (position << 6) + _highest(bitmap[tiers[lower] + position])
            return position
        position >>= 6
    return -1


@inlined
def _next_level(state: State, side: int, level: int) -> int:
    """Return the next occupied level of a side behind this one; beyond the ladder if there is none."""
    if side == SELL:
        above = _level_above(state.bitmap, state.tiers, level)
        return above if above >= 0 else len(state.head)
    return _level_below(state.bitmap, state.tiers, level)


# --- resting orders -------------------------------------------------------------------------------


@inlined
def _rest(state: State, slot: int) -> None:
    """Put an order at the end of the queue of its level."""
    order = state.orders[slot]
    order.status = RESTING
    level = order.level
    last = state.tail[level]
    order.before = last
    order.after = 0
    state.tail[level] = slot
    state.counters[ALIVE] += 1
    if last != 0:
        state.orders[last].after = slot
        return
    state.head[level] = slot
    _mark(state.bitmap, state.tiers, level)
    if order.side == SELL:
        state.counters[BEST_ASK] = min(state.counters[BEST_ASK], level)
    else:
        state.counters[BEST_BID] = max(state.counters[BEST_BID], level)


@inlined
def _take_out(state: State, slot: int) -> None:
    """Take an order out of the queue of its level; its status is the caller's to set."""
    order = state.orders[slot]
    level, before, after = order.level, order.before, order.after
    state.counters[ALIVE] -= 1
    if before != 0:
        state.orders[before].after = after
    else:
        state.head[level] = after
    if after != 0:
        state.orders[after].before = before
    else:
        state.tail[level] = before
    if before != 0 or after != 0:
        return
    _unmark(state.bitmap, state.tiers, level)
    if level == state.counters[BEST_ASK]:
        state.counters[BEST_ASK] = _next_level(state, SELL, level)
    elif level == state.counters[BEST_BID]:
        state.counters[BEST_BID] = _next_level(state, BUY, level)


@inlined
def _end(state: State, slot: int, status: int) -> None:
    """Take an order out of the book; what was open is gone."""
    _take_out(state, slot)
    state.orders[slot].open_wh = 0
    state.orders[slot].status = status


# --- expiry: a binary heap of slots by end of validity; dead orders are dropped when their time comes ---


@compiled
def _enqueue(state: State, slot: int) -> None:
    queue, orders = state.queue, state.orders
    due = orders[slot].valid_until
    place = state.counters[QUEUED]
    state.counters[QUEUED] = place + 1
    while place > 0:
        parent = (place - 1) >> 1
        if orders[queue[parent]].valid_until <= due:
            break
        queue[place] = queue[parent]
        place = parent
    queue[place] = slot
    state.counters[NEXT_EXPIRY] = orders[queue[0]].valid_until


@inlined
def _dequeue(state: State) -> int:
    queue, orders = state.queue, state.orders
    first = queue[0]
    size = state.counters[QUEUED] - 1
    state.counters[QUEUED] = size
    moved = queue[size]
    due = orders[moved].valid_until
    place = 0
    while 2 * place + 1 < size:
        child = 2 * place + 1
        if child + 1 < size and orders[queue[child + 1]].valid_until < orders[queue[child]].valid_until:
            child += 1
        if orders[queue[child]].valid_until >= due:
            break
        queue[place] = queue[child]
        place = child
    queue[place] = moved
    state.counters[NEXT_EXPIRY] = orders[queue[0]].valid_until if size > 0 else NEVER
    return int(first)


@compiled
def _expire_due(state: State) -> None:
    while state.counters[QUEUED] > 0 and state.counters[NEXT_EXPIRY] <= state.counters[NOW]:
        slot = _dequeue(state)
        if state.orders[slot].status == RESTING:
            _end(state, slot, EXPIRED)


# --- the matching rule ----------------------------------------------------------------------------


@inlined
def _best_against(state: State, side: int, limit: int) -> int:
    """Best opposite level an order of this side and limit reaches, or -1."""
    if side == SELL:
        level = state.counters[BEST_BID]
        return level if level >= limit else -1
    level = state.counters[BEST_ASK]
    return level if level <= limit else -1


@compiled
def _is_fillable(state: State, slot: int, self_match: int) -> bool:
    """Tell whether the whole order can trade at once, its own side's resting orders left out."""
    order = state.orders[slot]
    limit, missing = order.level, order.quantity_wh
    level = _best_against(state, order.side, limit)
    while 0 <= level < len(state.head) and (level >= limit if order.side == SELL else level <= limit):
        maker = state.head[level]
        while maker != 0:
            own = order.participant >= 0 and state.orders[maker].participant == order.participant
            if own and self_match == CANCEL_INCOMING:
                return False
            if not own or self_match == ALLOW:
                missing -= state.orders[maker].open_wh
            if missing <= 0:
                return True
            maker = state.orders[maker].after
        level = _next_level(state, BUY if order.side == SELL else SELL, level)
    return False


@inlined
def _record(state: State, maker: int, taker: int, quantity_wh: int) -> None:
    number = state.counters[TRADES]
    state.counters[TRADES] = number + 1
    trade, resting, incoming = state.trades[number], state.orders[maker], state.orders[taker]
    trade.quantity_wh = quantity_wh
    trade.at = state.counters[NOW]
    trade.level = resting.level
    trade.maker = maker
    trade.taker = taker
    if incoming.side == SELL:
        trade.buyer, trade.seller = resting.participant, incoming.participant
    else:
        trade.buyer, trade.seller = incoming.participant, resting.participant


@inlined
def _match(state: State, slot: int, self_match: int) -> None:
    """Trade an incoming order against the book, best price first, then first come first served."""
    order = state.orders[slot]
    while order.open_wh > 0:
        level = _best_against(state, order.side, order.level)
        if level < 0:
            return
        maker = state.head[level]
        resting = state.orders[maker]
        own = self_match != ALLOW and order.participant >= 0 and resting.participant == order.participant
        if own and self_match == CANCEL_INCOMING:
            order.status = SELF_MATCH
            return
        if not own:
            quantity_wh = min(order.open_wh, resting.open_wh)
            _record(state, maker, slot, quantity_wh)
            order.open_wh -= quantity_wh
            order.filled_wh += quantity_wh
            resting.open_wh -= quantity_wh
            resting.filled_wh += quantity_wh
        if own or resting.open_wh == 0:
            _end(state, maker, SELF_MATCH if own else FILLED)


@inlined
def _trade_or_rest(state: State, slot: int, self_match: int) -> None:
    """Match an order, then file what is left: a limit order rests, the others end here."""
    order = state.orders[slot]
    _match(state, slot, self_match)
    if order.open_wh == 0:
        order.status = FILLED
    elif order.status == SELF_MATCH:
        order.open_wh = 0
    elif order.kind == LIMIT:
        _rest(state, slot)
    else:
        order.status = KILLED
        order.open_wh = 0


# --- the messages ---------------------------------------------------------------------------------


@inlined
def _admit(state: State, columns: Columns, row: int, low: int, self_match: int) -> int:
    """Write a new order down; return its slot if it is to be matched, 0 if it was killed."""
    slot = state.counters[COUNT] + 1
    state.counters[COUNT] = slot
    order = state.orders[slot]
    order.quantity_wh = columns.quantity_wh[row]
    order.open_wh = columns.quantity_wh[row]
    order.at = state.counters[NOW]
    until = columns.valid_until[row]
    order.valid_until = NEVER if until == MISSING else until
    order.participant = columns.participant[row]
    order.side = columns.side[row]
    order.kind = columns.kind[row]
    if order.kind == MARKET:
        order.level = 0 if order.side == SELL else len(state.head) - 1
    else:
        order.level = columns.price_ticks[row] - low
    if order.kind == FILL_OR_KILL and not _is_fillable(state, slot, self_match):
        order.status = KILLED
        order.open_wh = 0
        return 0
    return int(slot)


@inlined
def _amend(state: State, columns: Columns, row: int, low: int) -> int:
    """Change a resting order; return its slot if it lost its place and is to be matched anew, else 0."""
    slot = columns.order[row] + 1
    order = state.orders[slot]
    price, quantity_wh = columns.price_ticks[row], columns.quantity_wh[row]
    level = order.level if price == MISSING else price - low
    open_wh = order.open_wh if quantity_wh == MISSING else quantity_wh - order.filled_wh
    if level == order.level and 0 < open_wh <= order.open_wh:
        order.quantity_wh = order.filled_wh + open_wh
        order.open_wh = open_wh
        return 0
    if open_wh <= 0:  # as much as is now wanted has traded already
        order.quantity_wh = order.filled_wh
        _end(state, slot, FILLED)
        return 0
    _take_out(state, slot)
    order.quantity_wh = order.filled_wh + open_wh
    order.open_wh = open_wh
    order.level = level
    return int(slot)


@inlined
def _outcome(state: State, order: int) -> int:
    """Tell whether the order with this number can be cancelled or amended."""
    if order < 0 or order >= state.counters[COUNT]:
        return UNKNOWN_ORDER
    return APPLIED if state.orders[order + 1].status == RESTING else DEAD_ORDER


@compiled
def apply(state: State, columns: Columns, outcomes: NDArray[np.uint8], low: int, self_match: int) -> None:
    """Apply checked messages in order; ``low`` is the tick of level 0, ``outcomes`` gets one per row."""
    for row in range(len(columns.action)):
        at = columns.at[row]
        if at != MISSING:
            state.counters[NOW] = at
            if state.counters[NEXT_EXPIRY] <= at:
                _expire_due(state)
        action = columns.action[row]
        slot = 0
        if action == NEW:
            slot = _admit(state, columns, row, low, self_match)
        elif action != EXPIRE:
            outcome = _outcome(state, columns.order[row])
            outcomes[row] = outcome
            if outcome == APPLIED and action == CANCEL:
                _end(state, columns.order[row] + 1, CANCELLED)
            elif outcome == APPLIED:
                slot = _amend(state, columns, row, low)
        if slot != 0:
            _trade_or_rest(state, slot, self_match)
            if (
                action == NEW
                and state.orders[slot].status == RESTING
                and state.orders[slot].valid_until != NEVER
            ):
                _enqueue(state, slot)


@compiled
def list_resting(state: State, slots: NDArray[np.int64]) -> None:
    """Fill in the slots of all resting orders: bids then asks, best price first, then first come first."""
    place = 0
    for side in range(2):
        level = state.counters[BEST_ASK] if side == SELL else state.counters[BEST_BID]
        while 0 <= level < len(state.head):
            slot = state.head[level]
            while slot != 0:
                slots[place] = slot
                place += 1
                slot = state.orders[slot].after
            level = _next_level(state, side, level)
