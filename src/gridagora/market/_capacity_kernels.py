"""Compiled parts of the capacity-limit auction: whose bid is whose, and the search for one ordered buyer.

Quantities come as integers (of a power-of-two unit where they are floats), so that sums do not depend on the
order of the bids.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gridagora.model._jit import compiled

Ints = NDArray[np.int64]
Numbers = NDArray[Any]

LARGEST_TOTAL_BITS = 60

DIGIT_BITS = 11
DIGITS = 6
LAST_DIGIT = np.uint64(2047)
SIGN = np.uint64(1 << 63)


class Margin(NamedTuple):
    """Where one ordered buyer meets the merit order, as positions in the sorted bids and in integer units."""

    step: int
    step_part: int
    start: int
    stop: int
    level: int
    level_part: int
    low: Any
    high: Any


@compiled
def bidder_codes(words: NDArray[np.uint32], period: Ints, side: NDArray[np.int8]) -> tuple[Ints, int]:
    """Give every (participant, period, side) a number by first appearance; ``words`` holds the ids' bits."""
    count = len(period)
    size = 16
    while size < 2 * count:
        size *= 2
    table = np.full(size, -1, np.int64)
    codes = np.empty(count, np.int64)
    used = 0
    for i in range(count):
        mixed = np.uint64(14695981039346656037) ^ np.uint64(period[i] * 2 + (side[i] > 0))
        for word in words[i]:
            mixed = (mixed ^ np.uint64(word)) * np.uint64(1099511628211)
        mixed ^= mixed >> np.uint64(29)
        slot = np.int64(mixed & np.uint64(size - 1))
        while True:
            other = table[slot]
            if other < 0:
                table[slot] = i
                codes[i] = used
                used += 1
                break
            if period[other] == period[i] and side[other] == side[i] and _same(words[other], words[i]):
                codes[i] = codes[other]
                break
            slot = (slot + 1) & (size - 1)
    return codes, used


