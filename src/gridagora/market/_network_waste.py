"""What is lost on the way is what the wires lose, also where waste would pay.

The program has losses above their tangent and a flow for each direction of a line with losses, both of which
keep it linear.  At prices below zero it likes to lose more than the wires do: above the tangent, or by
sending both ways at once.  There, and only there, a whole variable decides: losses on their tangent or at 0,
the line ahead or back.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_limits import imports_of
from gridagora.market._network_market import Market
from gridagora.market._network_program import Block, Program, bounded
from gridagora.solve import Answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

TOLERANCE = 1e-5
"""What is lost below this, in scaled quantities, is a rounding error."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spots:
    """Where energy may be wasted: pairs of flows, then losses, carrier by carrier and period by period.

    ``ahead`` and ``back`` are columns of flows, ``column`` and ``row`` those of losses and of their tangent.
    """

    ahead: Ints
    back: Ints
    column: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.ahead) + len(self.column)


def spots_of(program: Program) -> Spots:
    """Return where a program may waste energy."""
    found: dict[str, list[Ints]] = {name: [np.zeros(0, int)] for name in ("ahead", "back", "column", "row")}
    periods = np.arange(program.periods)
    for block in program.blocks:
        if block.lines is not None:
            first = block.flow_column + periods[:, None] * block.flows
            found["ahead"].append((first + block.lossy).ravel())
            found["back"].append((first + len(block.lines) + np.arange(len(block.lossy))).ravel())
        if block.loss_column >= 0:
            found["column"].append(block.loss_column + periods)
            found["row"].append(block.loss_row + periods)
    return Spots(**{name: np.concatenate(parts) for name, parts in found.items()})


def wasteful(program: Program, answer: Answer) -> Bools:
    """Tell of every spot whether an answer wastes energy there."""
    spots, values = spots_of(program), answer.values
    circling = np.minimum(values[spots.ahead], values[spots.back]) > TOLERANCE
    least = [_tangent(program, block, answer) for block in program.blocks if block.loss_column >= 0]
    floor = np.maximum(np.concatenate([np.zeros(0), *least]), 0.0)
    return np.concatenate([circling, values[spots.column] > floor + TOLERANCE])


def with_neighbours(program: Program, wasted: Bools) -> Bools:
    """Return the spots that waste together with the other lines of their carrier in that period.

    Waste that one line is denied moves on to the next, so that all are decided at once.
    """
    found, first = wasted.copy(), 0
    for block in program.blocks:
        if block.lines is not None and len(block.lossy):
            last = first + program.periods * len(block.lossy)
            by_period = found[first:last].reshape(program.periods, -1)
            by_period |= by_period.any(axis=1, keepdims=True)
            first = last
    return found


def _tangent(program: Program, block: Block, answer: Answer) -> Floats:
    """Return the losses that the line through the operating point gives, in scaled quantities."""
    network, kw = block.network, imports_of(program, block, answer.values)
    parts = (network.loss_per_kw, kw[0]), (network.loss_per_kvar, kw[1])
    total = np.zeros(program.periods) if network.loss_kw is None else network.loss_kw
    total = total[block.points] if len(total) > 1 else total
    for slope, power in parts:
        if slope is not None:
            total = total + (slope[block.points if len(slope) > 1 else 0] * power).sum(axis=1)
    return np.asarray(total * program.limit_scale)


def with_choices(program: Program, market: Market, chosen: Bools) -> Program:
    """Add a whole column for each chosen spot behind the others: 1 ahead or on the tangent, 0 if not."""
    from scipy.sparse import csc_array, csr_array, hstack, vstack

    spots, linear = spots_of(program), bounded(program.linear, market, program.quantity_scale)
    pairs = chosen[: len(spots.ahead)]
    ahead, back = spots.ahead[pairs], spots.back[pairs]
    column, row = (side[chosen[len(pairs) :]] for side in (spots.column, spots.row))
    shape = (len(linear.row_lower), len(linear.cost))
    matrix = csc_array((linear.entries, linear.rows, linear.starts), shape=shape)
    tangent = csr_array(matrix)[row]
    high, low = tangent.maximum(0.0), tangent.minimum(0.0)
    room = high @ linear.upper + low @ linear.lower - linear.row_lower[row]
    count = len(ahead) + len(column)
    flows, losses = np.arange(len(ahead)), len(ahead) + np.arange(len(column))

    def rows(columns: Ints, picks: Ints, weight: Floats) -> Any:
        """``x_column + weight pick``, one row each."""
        each = np.arange(len(columns))
        left = csr_array((np.ones(len(columns)), (each, columns)), shape=(len(columns), shape[1]))
        return hstack([left, csr_array((weight, (each, picks)), shape=(len(columns), count))])

    added = [
        rows(ahead, flows, -linear.upper[ahead]),
        rows(back, flows, linear.upper[back]),
        rows(column, losses, -linear.upper[column]),
        hstack([tangent, csr_array((room, (losses - len(ahead), losses)), shape=(len(row), count))]),
    ]
    most = [0 * ahead, linear.upper[back], 0 * column, linear.row_lower[row] + room]
    whole = vstack([hstack([matrix, csr_array((shape[0], count))]), *added]).tocsc()
    upper = np.concatenate([linear.row_upper, *most])
    extended = replace(
        linear,
        cost=np.append(linear.cost, np.zeros(count)),
        lower=np.append(linear.lower, np.zeros(count)),
        upper=np.append(linear.upper, np.ones(count)),
        row_lower=np.append(linear.row_lower, np.full(len(upper) - shape[0], -np.inf)),
        row_upper=upper,
        starts=whole.indptr.astype(np.int32),
        rows=whole.indices.astype(np.int32),
        entries=whole.data,
    )
    return replace(program, linear=extended, whole=np.append(program.whole, np.ones(count, np.bool_)))


def without_waste(program: Program, chosen: Bools, picked: Bools) -> Program:
    """Hold flows and losses of the chosen spots to what was picked for each."""
    spots, linear = spots_of(program), program.linear
    pairs = chosen[: len(spots.ahead)]
    ahead, tangent = np.split(picked, [int(pairs.sum())])
    upper, row_upper = linear.upper.copy(), linear.row_upper.copy()
    upper[np.where(ahead, spots.back[pairs], spots.ahead[pairs])] = 0.0
    column, row = (side[chosen[len(pairs) :]] for side in (spots.column, spots.row))
    upper[column[~tangent]] = 0.0
    row_upper[row[tangent]] = linear.row_lower[row[tangent]]
    return replace(program, linear=replace(linear, upper=upper, row_upper=row_upper))
