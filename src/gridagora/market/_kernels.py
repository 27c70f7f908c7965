"""Compiled parts of the uniform clearing: where supply and demand cross, without sorting.

A period's crossing is found by bucket selection on the prices (radix select): sum demand and supply per
bucket of prices, keep the bucket in which they cross, repeat inside it.  Three ideas make it exact:

- Prices are compared as int64 *keys*: ticks as they are, floats by their bits in ascending order.
- Quantities are added as two integers, ``whole + part / 2**bits`` of the period's unit.  Integer sums do
  not depend on the order of the bids, so neither does any result, bit for bit.  Ticks use ``whole`` alone.
- With floats, demand and supply that differ by no more than a residue (see `gridagora.market.merit`) count
  as equal, so a residue never moves a price.

The highest price of a tie interval is the lowest one of the mirrored market (sides swapped, prices negated).
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

SMALL = 24
"""Up to here insertion sort beats buckets."""

BUCKET_BITS = 11

Ints = NDArray[np.int64]
Pair = tuple[int, int]


class Market(NamedTuple):
    """The bids of one period: raw price bits, the mask that orders them, and how quantities become integers."""

    price_bits: Ints
    mask: int
    side: NDArray[np.int8]
    quantity: NDArray[np.float64] | Ints
    unit: float | int
    part: float
    bits: int
    sign: int


class Rule(NamedTuple):
    """Demand above a price is covered when it is <= cap + follow x supply up to it x (1 + relative) + absolute."""

    cap: Pair
    follow: int
    relative: float
    absolute: float


class Found(NamedTuple):
    """A price key with the sums around it: demand above, supply up to it, and both exactly at it."""

    key: int
    above: Pair
    upto: Pair
    demand: Pair
    supply: Pair


class Work(NamedTuple):
    """Scratch memory, reused for every period."""

    rows: Ints
    keys: Ints
    sums: Ints


@njit(cache=True)
def run_starts(period: Ints) -> tuple[bool, Ints]:
    """Tell whether periods are ascending and where each run of equal ones starts (last entry: the end)."""
    count = len(period)
    runs = 1 if count else 0
    for i in range(1, count):
        if period[i] < period[i - 1]:
            return False, np.empty(0, np.int64)
        runs += period[i] != period[i - 1]
    starts = np.empty(runs + 1, np.int64)
    starts[runs] = count
    if count:
        starts[0] = 0
    run = 1
    for i in range(1, count):
        if period[i] != period[i - 1]:
            starts[run] = i
            run += 1
    return True, starts


@njit(cache=True)
def counting_order(period: Ints, lowest: int, span: int) -> Ints:
    """Stable order of the bids by period, by counting; for periods in lowest .. lowest + span - 1."""
    nexts = np.zeros(span + 1, np.int64)
    for value in period:
        nexts[value - lowest + 1] += 1
    for i in range(span):
        nexts[i + 1] += nexts[i]
    order = np.empty(len(period), np.int64)
    for i in range(len(period)):
        slot = period[i] - lowest
        order[nexts[slot]] = i
        nexts[slot] += 1
    return order


@njit(cache=True)
def _bit_length(value: int) -> int:
    bits = 0
    while value > 0:
        value >>= 1
        bits += 1
    return bits


@njit(cache=True)
def float_units(quantity: NDArray[np.float64], starts: Ints) -> NDArray[np.float64]:
    """Per period the power of two that scales the total quantity to just under 2**61, from exact sums."""
    units = np.ones(len(starts) - 1)
    for run in range(len(starts) - 1):
        mine = quantity[starts[run] : starts[run + 1]]
        largest = 0.0
        for value in mine:
            largest = max(largest, value)
        if largest == 0.0:
            continue
        exponent = min(61 - _bit_length(len(mine)) - math.frexp(largest)[1], 900)
        coarse = math.ldexp(1.0, exponent)
        total = len(mine)
        for value in mine:
            total += np.int64(value * coarse)
        units[run] = math.ldexp(1.0, min(exponent + 61 - _bit_length(total), 900))
    return units


@njit(cache=True)
def _split(market: Market, i: int) -> Pair:
    scaled = market.quantity[i] * market.unit
    whole = np.int64(scaled)
    return whole, np.int64((scaled - whole) * market.part)


@njit(cache=True)
def _key(market: Market, i: int) -> int:
    bits = market.price_bits[i]
    return market.sign * (bits ^ ((bits >> 63) & market.mask))


@njit(cache=True)
def _plus(a: Pair, b: Pair) -> Pair:
    return a[0] + b[0], a[1] + b[1]


@njit(cache=True)
def _minus(a: Pair, b: Pair) -> Pair:
    return a[0] - b[0], a[1] - b[1]


@njit(cache=True)
def _number(market: Market, a: Pair) -> float:
    """Sum as a float in the period's unit; its sign is exact."""
    carry = a[1] >> market.bits
    rest = a[1] - (carry << market.bits)
    return np.float64(a[0] + carry) + rest / market.part


