"""A line with losses carries energy one way at a time.

The program has a flow for each direction of such a line.  At prices below zero it likes to send both ways at
once, because what is lost on the way need not be sold; then, and only then, the direction of each line in
each period is decided too.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_market import Market
from gridagora.market._network_program import Program, bounded
from gridagora.solve import Answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TOLERANCE = 1e-5
"""Flows below this, in scaled quantities, are rounding errors."""


def both_ways(program: Program) -> tuple[Ints, Ints]:
    """Return the columns of the flows ahead and back of every line with losses, period by period."""
    ahead: list[Ints] = [np.zeros(0, dtype=np.int64)]
    back = ahead.copy()
    for block in program.blocks:
        if block.lines is None or not len(block.lossy):
            continue
        first = block.flow_column + np.arange(program.periods)[:, None] * block.flows
        ahead.append((first + block.lossy).ravel())
        back.append((first + len(block.lines) + np.arange(len(block.lossy))).ravel())
    return np.concatenate(ahead), np.concatenate(back)


def circulates(program: Program, answer: Answer) -> Bools:
    """Tell of each line with losses and each period whether an answer sends energy both ways at once."""
    ahead, back = both_ways(program)
    return np.asarray(np.minimum(answer.values[ahead], answer.values[back]) > TOLERANCE)


def with_directions(program: Program, market: Market) -> Program:
    """Add one whole column per line with losses and period, behind the others: 1 ahead, 0 back."""
    from scipy.sparse import csc_array, hstack, vstack

    ahead, back = both_ways(program)
    linear = bounded(program.linear, market, program.quantity_scale)
    count, columns = len(ahead), len(linear.cost)
    shape = (len(linear.row_lower), columns)
    matrix = csc_array((linear.entries, linear.rows, linear.starts), shape=shape)
    each, one = np.arange(count), np.ones(count)
    flows = [csc_array((one, (each, side)), shape=(count, columns)) for side in (ahead, back)]
    most = [csc_array((linear.upper[side], (each, each)), shape=(count, count)) for side in (ahead, back)]
    none = csc_array((shape[0], count))
    whole = vstack(
        [hstack([matrix, none]), hstack([flows[0], -most[0]]), hstack([flows[1], most[1]])]
    ).tocsc()
    free = np.full(2 * count, -np.inf)
    extended = replace(
        linear,
        cost=np.append(linear.cost, 0 * one),
        lower=np.append(linear.lower, 0 * one),
        upper=np.append(linear.upper, one),
        row_lower=np.append(linear.row_lower, free),
        row_upper=np.concatenate([linear.row_upper, 0 * one, linear.upper[back]]),
        starts=whole.indptr.astype(np.int32),
        rows=whole.indices.astype(np.int32),
        entries=whole.data,
    )
    return replace(program, linear=extended, whole=np.append(program.whole, one > 0))


def closed_against(program: Program, ahead: Bools) -> Program:
    """Close the direction that is not taken of every line with losses."""
    upper = program.linear.upper.copy()
    columns = both_ways(program)
    upper[np.where(ahead, columns[1], columns[0])] = 0.0
    return replace(program, linear=replace(program.linear, upper=upper))
