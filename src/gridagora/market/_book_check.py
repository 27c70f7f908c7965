"""What a message of the order book must satisfy before anything is applied."""

import numpy as np
from numpy.typing import NDArray

from gridagora.market._book_jit import compiled, inlined
from gridagora.market._book_messages import (
    AMEND,
    BAD_ACTION,
    BAD_KIND,
    BAD_ORDER,
    BAD_PARTICIPANT,
    BAD_QUANTITY,
    BAD_SIDE,
    CANCEL,
    EMPTY_AMEND,
    EXPIRE,
    EXPIRY_PAST,
    FILL_AND_KILL,
    LIMIT,
    MARKET,
    MARKET_PRICE,
    MISSING,
    NEW,
    NO_ORDER,
    NO_PRICE,
    NO_TIME,
    OUT_OF_BAND,
    SELL,
    TIME_BACK,
    Columns,
)
from gridagora.market._book_state import (
    MAX_ORDER,
    MAX_QUANTITY_WH,
)


@inlined
def _new_faults(columns: Columns, row: int, low: int, high: int) -> int:
    faults = 0
    kind, price = columns.kind[row], columns.price_ticks[row]
    if columns.side[row] < 0 or columns.side[row] > SELL:
        faults |= BAD_SIDE
    if kind < LIMIT or kind > FILL_AND_KILL:
        faults |= BAD_KIND
    elif kind == MARKET:
        if price != MISSING:
            faults |= MARKET_PRICE
    elif price == MISSING:
        faults |= NO_PRICE
    elif price < low or price > high:
        faults |= OUT_OF_BAND
    if columns.quantity_wh[row] <= 0 or columns.quantity_wh[row] > MAX_QUANTITY_WH:
        faults |= BAD_QUANTITY
    if columns.order[row] < -1 or columns.order[row] > MAX_ORDER:
        faults |= BAD_ORDER
    return faults


@inlined
def _change_faults(columns: Columns, row: int, low: int, high: int) -> int:
    action = columns.action[row]
    if action == EXPIRE:
        return NO_TIME if columns.at[row] == MISSING else 0
    if action not in (AMEND, CANCEL):
        return BAD_ACTION
    faults = NO_ORDER if columns.order[row] < 0 else 0
    if action == CANCEL:
        return faults
    price, quantity_wh = columns.price_ticks[row], columns.quantity_wh[row]
    if price == MISSING and quantity_wh == MISSING:
        faults |= EMPTY_AMEND
    if price != MISSING and (price < low or price > high):
        faults |= OUT_OF_BAND
    if quantity_wh != MISSING and (quantity_wh <= 0 or quantity_wh > MAX_QUANTITY_WH):
        faults |= BAD_QUANTITY
    return faults


@compiled
def check(
    columns: Columns, masks: NDArray[np.uint16], low: int, high: int, now: int, participants: int
) -> bool:
    """Write the faults of each message as bits and tell whether there are any.

    Only what the messages themselves and the time of the book tell is a fault; a cancel that comes too
    late is a rejection and found by `apply`.
    """
    found = False
    for row in range(len(columns.action)):
        faults = 0
        action, at = columns.action[row], columns.at[row]
        if at != MISSING:
            if at < now:
                faults |= TIME_BACK
            now = max(now, at)
        if action == NEW:
            faults |= _new_faults(columns, row, low, high)
            until = columns.valid_until[row]
            if until != MISSING and until <= now:
                faults |= EXPIRY_PAST
            if columns.participant[row] < -1 or columns.participant[row] >= participants:
                faults |= BAD_PARTICIPANT
        else:
            faults |= _change_faults(columns, row, low, high)
        if faults != 0:
            masks[row] = faults
            found = True
    return found