@njit(cache=True)
def _covered(market: Market, rule: Rule, above: Pair, upto: Pair) -> bool:
    if rule.follow == 0:
        return _number(market, _minus(above, rule.cap)) <= 0.0
    excess = _number(market, _minus(above, upto))
    return excess <= 0.0 or excess <= rule.relative * _number(market, upto) + rule.absolute


@njit(cache=True)
def _insertion_sort(keys: Ints, rows: Ints, count: int) -> None:
    for i in range(1, count):
        key = keys[i]
        row = rows[i]
        j = i - 1
        while j >= 0 and keys[j] > key:
            keys[j + 1] = keys[j]
            rows[j + 1] = rows[j]
            j -= 1
        keys[j + 1] = key
        rows[j + 1] = row


@njit(cache=True)
def _walk(market: Market, rule: Rule, work: Work, count: int, outside: tuple[Pair, Pair]) -> Found:
    """Find the crossing among few candidates by sorting them; ``outside`` holds demand above, supply below."""
    above, upto = outside
    for i in range(count):
        row = work.rows[i]
        work.keys[i] = _key(market, row)
        if market.side[row] * market.sign > 0:
            above = _plus(above, _split(market, row))
    _insertion_sort(work.keys, work.rows, count)
    zero = (np.int64(0), np.int64(0))
    demand, supply = zero, zero
    i = 0
    while i < count:
        key = work.keys[i]
        demand, supply = zero, zero
        while i < count and work.keys[i] == key:
            row = work.rows[i]
            if market.side[row] * market.sign > 0:
                demand = _plus(demand, _split(market, row))
            else:
                supply = _plus(supply, _split(market, row))
            i += 1
        above = _minus(above, demand)
        upto = _plus(upto, supply)
        if _covered(market, rule, above, upto):
            break
    return Found(work.keys[i - 1], above, upto, demand, supply)


@njit(cache=True)
def _fill_buckets(market: Market, work: Work, count: int, first: bool, low: int, shift: int) -> None:
    for i in range(count):
        row = i if first else work.rows[i]
        bucket = np.int64(np.uint64(_key(market, row) - low) >> np.uint64(shift))
        whole, part = _split(market, row)
        column = 0 if market.side[row] * market.sign > 0 else 2
        work.sums[bucket, column] += whole
        work.sums[bucket, column + 1] += part


@njit(cache=True)
def _keep_bucket(market: Market, work: Work, count: int, first: bool, place: tuple[int, int, int]) -> int:
    """Keep as candidates the bids of one bucket; ``place`` is (lowest key, shift, bucket)."""
    low, shift, bucket = place
    kept = 0
    for i in range(count):
        row = i if first else work.rows[i]
        if np.int64(np.uint64(_key(market, row) - low) >> np.uint64(shift)) == bucket:
            work.rows[kept] = row
            kept += 1
    return kept


@njit(cache=True)
def _key_range(market: Market) -> Pair:
    low = high = _key(market, 0)
    for i in range(1, len(market.side)):
        key = _key(market, i)
        low = min(low, key)
        high = max(high, key)
    return low, high


@njit(cache=True)
def _cross_bucket(
    market: Market, rule: Rule, sums: Ints, used: int, outside: tuple[Pair, Pair]
) -> tuple[int, Found]:
    """First bucket at whose upper end demand above is covered; `Found` holds the sums around that bucket."""
    above, upto = outside
    for bucket in range(used):
        above = _plus(above, (sums[bucket, 0], sums[bucket, 1]))
    for bucket in range(used):
        demand = (sums[bucket, 0], sums[bucket, 1])
        supply = (sums[bucket, 2], sums[bucket, 3])
        above = _minus(above, demand)
        upto = _plus(upto, supply)
        if _covered(market, rule, above, upto):
            break
    return bucket, Found(np.int64(0), above, upto, demand, supply)


