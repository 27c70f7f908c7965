"""From a solved program to what people ask of an auction: prices, flows, limits that bind."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_limits import Cuts
from gridagora.market._network_market import Market
from gridagora.market._network_prices import NodalPrices, limit_duals, nodal_prices
from gridagora.market._network_solve import Solved
from gridagora.market.network_result import Binding, CarrierOutcome

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

WORTH = 1e-7
"""Duals below this, in scaled money of which the dearest bid is about 100, are 0."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class BidOutcome:
    """What each bid got, in canonical order: quantity, price with its reactive power, kvar, money."""

    accepted: Floats
    price: Floats
    kvar: Floats
    paid: Floats


def bid_outcome(market: Market, solved: Solved, accepted: Floats, *, prices: list[NodalPrices]) -> BidOutcome:
    """Return price, reactive power and money of each bid: + received, - paid."""
    price, reactive = np.zeros(len(market)), np.zeros(len(market))
    for number, found in enumerate(prices):
        mine = market.block == number
        at = (market.slot[mine], market.node[mine])
        price[mine], reactive[mine] = found.price[at], found.reactive[at]
    free = _free_kvar(market, solved)
    price = price + market.kvar_per_kw * reactive
    paid = -market.side * accepted * price - reactive * free / market.kw_per_unit
    kvar = market.side * accepted * market.kvar_per_kw * market.kw_per_unit + free
    return BidOutcome(accepted=accepted, price=price, kvar=kvar, paid=paid + 0.0)


def _free_kvar(market: Market, solved: Solved) -> Floats:
    """Share the reactive power that a node adds among its bids, each at the same place in its range."""
    out = np.zeros(len(market))
    program, values = solved.program, solved.answer.values
    for number, block in enumerate(program.blocks):
        if block.free_column < 0:
            continue
        column = block.free_column + np.arange(program.periods * block.nodes)
        low, high = program.linear.lower[column], program.linear.upper[column]
        place = np.divide(values[column] - low, high - low, out=np.zeros(len(low)), where=high > low)
        mine = np.flatnonzero(market.block == number)
        at = place[market.slot[mine] * block.nodes + market.node[mine]]
        out[mine] = market.kvar_min[mine] + at * (market.kvar_max[mine] - market.kvar_min[mine])
    return out


def carrier_outcome(
    market: Market, solved: Solved, number: int, *, of_bids: BidOutcome, prices: NodalPrices
) -> CarrierOutcome:
    """Return the outcome of one carrier; prices are NaN in periods in which it is not traded."""
    program, block = solved.program, solved.program.blocks[number]
    nodes, shape = block.network.nodes, (program.periods, len(block.network.nodes))
    mine = np.flatnonzero(market.block == number)
    at = market.slot[mine] * shape[1] + market.node[mine]
    signed = market.side[mine] * of_bids.accepted[mine] * market.kw_per_unit
    kw = _summed(at, signed, shape)
    kvar = _summed(at, of_bids.kvar[mine], shape)
    idle = np.bincount(market.slot[mine], weights=of_bids.accepted[mine], minlength=shape[0]) <= 0
    price, parts, reactive = prices.price + 0.0, prices.parts + 0.0, prices.reactive + 0.0
    price[idle], parts[:, idle], reactive[idle] = np.nan, np.nan, np.nan
    of_block = solved.limits[number]
    values = None if of_block is None else of_block.values(block.points, kw, kvar)
    lines, flows = _flows(solved, number, values)
    return CarrierOutcome(
        name=market.carriers[number].name,
        nodes=nodes,
        slack=block.network.slack_position,
        price=price,
        parts=parts,
        reactive=reactive,
        kw=kw,
        kvar=kvar,
        losses_kw=-kw.sum(axis=1) + 0.0,
        lines=lines,
        flows=flows,
        rows=None if of_block is None else of_block.rows,
        values=values,
    )


def _summed(at: Ints, values: Floats, shape: tuple[int, int]) -> Floats:
    total = np.bincount(at, weights=values, minlength=shape[0] * shape[1])
    return total.astype(np.float64).reshape(shape)


def _flows(solved: Solved, number: int, values: Floats | None) -> tuple[tuple[str, ...], Floats]:
    program, block = solved.program, solved.program.blocks[number]
    of_block = solved.limits[number]
    if block.lines is not None:
        real = np.arange(len(block.lines) - (block.nodes > len(block.network.nodes)))
        return tuple(block.lines.name[real].tolist()), _line_flows(solved, number)[:, real]
    if of_block is None or values is None:
        return (), np.zeros((program.periods, 0))
    rows = of_block.rows
    mine = np.flatnonzero((rows.part == "congestion") & (rows.name != "connection"))
    if not (rows.unit[mine] == "percent").any():
        return tuple(rows.name[mine].tolist()), values[:, mine]
    starts = np.flatnonzero(np.append(True, rows.name[mine][1:] != rows.name[mine][:-1]))
    return tuple(rows.name[mine[starts]].tolist()), np.maximum.reduceat(
        np.abs(values[:, mine]), starts, axis=1
    )


