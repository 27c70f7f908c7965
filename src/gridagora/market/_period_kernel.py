"""Compiled: bids put in runs of equal period, and the unit of each run's quantities."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.model._jit import compiled

Ints = NDArray[np.int64]


@compiled
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


@compiled
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


@compiled
def bit_length(value: Any) -> int:
    """Bits of a number >= 0."""
    bits = 0
    while value > 0:
        value >>= 1
        bits += 1
    return bits


@compiled
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
        exponent = min(61 - bit_length(len(mine)) - math.frexp(largest)[1], 900)
        coarse = math.ldexp(1.0, exponent)
        total: Any = len(mine)
        for value in mine:
            total += np.int64(value * coarse)
        units[run] = math.ldexp(1.0, min(exponent + 61 - bit_length(total), 900))
    return units
