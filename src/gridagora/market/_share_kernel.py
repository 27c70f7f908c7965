"""Compiled: who is accepted in whole, and how the level at the margin is shared."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._period_kernel import bit_length
from gridagora.model._jit import compiled

Ints = NDArray[np.int64]


@compiled
def accept_better(
    price_bits: Ints,
    mask: int,
    side: NDArray[np.int8],
    quantity: NDArray[Any],
    starts: Ints,
    keys: Ints,
    traded: NDArray[np.bool_],
) -> tuple[NDArray[Any], Ints, Ints]:
    """Accept bids better than the margin in whole; list those at it with groups, 2 x run (+ 1 for sells)."""
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
            # most bids are at neither margin, which the processor learns; their side it cannot
            if key in (buy_key, sell_key) and key == (buy_key if sides[i] > 0 else sell_key):
                positions[count] = start + i
                groups[count] = 2 * run + (sides[i] < 0)
                count += 1
    return accepted, positions[:count].copy(), groups[:count].copy()


@compiled
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


@compiled
def share(quantity: Any, part: Any, level: Any) -> tuple[Any, Any]:
    """Quotient and remainder of quantity x part / level without overflow; 0 <= quantity, part <= level."""
    if part == level:
        return np.int64(quantity), np.int64(0)
    if quantity == 0 or part <= np.int64(0x7FFFFFFFFFFFFFFF) // quantity:
        product = quantity * part
        return product // level, product % level
    quotient = np.int64(0)
    rest = np.uint64(0)
    divisor = np.uint64(level)
    for shift in range(bit_length(quantity) - 1, -1, -1):
        quotient <<= 1
        rest <<= np.uint64(1)
        if (quantity >> shift) & 1:
            rest += np.uint64(part)
        while rest >= divisor:
            rest -= divisor
            quotient += 1
    return quotient, np.int64(rest)


@compiled
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


@compiled
def shares(quantity: Ints, part: Ints, level: Ints) -> tuple[Ints, Ints]:
    """`share` for every row."""
    quotient = np.empty(len(quantity), np.int64)
    rest = np.empty(len(quantity), np.int64)
    for i in range(len(quantity)):
        quotient[i], rest[i] = share(quantity[i], part[i], level[i])
    return quotient, rest
