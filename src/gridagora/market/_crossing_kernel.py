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
from numpy.typing import NDArray

from gridagora.market._period_kernel import bit_length
from gridagora.model._jit import compiled

SMALL = 24
"""Up to here insertion sort beats buckets."""

BUCKET_BITS = 11
KEY_BITS = 64

Ints = NDArray[np.int64]
Pair = tuple[Any, Any]
"""A sum of quantities: whole units and parts of 2**-bits, both int64 in compiled code."""


class Market(NamedTuple):
    """The bids of one period: price bits, the mask that orders them, and how quantities become integers."""

    price_bits: Ints
    mask: int
    side: NDArray[np.int8]
    quantity: NDArray[np.float64] | Ints
    unit: float | int
    part: float
    bits: int
    sign: int


class Rule(NamedTuple):
    """When demand above a price counts as covered.

    follow = 1: it is <= the supply up to the price x (1 + relative) + absolute.  follow = 0: it is <= cap.
    """

    cap: Pair
    follow: int
    relative: float
    absolute: float


class Found(NamedTuple):
    """A price key with the sums around it: demand above, supply up to it, and both exactly at it."""

    key: Any
    above: Pair
    upto: Pair
    demand: Pair
    supply: Pair


class Work(NamedTuple):
    """Scratch memory, reused for every period."""

    rows: Ints
    keys: Ints
    sums: Ints


@compiled
def _split(market: Market, i: int) -> Pair:
    scaled = market.quantity[i] * market.unit
    whole = np.int64(scaled)
    return whole, np.int64((scaled - whole) * market.part)


@compiled
def _key(market: Market, i: int) -> Any:
    bits = market.price_bits[i]
    return market.sign * (bits ^ ((bits >> 63) & market.mask))


@compiled
def _plus(a: Pair, b: Pair) -> Pair:
    return a[0] + b[0], a[1] + b[1]


@compiled
def _minus(a: Pair, b: Pair) -> Pair:
    return a[0] - b[0], a[1] - b[1]


@compiled
def _number(market: Market, a: Pair) -> float:
    """Sum as a float in the period's unit; its sign is exact."""
    carry = a[1] >> market.bits
    rest = a[1] - (carry << market.bits)
    number: float = np.float64(a[0] + carry) + rest / market.part
    return number


@compiled
def _covered(market: Market, rule: Rule, above: Pair, upto: Pair) -> bool:
    if rule.follow == 0:
        return _number(market, _minus(above, rule.cap)) <= 0.0
    excess = _number(market, _minus(above, upto))
    return excess <= 0.0 or excess <= rule.relative * _number(market, upto) + rule.absolute


@compiled
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


@compiled
def _walk(market: Market, rule: Rule, work: Work, count: int, outside: tuple[Pair, Pair]) -> Found:
    """Find the crossing among few candidates by sorting; ``outside`` holds demand above, supply below."""
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


@compiled
def _fill_buckets(market: Market, work: Work, count: int, first: bool, low: int, shift: int) -> None:
    for i in range(count):
        row = i if first else work.rows[i]
        bucket = np.int64(np.uint64(_key(market, row) - low) >> np.uint64(shift))
        whole, part = _split(market, row)
        column = 0 if market.side[row] * market.sign > 0 else 2
        work.sums[bucket, column] += whole
        work.sums[bucket, column + 1] += part


@compiled
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


@compiled
def _key_range(market: Market) -> Pair:
    low = high = _key(market, 0)
    for i in range(1, len(market.side)):
        key = _key(market, i)
        low = min(low, key)
        high = max(high, key)
    return low, high


@compiled
def _cross_bucket(
    market: Market, rule: Rule, sums: Ints, used: Any, outside: tuple[Pair, Pair]
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


@compiled
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
        bits = min(BUCKET_BITS, max(4, bit_length(count) - 2))
        shift = 0
        # prices of both signs may span all 64 bits, and a shift by 64 is no shift to zero
        while shift + bits < KEY_BITS and np.uint64(high - low) >> np.uint64(shift + bits) > 0:
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
        width = (np.int64(1) << shift) - 1
        if np.uint64(high - low) > np.uint64(width):
            high = low + width
        if count <= SMALL:
            return _walk(market, rule, work, count, outside)


@compiled
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


@compiled
def _margin(market: Market, reference: Found, volume: Pair, work: Work) -> tuple[int, Pair, Pair]:
    """Find where demand, best price first, reaches the volume: (key, quantity there, what it gets of it).

    ``reference`` is the crossing with sums of the demand: ``upto`` at and above it, ``supply`` exactly at it.
    """
    above = _minus(reference.upto, reference.supply)
    if _number(market, _minus(above, volume)) <= 0.0:
        return reference.key, reference.supply, _minus(volume, above)
    # residues lie between the crossing and the last accepted bid
    found = locate(market, Rule(volume, 0, 0.0, 0.0), work)
    return found.key, found.demand, _minus(volume, found.above)


@compiled
def _as_demand(found: Found, key: int, demand: Pair) -> Found:
    """Arrange sums as `_margin` reads them: the demand at and above the key, and exactly at it."""
    return Found(key, found.above, _plus(found.above, demand), demand, demand)


@compiled
def clear_period(
    market: Market, rule: Rule, work: Work
) -> tuple[Pair, Pair, Pair, tuple[Pair, Pair, Pair, Pair]]:
    """Clear one period: price interval, volume, keys of the margins, levels and parts (buy, sell)."""
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


@compiled
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
    used = 1 << min(BUCKET_BITS, max(4, bit_length(longest)))
    work = Work(np.empty(longest, np.int64), np.empty(SMALL, np.int64), np.empty((used, 4), np.int64))
    zero = (np.int64(0), np.int64(0))
    rule = Rule(zero, 1, relative, absolute)
    for run in range(runs):
        start, stop = starts[run], starts[run + 1]
        bits = 62 - bit_length(stop - start)
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
