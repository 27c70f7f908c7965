"""The program of a network auction as arrays: equations E1 and E2 for all periods and carriers at once.

Columns: the bids, their switches, then per carrier net imports P and Q, reactive power at no cost, losses or
flows, period after period.  Rows: per carrier the balance of each node (``P - side y = 0``, so that its dual
is the nodal price), that of the whole (``-sum P - L = 0``) and of the losses (``L - l P >= c``); then the
conditions between bids.  Limits of the network come later, as far as they are needed (`_network_solve`).
Quantities and money are scaled by powers of two, which changes no digit.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_market import Market
from gridagora.model.linear_network import LinearNetwork, TransferLines
from gridagora.solve import LinearProgram

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """Where the columns and rows of one carrier are; -1 for what it has not.

    ``nodes`` counts its nodes with that behind the connection; ``inside`` is the node whose price is the
    energy price; ``points`` the operating point of each period.
    """

    network: LinearNetwork
    points: Ints
    nodes: int
    inside: int
    p_row: int
    q_row: int = -1
    balance_row: int = -1
    loss_row: int = -1
    p_column: int = -1
    q_column: int = -1
    free_column: int = -1
    loss_column: int = -1
    flow_column: int = -1
    lines: TransferLines | None = None
    lossy: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def flows(self) -> int:
        """Flow columns per period: one per line, and one back per line with losses."""
        return 0 if self.lines is None else len(self.lines) + len(self.lossy)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Program:
    """A linear program with its layout; ``limit_scale`` turns kW into its quantities."""

    linear: LinearProgram
    whole: Bools
    blocks: tuple[Block, ...]
    periods: int
    bids: int
    condition_row: int
    quantity_scale: float
    money_scale: float
    limit_scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entries:
    """Entries, bounds and costs while the program is written, as arrays to be joined."""

    row: list[Ints] = field(default_factory=list)
    column: list[Ints] = field(default_factory=list)
    entry: list[Floats] = field(default_factory=list)
    columns: list[tuple[Floats, Floats]] = field(default_factory=list)
    rows: list[tuple[Floats, Floats]] = field(default_factory=list)
    counts: list[int] = field(default_factory=lambda: [0, 0])

    def add(self, row: NDArray[Any], column: NDArray[Any], entry: NDArray[Any] | float) -> None:
        row, column, value = np.broadcast_arrays(row, column, np.asarray(entry, dtype=np.float64))
        self.row.append(row.ravel())
        self.column.append(column.ravel())
        self.entry.append(value.ravel())

    def new_columns(self, lower: NDArray[Any] | float, upper: NDArray[Any] | float, count: int) -> int:
        self.columns.append((np.broadcast_to(lower, (count,)), np.broadcast_to(upper, (count,))))
        self.counts[0] += count
        return self.counts[0] - count

    def new_rows(self, lower: NDArray[Any] | float, upper: NDArray[Any] | float, count: int) -> int:
        self.rows.append((np.broadcast_to(lower, (count,)), np.broadcast_to(upper, (count,))))
        self.counts[1] += count
        return self.counts[1] - count


def power_of_two(value: float) -> float:
    """Return the power of two that brings a number to between 64 and 128; 1 for 0.

    >>> power_of_two(0.3), power_of_two(0.0)
    (256.0, 1.0)
    """
    return 1.0 if not value > 0 else float(2.0 ** (6 - np.floor(np.log2(value))))


def build_program(
    market: Market,
    *,
    bounds: tuple[Floats, Floats] | None = None,
    skipped: tuple[str, ...] = (),
    network: bool = True,
) -> Program:
    """Return the program of a market.

    Parameters
    ----------
    bounds : least and most of each bid with what is on or off decided; the switches then are left out
    skipped : what to leave out, to find what conflicts: "condition 3", "least 7" (of bid 7),
        "line 0 2" (of carrier 0 line 2)
    network : False leaves all but bids, switches and conditions out
    """
    scale = power_of_two(float(market.quantity.max(initial=0)))
    money = power_of_two(float(np.abs(market.price).max(initial=0)))
    out = _Entries()
    low, high = (np.zeros(len(market)), market.quantity) if bounds is None else bounds
    out.new_columns(low * scale, high * scale, len(market))
    switches = market.switches if bounds is None else 0
    off = np.zeros(switches)
    lit = np.flatnonzero((market.switch >= 0) & (market.quantity > 0))
    off[market.switch[lit] if switches else []] = 1.0
    first_switch = out.new_columns(0.0, off, switches)
    limit_scale = scale / market.kw_per_unit
    carriers = range(len(market.carriers) if network else 0)
    blocks = tuple(_block(market, number, out, scale=limit_scale, skipped=skipped) for number in carriers)
    condition_row = out.counts[1]
    if switches:
        _switch_rows(market, out, first_switch=first_switch, scale=scale, skipped=skipped)
    _condition_rows(market, out, first_switch=first_switch if switches else -1, scale=scale, skipped=skipped)
    cost = np.zeros(out.counts[0])
    cost[: len(market)] = -market.side * market.price * money
    whole = np.zeros(len(cost), dtype=np.bool_)
    whole[first_switch : first_switch + switches] = True
    linear = _linear(out, cost)
    return Program(
        linear=bounded(linear, market, scale) if switches else linear,
        whole=whole,
        blocks=blocks,
        periods=len(market.period),
        bids=len(market),
        condition_row=condition_row,
        quantity_scale=scale,
        money_scale=money,
        limit_scale=limit_scale,
    )


def bounded(linear: LinearProgram, market: Market, scale: float) -> LinearProgram:
    """Bound every column by what all bids of a period together could make of it.

    In a mixed-integer program with columns without bounds, HiGHS 1.15 may cut off the optimum and still
    report one (its issue 3273).
    """
    reactive = np.abs(market.kvar_per_kw) * market.quantity
    free = np.maximum(-market.kvar_min, market.kvar_max) / market.kw_per_unit
    total = np.bincount(market.slot, weights=market.quantity + reactive + free).max(initial=0.0)
    nodes = [one.network for one in market.carriers if one.network is not None]
    added = sum(
        float(np.abs(side).sum())
        for one in nodes
        for side in (one.kvar_min, one.kvar_max)
        if side is not None
    )
    most = 2 * scale * (float(total) + added / market.kw_per_unit) + 1.0
    return replace(linear, lower=np.maximum(linear.lower, -most), upper=np.minimum(linear.upper, most))


def _linear(out: _Entries, cost: Floats) -> LinearProgram:
    from scipy.sparse import coo_array

    shape = (out.counts[1], out.counts[0])
    place = (np.concatenate(out.row), np.concatenate(out.column)) if out.row else (np.zeros(0, int),) * 2
    entries = np.concatenate(out.entry) if out.entry else np.zeros(0)
    matrix = coo_array((entries, place), shape=shape).tocsc()
    none = [np.zeros(0)]
    lower, upper = (np.concatenate([pair[side] for pair in out.columns]) for side in (0, 1))
    row_lower, row_upper = (np.concatenate(none + [pair[side] for pair in out.rows]) for side in (0, 1))
    return LinearProgram(
        cost=cost,
        lower=lower,
        upper=upper,
        row_lower=row_lower,
        row_upper=row_upper,
        starts=matrix.indptr.astype(np.int32),
        rows=matrix.indices.astype(np.int32),
        entries=matrix.data,
    )


def _block(market: Market, number: int, out: _Entries, *, scale: float, skipped: tuple[str, ...]) -> Block:
    """Add one carrier: columns and rows of its network, and its bids in the balances of its nodes."""
    network = market.network(number)
    periods, rows = len(market.period), np.flatnonzero(market.block == number)
    points = network.point_of(market.period)
    if network.lines is not None:
        mine = f"line {number} "
        unlimited = [int(name.removeprefix(mine)) for name in skipped if name.startswith(mine)]
        block = _transfer_block(network, points, out, scale=scale, unlimited=unlimited)
    else:
        block = _injection_block(network, points, out, market=market, mine=rows, scale=scale)
    at = market.slot[rows] * block.nodes + market.node[rows]
    out.add(block.p_row + at, rows, -market.side[rows])
    if block.q_row >= 0:
        reactive = market.side[rows] * market.kvar_per_kw[rows]
        used = np.flatnonzero(reactive)
        out.add(block.q_row + at[used], rows[used], -reactive[used])
    if block.p_column >= 0:
        all_nodes = np.arange(periods * block.nodes)
        out.add(block.p_row + all_nodes, block.p_column + all_nodes, 1.0)
    return block


def _transfer_block(
    network: LinearNetwork, points: Ints, out: _Entries, *, scale: float, unlimited: list[int]
) -> Block:
    """Flows between nodes; a limited connection is a line to the slack from a node behind it."""
    lines = network.lines
    if lines is None:  # pragma: no cover - the caller asked
        raise ValueError
    count, inside = len(network.nodes), network.slack_position
    if np.isfinite(network.import_kw) or np.isfinite(network.export_kw):
        lines, inside = _behind_connection(network, lines), count
        count += 1
    lossy = np.flatnonzero(lines.loss_share > 0)
    periods, width = len(points), len(lines) + len(lossy)
    ahead, back = lines.capacity_kw.copy(), lines.reverse_kw.copy()
    ahead[unlimited] = back[unlimited] = np.inf
    lower = np.concatenate([np.where(lines.loss_share > 0, 0.0, -back), np.zeros(len(lossy))]) * scale
    upper = np.concatenate([ahead, back[lossy]]) * scale
    flow = out.new_columns(np.tile(lower, periods), np.tile(upper, periods), periods * width)
    row = out.new_rows(0.0, 0.0, periods * count)
    leaves = np.concatenate([lines.start, lines.end[lossy]])
    enters = np.concatenate([lines.end, lines.start[lossy]])
    kept = 1 - np.concatenate([lines.loss_share, lines.loss_share[lossy]])
    slot = np.arange(periods)[:, None]
    column = flow + slot * width + np.arange(width)
    out.add(row + slot * count + leaves, column, -1.0)
    out.add(row + slot * count + enters, column, kept[None, :])
    return Block(
        network=network,
        points=points,
        nodes=count,
        inside=inside,
        p_row=row,
        flow_column=flow,
        lines=lines,
        lossy=lossy,
    )


def _behind_connection(network: LinearNetwork, lines: TransferLines) -> TransferLines:
    slack, new = network.slack_position, len(network.nodes)
    return TransferLines(
        name=np.append(lines.name, "connection"),
        start=np.append(np.where(lines.start == slack, new, lines.start), slack),
        end=np.append(np.where(lines.end == slack, new, lines.end), new),
        capacity_kw=np.append(lines.capacity_kw, network.import_kw),
        reverse_kw=np.append(lines.reverse_kw, network.export_kw),
        loss_share=np.append(lines.loss_share, 0.0),
    )


def _injection_block(
    network: LinearNetwork, points: Ints, out: _Entries, *, market: Market, mine: Ints, scale: float
) -> Block:
    """Net imports as columns, one balance per period, linear losses; limits are added when they bind."""
    count, periods = len(network.nodes), len(points)
    size = periods * count
    low, high = _free_kvar(network, market, mine)
    reactive = network.is_reactive and (bool(market.kvar_per_kw[mine].any()) or bool((high > low).any()))
    p_column = out.new_columns(-np.inf, np.inf, size)
    p_row = out.new_rows(0.0, 0.0, size)
    where: dict[str, Any] = {"p_row": p_row, "p_column": p_column}
    slot, node = np.arange(periods)[:, None], np.arange(count)
    if reactive:
        where["q_column"] = out.new_columns(-np.inf, np.inf, size)
        where["q_row"] = out.new_rows(0.0, 0.0, size)
        every = np.arange(size)
        out.add(where["q_row"] + every, where["q_column"] + every, 1.0)
        if (high > low).any():
            where["free_column"] = out.new_columns(low * scale, high * scale, size)
            out.add(where["q_row"] + every, where["free_column"] + every, -1.0)
    where["balance_row"] = balance = out.new_rows(0.0, 0.0, periods)
    out.add(balance + slot, p_column + slot * count + node, -1.0)
    if network.loss_kw is not None and network.loss_per_kw is not None:
        where["loss_column"] = loss = out.new_columns(0.0, np.inf, periods)
        where["loss_row"] = row = out.new_rows(
            network.loss_kw[_at(network.loss_kw, points)] * scale, np.inf, periods
        )
        out.add(balance + slot[:, 0], loss + slot[:, 0], -1.0)
        out.add(row + slot[:, 0], loss + slot[:, 0], 1.0)
        slope = network.loss_per_kw[_at(network.loss_per_kw, points)]
        out.add(row + slot, p_column + slot * count + node, -slope)
        if reactive and network.loss_per_kvar is not None:
            slope = network.loss_per_kvar[_at(network.loss_per_kvar, points)]
            out.add(row + slot, where["q_column"] + slot * count + node, -slope)
    return Block(network=network, points=points, nodes=count, inside=network.slack_position, **where)


def _at(values: Floats, points: Ints) -> Ints:
    """Return the operating points, all the first where the values are the same at all of them."""
    return points if len(values) > 1 else np.zeros_like(points)


def _free_kvar(network: LinearNetwork, market: Market, mine: Ints) -> tuple[Floats, Floats]:
    """Reactive import that nodes and bids there can choose, (periods x nodes,)."""
    count, size = len(network.nodes), len(market.period) * len(network.nodes)
    at = market.slot[mine] * count + market.node[mine]
    found: list[Floats] = []
    for of_bids, of_nodes in ((market.kvar_min, network.kvar_min), (market.kvar_max, network.kvar_max)):
        total = np.bincount(at, weights=of_bids[mine], minlength=size).astype(np.float64)
        found.append(total if of_nodes is None else total + np.tile(of_nodes, len(market.period)))
    return found[0], found[1]


def _switch_rows(
    market: Market, out: _Entries, *, first_switch: int, scale: float, skipped: tuple[str, ...]
) -> None:
    """``least q z <= y <= q z`` for every bid that hangs on a switch."""
    hung = np.flatnonzero(market.switch >= 0)
    dropped = [int(name.removeprefix("least ")) for name in skipped if name.startswith("least ")]
    least = np.where(np.isin(hung, dropped), 0.0, market.least[hung])
    column = first_switch + market.switch[hung]
    most = market.quantity[hung] * scale
    row = out.new_rows(-np.inf, 0.0, len(hung)) + np.arange(len(hung))
    out.add(row, hung, 1.0)
    out.add(row, column, -most)
    row = out.new_rows(0.0, np.inf, len(hung)) + np.arange(len(hung))
    out.add(row, hung, 1.0)
    out.add(row, column, -most * least)


def _condition_rows(
    market: Market, out: _Entries, *, first_switch: int, scale: float, skipped: tuple[str, ...]
) -> None:
    """AND, XOR and OR on switches, SUM on quantities; one group of rows per condition."""
    for number, one in enumerate(market.dependencies):
        rows = np.array(one.bids, dtype=np.int64)
        if f"condition {number}" in skipped:
            continue
        if one.kind == "sum":
            level = one.quantity * scale
            low = level if one.op != "<=" else -np.inf
            high = level if one.op != ">=" else np.inf
            out.add(np.array(out.new_rows(low, high, 1)), rows, np.array(one.weights))
        elif first_switch >= 0:
            switches = np.unique(market.switch[rows])
            _logic_rows(one.kind, out, first_switch + switches, named=first_switch + market.switch[rows])


def _logic_rows(kind: str, out: _Entries, columns: Ints, *, named: Ints) -> None:
    if kind == "and":
        row = out.new_rows(0.0, 0.0, len(columns) - 1) + np.arange(len(columns) - 1)
        out.add(row, columns[1:], 1.0)
        out.add(row, columns[:1], -1.0)
        return
    # bids on one switch count as often as they are named: both on is two accepted
    names, times = np.unique(named, return_counts=True)
    row = np.array(out.new_rows(*((-np.inf, 1.0) if kind == "xor" else (1.0, np.inf)), 1))
    out.add(row, names, times.astype(np.float64))


def with_rows(program: LinearProgram, rows: tuple[Floats, Floats, Ints, Ints, Floats]) -> LinearProgram:
    """Return a program with rows (lower, upper, starts, columns, entries) below its own."""
    lower, upper, starts, columns, entries = rows
    if not len(lower):
        return program
    number = len(program.row_lower) + np.repeat(np.arange(len(lower)), np.diff(starts))
    order = np.argsort(columns, kind="stable")
    at = program.starts[columns[order] + 1]
    more = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=len(program.cost)))])
    return replace(
        program,
        row_lower=np.concatenate([program.row_lower, lower]),
        row_upper=np.concatenate([program.row_upper, upper]),
        starts=(program.starts + more).astype(np.int32),
        rows=np.insert(program.rows, at, number[order]).astype(np.int32),
        entries=np.insert(program.entries, at, entries[order]),
    )