def _line_flows(solved: Solved, number: int) -> Floats:
    """Return flows along lines, kW at the sending end, (periods, lines)."""
    program, block = solved.program, solved.program.blocks[number]
    size = program.periods * block.flows
    every = solved.answer.values[block.flow_column : block.flow_column + size]
    every = every.reshape(program.periods, block.flows) / program.limit_scale
    count = 0 if block.lines is None else len(block.lines)
    flows = every[:, :count].copy()
    flows[:, block.lossy] -= every[:, count:]
    return flows


def binding_of(market: Market, solved: Solved, duals: Floats, *, outcomes: list[CarrierOutcome]) -> Binding:
    """Return the limits with a dual, in order of carrier, period and name of the network."""
    found = [
        _binding_rows(market, solved, duals, outcomes=outcomes),
        *(_binding_lines(market, solved, duals, number=number) for number in range(len(outcomes))),
    ]
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    names = np.array([one.name for one in outcomes], dtype=np.str_)
    order = np.lexsort((columns[2], columns[0], columns[1]))
    period, block, name, part, side, value, worth = (column[order] for column in columns)
    return Binding(
        period=market.period[period],
        carrier=names[block],
        name=name,
        part=part,
        side=side,
        value=value,
        worth=worth,
    )


def _binding_rows(
    market: Market, solved: Solved, duals: Floats, *, outcomes: list[CarrierOutcome]
) -> tuple[NDArray[np.generic], ...]:
    cuts: Cuts = solved.cuts
    base = len(solved.program.linear.row_lower)
    rows = np.flatnonzero(np.abs(duals[base:]) > WORTH)
    worth = -limit_duals(solved, duals)[rows] / market.kw_per_unit
    name, part, value = (
        np.full(len(rows), "", dtype="<U64"),
        np.full(len(rows), "", "<U10"),
        np.zeros(len(rows)),
    )
    for number, of_block in enumerate(solved.limits):
        mine = cuts.block[rows] == number
        at, row = cuts.slot[rows[mine]], cuts.row[rows[mine]]
        values = outcomes[number].values
        if of_block is not None and values is not None:
            name[mine], part[mine] = of_block.rows.name[row], of_block.rows.part[row]
            value[mine] = values[at, row]
    side = np.where(worth > 0, "upper", "lower")
    return cuts.slot[rows], cuts.block[rows], name, part, side, value, np.abs(worth)


def _binding_lines(
    market: Market, solved: Solved, duals: Floats, *, number: int
) -> tuple[NDArray[np.generic], ...]:
    program, block = solved.program, solved.program.blocks[number]
    if block.lines is None:
        none = np.zeros(0)
        return (
            none.astype(int),
            none.astype(int),
            none.astype("<U1"),
            none.astype("<U1"),
            none.astype("<U1"),
            none,
            none,
        )
    size, count = program.periods * block.flows, len(block.lines)
    part = slice(solved.linear.starts[block.flow_column], solved.linear.starts[block.flow_column + size])
    column = np.repeat(
        np.arange(size), np.diff(solved.linear.starts[block.flow_column : block.flow_column + size + 1])
    )
    reduced = -np.bincount(
        column, weights=solved.linear.entries[part] * duals[solved.linear.rows[part]], minlength=size
    )
    reduced = reduced.reshape(program.periods, block.flows)
    lossless = np.ones(block.flows, dtype=np.bool_)
    lossless[block.lossy], lossless[count:] = False, False
    # a column with losses has 0 below it, which is no limit of the network
    # nor is that the other direction is in use
    columns = slice(block.flow_column, block.flow_column + size)
    room = np.concatenate([block.lines.capacity_kw, block.lines.reverse_kw[block.lossy]])
    open_ways = (solved.linear.upper[columns].reshape(reduced.shape) > 0) | (room == 0) | lossless
    slot, place = np.nonzero(((reduced < -WORTH) & open_ways) | ((reduced > WORTH) & lossless))
    line = np.where(
        place < count, place, block.lossy[np.maximum(place - count, 0)] if len(block.lossy) else place
    )
    worth = reduced[slot, place] / program.money_scale / market.kw_per_unit
    backward = (place >= count) | (worth > 0)
    return (
        slot,
        np.full(len(slot), number),
        block.lines.name[line],
        np.full(len(slot), "congestion"),
        np.where(backward, "lower", "upper"),
        _line_flows(solved, number)[slot, line],
        np.abs(worth),
    )


def all_prices(market: Market, solved: Solved, duals: Floats) -> list[NodalPrices]:
    """Return the prices of every carrier."""
    return [nodal_prices(solved, duals, number) for number in range(len(market.carriers))]
