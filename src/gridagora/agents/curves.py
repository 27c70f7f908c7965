"""The value of stored energy as a curve: what the next kWh out of a store, or into it, is worth.

The first kWh that a full battery gives away in the evening would only have been exported tomorrow, the last
ones keep the lights on tonight: the value V(s) of the content s is concave, and its slopes V'(s) are the
prices at which a home parts with energy or takes it in.  `curve_around` reads them off the value function of
`dynamic` in a few steps away from the planned content, down and up.

Steps beyond `STEPS` are joined, always the pair that moves the least value, and a joined step has the price
of its far end: what is given away is never priced below, what is taken in never above its worth.
"""

import numpy as np

from gridagora.agents.fleet import Floats
from gridagora.model._jit import compiled

STEPS = 4
"""Steps of a value curve on each side of the plan."""
DOWN, UP = 0, 1
"""Sides of a value curve: out of the store, into the store."""
LENGTH, VALUE = 0, 1
"""Columns of a step: kWh stored, currency per kWh stored."""
TINY_KWH = 1e-9


@compiled
def _append(pieces: Floats, count: int, length: float, value: float) -> int:
    """Append a piece of the curve, joined to the last one if the value is the same; new count."""
    if length <= TINY_KWH:
        return count
    if count and pieces[count - 1, 1] == value:
        pieces[count - 1, 0] += length
        return count
    pieces[count, 0], pieces[count, 1] = length, value
    return count + 1


@compiled
def _join(pieces: Floats, count: int, steps: int) -> int:
    """Join neighbours at the price of the farther one until ``steps`` are left; new count."""
    while count > steps:
        best, least = 0, abs(pieces[1, 1] - pieces[0, 1]) * pieces[0, 0]
        for i in range(1, count - 1):
            moved = abs(pieces[i + 1, 1] - pieces[i, 1]) * pieces[i, 0]
            if moved < least:
                best, least = i, moved
        pieces[best + 1, 0] += pieces[best, 0]
        pieces[best : count - 1] = pieces[best + 1 : count].copy()
        count -= 1
    return count


@compiled
def _steps(pieces: Floats, count: int, value: float, out: Floats) -> None:
    """Write a side of the curve; ``value`` stands where the store has no way to go."""
    count = _join(pieces, count, STEPS)
    for i in range(STEPS):
        if i < count:
            out[i, 0], value = pieces[i, 0], pieces[i, 1]
        out[i, 1] = value


@compiled
def curve_around(
    slopes: Floats, lengths: Floats, count: int, first: float, held: float, reach: float, out: Floats
) -> None:
    """Fill ``out`` (2, STEPS, 2) with the steps of the value function below and above ``held``.

    ``slopes`` fall over the contents from ``first`` on, in segments of ``lengths``, ``count`` of them;
    ``reach`` is how far from ``held`` the steps are wanted, all kWh.  Steps that are missing have no length
    and the value of the last one; at a bound of the store the value of the other side stands for both.
    """
    out[:] = 0.0
    if count == 0:
        return
    pieces = np.empty((count, 2))
    here, start = 0, first
    while here < count - 1 and start + lengths[here] <= held + TINY_KWH:
        start += lengths[here]
        here += 1
    made, left, inside = 0, reach, held - start
    for i in range(here, -1, -1):
        length = min(inside if i == here else lengths[i], left)
        made = _append(pieces, made, length, slopes[i])
        left -= length
    _steps(pieces, made, slopes[here], out[DOWN])
    made, left, inside = 0, reach, start + lengths[here] - held
    for i in range(here, count):
        length = min(inside if i == here else lengths[i], left)
        made = _append(pieces, made, length, slopes[i])
        left -= length
    _steps(pieces, made, slopes[here], out[UP])
