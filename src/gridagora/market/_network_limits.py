"""Limits of a network as rows of the program, added as they are found broken.

Of the many limits of a grid few bind, so the program starts without them and is solved again from its last
basis with those that its answer breaks, until it breaks none: the optimum is that of the whole program.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_program import Block, Program
from gridagora.model.linear_network import LimitRows
from gridagora.solve import Answer

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TOLERANCE = 1e-6
"""What a limit may be broken by, in scaled quantities, of which the largest bid is about 100."""

WORST = 12
"""Broken limits per period and carrier that are added at a time."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cuts:
    """Limits in the program: carrier, period and row of the network's limits of each, in their order."""

    block: Ints
    slot: Ints
    row: Ints

    def __len__(self) -> int:
        return len(self.block)

    def keys(self) -> Ints:
        """Return one number per limit."""
        return np.asarray((self.block * 2**20 + self.slot) * 2**20 + self.row)

    def joined(self, other: "Cuts") -> "Cuts":
        """Return both, one below the other."""
        return Cuts(
            block=np.concatenate([self.block, other.block]),
            slot=np.concatenate([self.slot, other.slot]),
            row=np.concatenate([self.row, other.row]),
        )


NO_CUTS = Cuts(block=np.zeros(0, np.int64), slot=np.zeros(0, np.int64), row=np.zeros(0, np.int64))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Limits:
    """The limits of one carrier, with powers of two that bring the largest entry of each row near 1."""

    rows: LimitRows
    scale: Floats

    def values(self, points: Ints, kw: Floats, kvar: Floats) -> Floats:
        """Return the limited values of net imports (periods, nodes), (periods, rows)."""
        rows = self.rows
        total = _times(rows.per_kw, points, kw) + rows.offset[_at(rows.offset, points)]
        return total + _times(rows.per_kvar, points, kvar) if kvar.any() else total

    def bounds(self, points: Ints) -> tuple[Floats, Floats]:
        """Return lower and upper bounds, (periods, rows)."""
        rows = self.rows
        return rows.lower[_at(rows.lower, points)], rows.upper[_at(rows.upper, points)]


def _at(values: Floats, points: Ints) -> Ints:
    return points if len(values) > 1 else np.zeros_like(points)


def _times(matrix: Floats, points: Ints, vector: Floats) -> Floats:
    if len(matrix) == 1:
        return np.asarray(vector @ matrix[0].T)
    return np.asarray(np.matmul(matrix[points], vector[:, :, None])[:, :, 0])


def limits_of(blocks: Sequence[Block]) -> tuple[Limits | None, ...]:
    """Return the limits of every carrier, None where there are none."""
    found: list[Limits | None] = []
    for block in blocks:
        rows = block.network.rows()
        if rows is None:
            found.append(None)
            continue
        size = np.abs(rows.per_kw).max(axis=(0, 2), initial=0.0)
        size = np.maximum(size, np.abs(rows.per_kvar).max(axis=(0, 2), initial=0.0))
        scale = np.ones(len(size))
        scale[size > 0] = 2.0 ** -np.floor(np.log2(size[size > 0]))
        found.append(Limits(rows=rows, scale=scale))
    return tuple(found)


def imports_of(program: Program, block: Block, values: Floats) -> tuple[Floats, Floats]:
    """Return the net imports of a carrier's nodes, kW and kvar, (periods, nodes)."""
    shape, size = (program.periods, block.nodes), program.periods * block.nodes
    kw = values[block.p_column : block.p_column + size].reshape(shape) / program.limit_scale
    if block.q_column < 0:
        return kw, np.zeros(shape)
    return kw, values[block.q_column : block.q_column + size].reshape(shape) / program.limit_scale


def broken_limits(program: Program, limits: Sequence[Limits | None], answer: Answer, *, known: Cuts) -> Cuts:
    """Return the worst limits that an answer breaks and the program does not hold yet."""
    found = NO_CUTS
    for number, (block, of_block) in enumerate(zip(program.blocks, limits, strict=True)):
        if of_block is None or len(of_block.rows) == 0:
            continue
        value = of_block.values(block.points, *imports_of(program, block, answer.values))
        low, high = of_block.bounds(block.points)
        excess = np.maximum(value - high, low - value) * of_block.scale * program.limit_scale
        mine = known.block == number
        excess[known.slot[mine], known.row[mine]] = -np.inf
        worst = min(WORST, excess.shape[1])
        column = np.argpartition(-excess, worst - 1, axis=1)[:, :worst]
        column.sort(axis=1)
        slot, place = np.nonzero(np.take_along_axis(excess, column, axis=1) > TOLERANCE)
        row = column[slot, place]
        found = found.joined(Cuts(block=np.full(len(slot), number), slot=slot, row=row))
    return found


def rows_of(
    program: Program, limits: Sequence[Limits | None], cuts: Cuts
) -> tuple[Floats, Floats, Ints, Ints, Floats]:
    """Return limits as rows of the program: lower, upper, starts, columns, entries."""
    lower, upper = np.zeros(len(cuts)), np.zeros(len(cuts))
    place: list[tuple[Ints, Ints, Floats]] = []
    for number, (block, of_block) in enumerate(zip(program.blocks, limits, strict=True)):
        mine = np.flatnonzero(cuts.block == number)
        if of_block is None or len(mine) == 0:
            continue
        rows, slot, row = of_block.rows, cuts.slot[mine], cuts.row[mine]
        points, scale = block.points[slot], of_block.scale[row]
        offset = rows.offset[_at(rows.offset, points), row]
        lower[mine] = (rows.lower[_at(rows.lower, points), row] - offset) * scale * program.limit_scale
        upper[mine] = (rows.upper[_at(rows.upper, points), row] - offset) * scale * program.limit_scale
        for derivative, first in ((rows.per_kw, block.p_column), (rows.per_kvar, block.q_column)):
            if first >= 0:
                dense = derivative[_at(derivative, points), row] * scale[:, None]
                at, node = np.nonzero(dense)
                place.append((mine[at], first + slot[at] * block.nodes + node, dense[at, node]))
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    at, column, entry = (np.concatenate(parts) for parts in zip(none, *place, strict=True))
    order = np.argsort(at, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(at, minlength=len(cuts)))]).astype(np.int64)
    return lower, upper, starts, column[order], entry[order]
