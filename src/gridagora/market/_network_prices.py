"""Nodal prices: the duals, which of several to take, and the parts they consist of."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_market import Market
from gridagora.market._network_program import Block
from gridagora.market._network_solve import Solved
from gridagora.market._network_start import line_tree
from gridagora.solve import HotModel, LinearProgram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

AT_BOUND = 1e-6
"""Scaled quantities this near a bound are at it."""

FAR = 1e6
"""Scaled prices beyond this (of which the largest bid is about 100) have no bound."""

PASSED_ON = 0.1
"""The share of such a price that lines with losses at least pass on to the next node."""

PARTS = ("energy", "loss", "congestion", "voltage")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NodalPrices:
    """Prices of one carrier, currency per unit of quantity, (periods, nodes).

    ``parts`` (4, periods, nodes) are energy, loss, congestion and voltage and add up to ``price``;
    ``reactive`` are prices of reactive power.  ``limit`` (cuts,) is the dual of every limit in the program,
    what one unit of it is worth, per entry of its row.
    """

    price: Floats
    parts: Floats
    reactive: Floats


def price_duals(market: Market, solved: Solved) -> Floats:
    """Return the duals that set prices: the solver's, or the middle where several support the optimum.

    Where fewer columns and rows are off their bounds than there are rows, other duals may be as good.  Then
    those with the lowest and the highest sum of nodal prices are sought, and the middle of the two is taken,
    which supports the optimum as well; a price without a bound on one side is that of the other.  For one
    node this is the middle of the price interval.
    """
    linear, answer = solved.linear, solved.answer
    duals = answer.duals.copy()
    slots = _slots_of_rows(market, solved)
    rows = np.flatnonzero(_degenerate(linear, answer.values, slots))
    if not len(rows):
        return duals
    face = _Face.of(linear, answer.values, duals, rows=rows)
    weight = np.zeros(len(rows))
    for block in solved.program.blocks:
        size = solved.program.periods * block.nodes
        weight[np.isin(rows, np.arange(block.p_row, block.p_row + size))] = 1.0
    low, high = face.ends(weight)
    duals[rows] = _middle(low, high)
    return duals


def _middle(low: Floats, high: Floats) -> Floats:
    open_low, open_high = low <= -FAR * PASSED_ON, high >= FAR * PASSED_ON
    middle = np.where(open_low & open_high, 0.0, (low + high) / 2)
    return np.where(open_low & ~open_high, high, np.where(open_high & ~open_low, low, middle))


def _degenerate(linear: LinearProgram, values: Floats, slots: Ints) -> Bools:
    """Tell which rows belong to periods whose basis is degenerate: it holds something at a bound."""
    activity = _activity(linear, values)
    inside = [
        np.flatnonzero((value - low > AT_BOUND) & (high - value > AT_BOUND))
        for value, low, high in (
            (values, linear.lower, linear.upper),
            (activity, linear.row_lower, linear.row_upper),
        )
    ]
    if (slots < 0).any():
        return np.full(len(slots), len(inside[0]) + len(inside[1]) < len(slots))
    own = slots[linear.rows[linear.starts[inside[0]]]] if len(linear.rows) else slots[:0]
    free = np.bincount(np.concatenate([own, slots[inside[1]]]), minlength=int(slots.max(initial=0)) + 1)
    return np.asarray((free < np.bincount(slots, minlength=len(free)))[slots])


def _activity(linear: LinearProgram, values: Floats) -> Floats:
    return np.asarray(_matrix(linear) @ values)


def _matrix(linear: LinearProgram) -> Any:
    from scipy.sparse import csc_array

    shape = (len(linear.row_lower), len(linear.cost))
    return csc_array((linear.entries, linear.rows, linear.starts), shape=shape)


def _slots_of_rows(market: Market, solved: Solved) -> Ints:
    """Return the period of each row, -1 for conditions, which join periods."""
    program = solved.program
    out = np.full(len(solved.linear.row_lower), -1)
    for block in program.blocks:
        each, size = np.arange(program.periods), program.periods * block.nodes
        for first, width in ((block.p_row, block.nodes), (block.q_row, block.nodes)):
            if first >= 0:
                out[first : first + size] = np.repeat(each, width)
        for first in (block.balance_row, block.loss_row):
            if first >= 0:
                out[first : first + program.periods] = each
    base = len(program.linear.row_lower)
    out[base:] = solved.cuts.slot
    return out


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Face:
    """All duals of some rows that support an optimum, as a linear program in these duals."""

    program: LinearProgram

    @classmethod
    def of(cls, linear: LinearProgram, values: Floats, duals: Floats, *, rows: Ints) -> "_Face":
        """Read off the complementary slackness of every column with entries in these rows."""
        matrix = _matrix(linear)
        activity = np.asarray(matrix @ values)[rows]
        part = matrix.tocsr()[rows].tocsc()
        count = np.diff(part.indptr)
        lower, upper = _sign_bounds(activity, linear.row_lower[rows], linear.row_upper[rows])
        low, high = _sign_bounds(values, linear.lower, linear.upper, of_columns=linear.cost)
        # the solver's own duals must stay possible, whatever its tolerance
        own = np.asarray(part.T @ duals[rows])
        low, high = np.minimum(low, own), np.maximum(high, own)
        single = np.flatnonzero(count == 1)
        at, entry = part.indices[part.indptr[single]], part.data[part.indptr[single]]
        ends = np.sort(np.stack([low[single] / entry, high[single] / entry]), axis=0)
        np.maximum.at(lower, at, ends[0])
        np.minimum.at(upper, at, ends[1])
        lower, upper = np.minimum(lower, duals[rows]), np.maximum(upper, duals[rows])
        many = np.flatnonzero(count > 1)
        across = part[:, many].T.tocsc()
        return cls(
            program=LinearProgram(
                cost=np.zeros(len(rows)),
                lower=np.maximum(lower, -FAR),
                upper=np.minimum(upper, FAR),
                row_lower=low[many],
                row_upper=high[many],
                starts=across.indptr.astype(np.int32),
                rows=across.indices.astype(np.int32),
                entries=across.data,
            )
        )

    def ends(self, weight: Floats) -> tuple[Floats, Floats]:
        """Return the duals with the lowest and with the highest weighted sum."""
        down = replace(self.program, cost=weight)
        hot = HotModel(down)
        low = hot.solve().values
        hot.change(
            down,
            cost=-weight,
            lower=down.lower,
            upper=down.upper,
            row_lower=down.row_lower,
            row_upper=down.row_upper,
        )
        return low, hot.solve().values


def _sign_bounds(
    value: Floats, low: Floats, high: Floats, *, of_columns: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return bounds of what a dual may be by where the value is.

    Of rows: the dual itself.  Of columns (``of_columns``: costs): the sum of duals times entries, which is
    at most the cost at the lower bound, at least the cost at the upper one, and equal to it between.
    """
    down, up = value - low < AT_BOUND, high - value < AT_BOUND
    if of_columns is None:
        return np.where(up, -np.inf, 0.0), np.where(down, np.inf, 0.0)
    return np.where(down, -np.inf, of_columns), np.where(up, np.inf, of_columns)