@njit(cache=True)
def locate(market: Market, rule: Rule, work: Work) -> Found:
    """Find the lowest price key of a bid at which the demand above it is covered."""
    zero = (np.int64(0), np.int64(0))
    outside = (zero, zero)
    count = len(market.side)
    first = True
    if count <= SMALL:
        for i in range(count):
            work.rows[i] = i
        return _walk(market, rule, work, count, outside)
    low, high = _key_range(market)
    while True:
        bits = min(BUCKET_BITS, max(4, _bit_length(count) - 2))
        shift = 0
        while np.uint64(high - low) >> np.uint64(shift + bits) > 0:
            shift += 1
        used = np.int64(np.uint64(high - low) >> np.uint64(shift)) + 1
        work.sums[:used] = 0
        _fill_buckets(market, work, count, first, low, shift)
        bucket, found = _cross_bucket(market, rule, work.sums, used, outside)
        if shift == 0:
            return Found(low + bucket, found.above, found.upto, found.demand, found.supply)
        count = _keep_bucket(market, work, count, first, (low, shift, bucket))
        first = False
        outside = (found.above, _minus(found.upto, found.supply))
        low += bucket << shift
        high = min(high, low + (np.int64(1) << shift) - 1)
        if count <= SMALL:
            return _walk(market, rule, work, count, outside)


@njit(cache=True)
def _mirror(market: Market) -> Market:
    """Swap the sides and negate the prices."""
    return Market(
        market.price_bits,
        market.mask,
        market.side,
        market.quantity,
        market.unit,
        market.part,
        market.bits,
        -market.sign,
    )


@njit(cache=True)
def _margin(market: Market, reference: Found, volume: Pair, work: Work) -> tuple[int, Pair, Pair]:
    """Where demand, best price first, reaches the volume: (level's key, its quantity, what it gets of it).

    ``reference`` is the crossing with the sums of the demand: ``upto`` at and above it, ``supply`` exactly at it.
    """
    above = _minus(reference.upto, reference.supply)
    if _number(market, _minus(above, volume)) <= 0.0:
        return reference.key, reference.supply, _minus(volume, above)
    # residues lie between the crossing and the last accepted bid
    zero = (np.int64(0), np.int64(0))
    found = locate(market, Rule(volume, 0, 0.0, 0.0), work)
    return found.key, found.demand, _minus(_plus(volume, zero), found.above)


@njit(cache=True)
def _as_demand(found: Found, key: int, demand: Pair) -> Found:
    """Sums of `Found` as `_margin` reads them: the demand at and above the key, and exactly at it."""
    return Found(key, found.above, _plus(found.above, demand), demand, demand)


@njit(cache=True)
def clear_period(
    market: Market, rule: Rule, work: Work
) -> tuple[Pair, Pair, Pair, tuple[Pair, Pair, Pair, Pair]]:
    """Clear one period: price interval, volume, margins' keys and (buy level, buy part, sell level, sell part)."""
    low = locate(market, rule, work)
    slack = _number(market, _minus(low.upto, low.above))
    demand = _as_demand(low, low.key, low.demand)
    supply = low
    high = low.key
    if slack <= 0.0 or slack <= rule.relative * _number(market, low.above) + rule.absolute:
        # the next price up is covered from the other side as well: a tie interval
        top = locate(_mirror(market), rule, work)
        high = -top.key
        demand = Found(high, top.above, top.upto, top.supply, top.supply)
    volume = demand.upto
    if _number(market, _minus(supply.upto, volume)) < 0.0:
        volume = supply.upto
    buy_key, buy_level, buy_part = _margin(market, demand, volume, work)
    reference = Found(-low.key, low.above, low.upto, low.supply, low.supply)
    sell_key, sell_level, sell_part = _margin(_mirror(market), reference, volume, work)
    return (low.key, high), volume, (buy_key, -sell_key), (buy_level, buy_part, sell_level, sell_part)


@njit(cache=True)
def clear_periods(
    price_bits: Ints,
    mask: int,
    side: NDArray[np.int8],
    quantity: NDArray[np.float64] | Ints,
    starts: Ints,
    units: NDArray[np.float64] | Ints,
    relative: float,
    absolute: float,
) -> tuple[Ints, Ints, NDArray[np.float64]]:
    """Clear every run of bids.

    Returns keys (lowest and highest price, level of the last buy and of the last sell) and the sums (volume,
    quantity at the buy level, what it gets, the same for sells) as whole units and as floats.
    """
    runs = len(starts) - 1
    keys = np.zeros((runs, 4), np.int64)
    whole = np.zeros((runs, 5), np.int64)
    amount = np.zeros((runs, 5), np.float64)
    longest = 0
    for run in range(runs):
        longest = max(longest, starts[run + 1] - starts[run])
    used = 1 << min(BUCKET_BITS, max(4, _bit_length(longest)))
    work = Work(np.empty(longest, np.int64), np.empty(SMALL, np.int64), np.empty((used, 4), np.int64))
    zero = (np.int64(0), np.int64(0))
    rule = Rule(zero, 1, relative, absolute)
    for run in range(runs):
        start, stop = starts[run], starts[run + 1]
        bits = 62 - _bit_length(stop - start)
        part = math.ldexp(1.0, bits)
        market = Market(
            price_bits[start:stop], mask, side[start:stop], quantity[start:stop], units[run], part, bits, 1
        )
        interval, volume, margin, sums = clear_period(market, rule, work)
        if _number(market, volume) <= absolute:
            continue
        keys[run, 0], keys[run, 1] = interval
        keys[run, 2], keys[run, 3] = margin
        pairs = (volume, sums[0], sums[1], sums[2], sums[3])
        for k in range(5):
            whole[run, k] = pairs[k][0]
            amount[run, k] = _number(market, pairs[k]) / units[run]
    return keys, whole, amount