@compiled
def _same(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> bool:
    return not (one != other).any()


@compiled
def list_kinds(
    order: Ints, codes: Ints, steps: Ints, price: Numbers, side: NDArray[np.int8]
) -> tuple[NDArray[np.int8], bool]:
    """Kind of fault of each bid in ``order``: 1 double, 2 gap, 3 bad start, 4 cheaper sell."""
    kinds = np.zeros(len(order), np.int8)
    found = False
    for k in range(len(order)):
        i = order[k]
        before = order[k - 1] if k > 0 else i
        if k == 0 or codes[i] != codes[before]:
            if steps[i] != 0 and steps[i] != 1:
                kinds[k] = 3
        elif steps[i] == steps[before]:
            kinds[k] = 1
        elif steps[i] > steps[before] + 1:
            kinds[k] = 2
        elif side[i] < 0 and price[i] < price[before]:
            kinds[k] = 4
        found |= kinds[k] > 0
    return kinds, found


@compiled
def ascending_order(bits: Ints, mask: int) -> Ints:
    """Stable order by value of numbers given as bits (mask: `merit.FLOAT_MASK`, 0 for integers)."""
    count = len(bits)
    keys = np.empty(count, np.uint64)
    histogram = np.zeros((DIGITS, 1 << DIGIT_BITS), np.int64)
    for i in range(count):
        keys[i] = np.uint64(bits[i] ^ ((bits[i] >> 63) & mask)) ^ SIGN
        for digit in range(DIGITS):
            histogram[digit, np.int64((keys[i] >> np.uint64(DIGIT_BITS * digit)) & LAST_DIGIT)] += 1
    order = np.arange(count)
    spare = np.empty(count, np.int64)
    for digit in range(DIGITS):
        shift = np.uint64(DIGIT_BITS * digit)
        nexts = histogram[digit]
        if count and nexts[np.int64((keys[0] >> shift) & LAST_DIGIT)] == count:
            continue
        total = 0
        for value in range(len(nexts)):
            here = int(nexts[value])
            nexts[value] = total
            total += here
        for row in order:
            bucket = np.int64((keys[row] >> shift) & LAST_DIGIT)
            spare[nexts[bucket]] = row
            nexts[bucket] += 1
        order, spare = spare, order
    return order


@compiled
def power_of_two_unit(bought: NDArray[np.float64], offered: NDArray[np.float64]) -> float:
    """Power of two that scales both totals to below 2**61; from the largest bids, so no order matters."""
    most_bought = most_offered = 0.0
    for value in bought:
        most_bought = max(most_bought, value)
    for value in offered:
        most_offered = max(most_offered, value)
    bound = most_bought * len(bought) + most_offered * len(offered)
    if bound == 0.0:
        return 1.0
    return math.ldexp(1.0, min(LARGEST_TOTAL_BITS - math.frexp(bound)[1], 900))


@compiled
def whole_units(quantity: NDArray[np.float64], unit: float) -> Ints:
    """Quantities in the unit, rounded down."""
    out = np.empty(len(quantity), np.int64)
    for i in range(len(quantity)):
        out[i] = np.int64(quantity[i] * unit)
    return out


@compiled
def _level(cost: Numbers, offered: Ints, start: int) -> tuple[int, int]:
    """End of the run of equal costs from ``start``, and what is offered in it."""
    total: Any = np.int64(0)
    stop = start
    while stop < len(cost) and cost[stop] == cost[start]:
        total += offered[stop]
        stop += 1
    return stop, total


@compiled
def best_prefix(
    value: Numbers, bought: Ints, cost: Numbers, offered: Ints, inverse: Any, slack: Any
) -> tuple[Any, int]:
    """Highest welfare of steps in order against ascending costs, and the largest quantity that has it.

    Welfare is piecewise linear in the quantity, with breakpoints where a step or a level of cost ends.
    Differences up to ``slack`` times the money at hand are rounding errors.
    """
    welfare = value[0] * inverse * 0
    best = welfare
    gross = welfare
    quantity = np.int64(0)
    best_quantity: Any = np.int64(0)
    step, start = 0, 0
    stop, offer_left = _level(cost, offered, 0)
    step_left = bought[0]
    while True:
        moved = min(step_left, offer_left)
        if moved > 0:
            amount = moved * inverse
            welfare += (value[step] - cost[start]) * amount
            gross += (abs(value[step]) + abs(cost[start])) * amount
            quantity += moved
            step_left -= moved
            offer_left -= moved
            best = max(best, welfare)
            if welfare >= best - slack * gross:
                best_quantity = quantity
        if step_left == 0:
            step += 1
            if step == len(value):
                break
            step_left = bought[step]
        if offer_left == 0:
            if stop == len(cost):
                break
            start = stop
            stop, offer_left = _level(cost, offered, start)
    return best, best_quantity


@compiled
def margin_at(
    value: Numbers, bought: Ints, cost: Numbers, offered: Ints, quantity: int, residue: int
) -> Margin:
    """Last step, last level of cost and the price interval when ``quantity`` trades.

    What is smaller than ``residue`` is a rounding error: it is not traded and sets no price.
    """
    step = 0
    bought_to = bought[0]
    while bought_to + residue < quantity:
        step += 1
        bought_to += bought[step]
    quantity = min(quantity, bought_to)
    start = 0
    stop, level = _level(cost, offered, 0)
    offered_to = level
    while offered_to + residue < quantity:
        start = stop
        stop, level = _level(cost, offered, start)
        offered_to += level
    quantity = min(quantity, offered_to)
    low, high = cost[start], value[step]
    if bought_to - quantity > residue:
        low = high
    elif offered_to - quantity > residue:
        high = low
    else:
        for later in range(stop, len(cost)):
            if offered[later] > 0:
                high = min(high, cost[later])
                break
        for later in range(step + 1, len(value)):
            if bought[later] > residue:
                low = min(max(low, value[later]), high)
                break
    step_part = max(quantity - (bought_to - bought[step]), 0)
    return Margin(step, step_part, start, stop, level, quantity - (offered_to - level), low, high)


@compiled
def in_units(
    bought: NDArray[np.float64], offered: NDArray[np.float64], buy_starts: Ints, sell_starts: Ints
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Quantities of every period in its unit, and the quantity of one unit."""
    runs = len(buy_starts) - 1
    wanted = np.empty(len(bought), np.int64)
    asked = np.empty(len(offered), np.int64)
    inverse = np.empty(runs)
    for run in range(runs):
        buys = slice(buy_starts[run], buy_starts[run + 1])
        sells = slice(sell_starts[run], sell_starts[run + 1])
        unit = power_of_two_unit(bought[buys], offered[sells])
        wanted[buys] = whole_units(bought[buys], unit)
        asked[sells] = whole_units(offered[sells], unit)
        inverse[run] = 1 / unit
    return wanted, asked, inverse


@compiled
def clear_ordered(
    buys: tuple[Numbers, Ints, Ints],
    sells: tuple[Numbers, Ints, Ints],
    inverse: Numbers,
    relative: Any,
    absolute: int,
) -> tuple[Ints, Numbers]:
    """Clear every period with its one ordered buyer.

    ``buys`` (by step) and ``sells`` (by price) are prices, quantities in units and where each period starts.
    Returns per period (step, part of it, start, stop, level, part of it, 1 if it trades) in units, positions
    counted from the period's first, and the (lowest, highest) price.
    """
    runs = len(inverse)
    found = np.zeros((runs, 7), np.int64)
    prices = np.zeros((runs, 2), sells[0].dtype)
    for run in range(runs):
        one = slice(buys[2][run], buys[2][run + 1])
        other = slice(sells[2][run], sells[2][run + 1])
        if one.start == one.stop or other.start == other.stop:
            continue
        value, bought, cost, offered = buys[0][one], buys[1][one], sells[0][other], sells[1][other]
        quantity = best_prefix(value, bought, cost, offered, inverse[run], relative)[1]
        residue: Any = np.int64(relative * quantity) + absolute
        if quantity <= residue:
            continue
        at = margin_at(value, bought, cost, offered, quantity, residue)
        found[run] = (at.step, at.step_part, at.start, at.stop, at.level, at.level_part, 1)
        prices[run] = (at.low, at.high)
    return found, prices


@compiled
def accept_ordered(accepted: Numbers, quantity: Numbers, rows: Ints, starts: Ints, stops: Ints) -> None:
    """Accept in whole the rows from each start to its stop."""
    for run in range(len(stops)):
        for k in range(starts[run], starts[run] + stops[run]):
            accepted[rows[k]] = quantity[rows[k]]


@compiled
def values_without(
    value: Numbers,
    bought: Ints,
    cost: Numbers,
    offered: Ints,
    owner: Ints,
    wanted: NDArray[np.bool_],
    inverse: Any,
) -> Numbers:
    """Welfare of one ordered buyer without each wanted seller, from one sorted supply curve.

    On the buyer's step k the quantity is best where the cost reaches its value, so one candidate per step is
    enough; a seller's own bids are taken off the curve where it is read.
    """
    levels, upto, spent = _curve(cost, offered, inverse)
    order = np.argsort(owner, kind="mergesort")
    out = np.zeros(len(wanted), (value[:1] * inverse).dtype)
    i = 0
    while i < len(order):
        j = i
        while j < len(order) and owner[order[j]] == owner[order[i]]:
            j += 1
        if wanted[owner[order[i]]]:
            own = order[i:j]
            out[owner[order[i]]] = _best_without(
                value, bought, levels, upto, spent, cost[own], offered[own], inverse
            )
        i = j
    return out


@compiled
def _curve(cost: Numbers, offered: Ints, inverse: Any) -> tuple[Numbers, Ints, Numbers]:
    """Distinct costs, the supply up to each, and what it costs."""
    count = 0
    levels = np.empty(len(cost), cost.dtype)
    upto = np.empty(len(cost), np.int64)
    spent = np.empty(len(cost), (cost[:1] * inverse).dtype)
    start = 0
    while start < len(cost):
        stop, level = _level(cost, offered, start)
        levels[count] = cost[start]
        upto[count] = level + (upto[count - 1] if count else 0)
        money = cost[start] * (level * inverse)
        spent[count] = money + spent[count - 1] if count else money
        count += 1
        start = stop
    return levels[:count], upto[:count], spent[:count]


@compiled
def _best_without(
    value: Numbers,
    bought: Ints,
    levels: Numbers,
    upto: Ints,
    spent: Numbers,
    own_cost: Numbers,
    own: Ints,
    inverse: Any,
) -> Any:
    best = value[0] * inverse * 0
    utility = best
    begin = np.int64(0)
    available = upto[-1] - own.sum()
    for step in range(len(value)):
        if begin >= available and step > 0:
            break
        end = begin + bought[step]
        # all that costs no more than the step is worth, kept inside the step
        place = np.searchsorted(levels, value[step], side="right") - 1
        quantity = upto[place] if place >= 0 else np.int64(0)
        for k in range(len(own)):
            if own_cost[k] <= value[step]:
                quantity -= own[k]
        quantity = min(max(quantity, begin), min(end, available))
        welfare = utility + value[step] * ((quantity - begin) * inverse)
        best = max(best, welfare - _cost_without(quantity, levels, upto, spent, own_cost, own, inverse))
        utility += value[step] * (bought[step] * inverse)
        begin = end
    return best


@compiled
def _cost_without(
    quantity: int, levels: Numbers, upto: Ints, spent: Numbers, own_cost: Numbers, own: Ints, inverse: Any
) -> Any:
    """Cost of the cheapest ``quantity`` without the seller's own bids."""
    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        left = upto[middle]
        for k in range(len(own)):
            if own_cost[k] <= levels[middle]:
                left -= own[k]
        if left >= quantity:
            high = middle
        else:
            low = middle + 1
    supply, money = upto[low], spent[low]
    for k in range(len(own)):
        if own_cost[k] <= levels[low]:
            supply -= own[k]
            money -= own_cost[k] * (own[k] * inverse)
    return money - levels[low] * ((supply - quantity) * inverse)


@compiled
def ordered_table(
    value: Numbers, bought: Ints, cost: Numbers, offered: Ints, owner: Ints, sellers: int, inverse: Any
) -> NDArray[np.float64]:
    """Welfare of one ordered buyer with every set of sellers; bit i of the position stands for seller i."""
    out = np.zeros(1 << sellers)
    kept_cost = np.empty_like(cost)
    kept = np.empty_like(offered)
    for mask in range(1, 1 << sellers):
        count = 0
        for i in range(len(cost)):
            if (mask >> owner[i]) & 1:
                kept_cost[count] = cost[i]
                kept[count] = offered[i]
                count += 1
        if count:
            out[mask] = best_prefix(value, bought, kept_cost[:count], kept[:count], inverse, inverse * 0)[0]
    return out