def nodal_prices(solved: Solved, duals: Floats, number: int) -> NodalPrices:
    """Return the prices of a carrier from the duals, split into parts that add up to them."""
    program, block = solved.program, solved.program.blocks[number]
    shape, size = (program.periods, block.nodes), program.periods * block.nodes
    price = duals[block.p_row : block.p_row + size].reshape(shape) / program.money_scale
    reactive = np.zeros(shape)
    if block.q_row >= 0:
        reactive = duals[block.q_row : block.q_row + size].reshape(shape) / program.money_scale
    parts = (
        _transfer_parts(solved, block, price)
        if block.lines is not None
        else _row_parts(solved, number, duals, price=price)
    )
    nodes = len(block.network.nodes)
    return NodalPrices(price=price[:, :nodes], parts=parts[:, :, :nodes], reactive=reactive[:, :nodes])


def limit_duals(solved: Solved, duals: Floats) -> Floats:
    """Return the dual of every limit in the program, currency per unit of quantity and entry of the row."""
    base = len(solved.program.linear.row_lower)
    out = duals[base:] / solved.program.money_scale
    for number, of_block in enumerate(solved.limits):
        mine = solved.cuts.block == number
        if of_block is not None:
            out[mine] *= of_block.scale[solved.cuts.row[mine]]
    return out


def _row_parts(solved: Solved, number: int, duals: Floats, *, price: Floats) -> Floats:
    """Split prices by the rows of P: balance, losses and limits of each kind; the slack is the reference."""
    program, block = solved.program, solved.program.blocks[number]
    parts = np.zeros((len(PARTS), *price.shape))
    network, of_block = block.network, solved.limits[number]
    if block.loss_row >= 0 and network.loss_per_kw is not None:
        at = block.points if len(network.loss_per_kw) > 1 else np.zeros_like(block.points)
        dual = duals[block.loss_row : block.loss_row + program.periods] / program.money_scale
        parts[1] = network.loss_per_kw[at] * dual[:, None]
    if of_block is not None:
        rows = of_block.rows
        mine = np.flatnonzero(solved.cuts.block == number)
        slot, row = solved.cuts.slot[mine], solved.cuts.row[mine]
        at = block.points[slot] if len(rows.per_kw) > 1 else np.zeros_like(slot)
        moved = -rows.per_kw[at, row] * limit_duals(solved, duals)[mine, None]
        is_voltage = rows.part[row] == "voltage"
        np.add.at(parts[2], slot[~is_voltage], moved[~is_voltage])
        np.add.at(parts[3], slot[is_voltage], moved[is_voltage])
    return _referred(parts, price, block.inside)


def _referred(parts: Floats, price: Floats, slack: int) -> Floats:
    """Make the price of the slack the energy price; what its connection costs is congestion elsewhere."""
    for part in parts[1:]:
        part -= part[:, slack : slack + 1]
    parts[0] = price[:, slack : slack + 1]
    parts[2] += price - parts.sum(axis=0)
    return parts


def _transfer_parts(solved: Solved, block: Block, price: Floats) -> Floats:
    """Split prices along the lines away from the slack: duals of capacities, and the rest is losses."""
    parts = np.zeros((len(PARTS), *price.shape))
    slack, lines = block.network.slack_position, block.lines
    parts[0] = price[:, slack : slack + 1]
    if lines is None:
        return parts
    order, parent, line = line_tree(block)
    for node in order[1:].tolist():
        number, before = int(line[node]), int(parent[node])
        step, share = price[:, node] - price[:, before], lines.loss_share[number]
        # what remains once the losses of sending one kWh either way are paid is the worth of the capacity
        out, back = price[:, before] / (1 - share), price[:, before] * (1 - share)
        lost = np.clip(price[:, node], np.minimum(back, out), np.maximum(back, out)) - price[:, before]
        parts[1][:, node] = parts[1][:, before] + lost
        parts[2][:, node] = parts[2][:, before] + step - lost
    parts[2] += price - parts.sum(axis=0)
    return parts