@njit(cache=True)
def accept_better(
    price_bits: Ints,
    mask: int,
    side: NDArray[np.int8],
    quantity: NDArray[Any],
    starts: Ints,
    keys: Ints,
    traded: NDArray[np.bool_],
) -> tuple[NDArray[Any], Ints, Ints]:
    """Accept bids better than the margin in whole; list those at a margin and their groups, 2 x run (+ 1 for sells)."""
    accepted = np.empty_like(quantity)
    positions = np.empty(len(quantity), np.int64)
    groups = np.empty(len(quantity), np.int64)
    count = 0
    for run in range(len(starts) - 1):
        start, stop = starts[run], starts[run + 1]
        if not traded[run]:
            accepted[start:stop] = 0
            continue
        buy_key, sell_key = keys[run, 2], keys[run, 3]
        # slices from zero and no jumps: only then does the compiler use vector instructions
        all_bits, sides, offered, given = (
            price_bits[start:stop],
            side[start:stop],
            quantity[start:stop],
            accepted[start:stop],
        )
        for i in range(len(all_bits)):
            key = all_bits[i] ^ ((all_bits[i] >> 63) & mask)
            better = ((key > buy_key) & (sides[i] > 0)) | ((key < sell_key) & (sides[i] < 0))
            given[i] = offered[i] if better else 0
        for i in range(len(all_bits)):
            key = all_bits[i] ^ ((all_bits[i] >> 63) & mask)
            if (key == buy_key or key == sell_key) and key == (buy_key if sides[i] > 0 else sell_key):
                positions[count] = start + i
                groups[count] = 2 * run + (sides[i] < 0)
                count += 1
    return accepted, positions[:count].copy(), groups[:count].copy()


@njit(cache=True)
def share_floats(
    accepted: NDArray[np.float64],
    quantity: NDArray[np.float64],
    margin: tuple[Ints, Ints],
    level: NDArray[np.float64],
    part: NDArray[np.float64],
) -> None:
    """Fill bids at the margin pro rata: of ``level[group]`` offered there ``part[group]`` is accepted."""
    positions, groups = margin
    for k in range(len(positions)):
        group = groups[k]
        if level[group] > 0.0:
            accepted[positions[k]] = quantity[positions[k]] * min(1.0, part[group] / level[group])


@njit(cache=True)
def share(quantity: int, part: int, level: int) -> Pair:
    """Quotient and remainder of quantity x part / level without overflow, for 0 <= quantity, part <= level."""
    if part == level:
        return np.int64(quantity), np.int64(0)
    if quantity == 0 or part <= np.int64(0x7FFFFFFFFFFFFFFF) // quantity:
        product = quantity * part
        return product // level, product % level
    quotient = np.int64(0)
    rest = np.uint64(0)
    divisor = np.uint64(level)
    for shift in range(_bit_length(quantity) - 1, -1, -1):
        quotient <<= 1
        rest <<= np.uint64(1)
        if (quantity >> shift) & 1:
            rest += np.uint64(part)
        while rest >= divisor:
            rest -= divisor
            quotient += 1
    return quotient, np.int64(rest)


@njit(cache=True)
def share_integers(
    accepted: Ints, quantity: Ints, margin: tuple[Ints, Ints], level: Ints, part: Ints
) -> tuple[Ints, Ints]:
    """Fill likewise, rounded down; return the remainders and what each group still lacks."""
    positions, groups = margin
    lacking = part.copy()
    rests = np.zeros(len(positions), np.int64)
    for k in range(len(positions)):
        group = groups[k]
        if level[group] > 0:
            given, rests[k] = share(quantity[positions[k]], part[group], level[group])
            accepted[positions[k]] = given
            lacking[group] -= given
    return rests, lacking


@njit(cache=True)
def shares(quantity: Ints, part: Ints, level: Ints) -> tuple[Ints, Ints]:
    """`share` for every row."""
    quotient = np.empty(len(quantity), np.int64)
    rest = np.empty(len(quantity), np.int64)
    for i in range(len(quantity)):
        quotient[i], rest[i] = share(quantity[i], part[i], level[i])
    return quotient, rest
