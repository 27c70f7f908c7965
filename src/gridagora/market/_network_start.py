"""Where the solver starts: the merit order, as if no limit would bind.

With prices that differ between nodes by their marginal losses alone, every bid is better or worse than the
price at its node, and one bid per period and carrier sets it.  That is an optimal basis of the program
without limits, so the solver has only the limits left to do.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridagora.market._network_limits import Cuts
from gridagora.market._network_market import Market
from gridagora.market._network_program import Block, Program
from gridagora.market.merit import merit_order
from gridagora.model.bids import Bids
from gridagora.solve import BASIC, LOWER, UPPER, Basis

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Warm:
    """What a clearing learned that helps the next one of some of its periods: prices and limits that bind.

    ``price`` and ``reactive`` per carrier (periods, nodes); ``cuts`` are the limits that bound, with the
    position of their period in ``period``, and ``at_upper`` tells where.
    """

    period: Ints
    price: tuple[Floats, ...]
    reactive: tuple[Floats, ...]
    cuts: Cuts
    at_upper: NDArray[np.bool_]

    def limits_in(self, market: Market, known: Cuts) -> Cuts:
        """Add the limits that bound in periods that are cleared again."""
        slot = np.searchsorted(market.period, self.period[self.cuts.slot])
        slot = np.minimum(slot, len(market.period) - 1)
        again = market.period[slot] == self.period[self.cuts.slot]
        mine = Cuts(block=self.cuts.block[again], slot=slot[again], row=self.cuts.row[again])
        fresh = ~np.isin(mine.keys(), known.keys())
        return known.joined(Cuts(block=mine.block[fresh], slot=mine.slot[fresh], row=mine.row[fresh]))

    def statuses(self, market: Market, cuts: Cuts) -> NDArray[np.int8]:
        """Return where each limit of the program starts: those that bound before at their bound again."""
        slot = np.minimum(np.searchsorted(market.period, self.period[self.cuts.slot]), len(market.period) - 1)
        again = market.period[slot] == self.period[self.cuts.slot]
        before = Cuts(block=self.cuts.block[again], slot=slot[again], row=self.cuts.row[again]).keys()
        out = np.full(len(cuts), BASIC, dtype=np.int8)
        place = {
            key: UPPER if up else LOWER
            for key, up in zip(before.tolist(), self.at_upper[again].tolist(), strict=True)
        }
        for at, key in enumerate(cuts.keys().tolist()):
            out[at] = place.get(key, BASIC)
        return out

    def price_at(self, market: Market, mine: Ints, number: int) -> Floats:
        """Return what each bid of a carrier would have paid, NaN in periods not cleared before."""
        slot = np.minimum(np.searchsorted(self.period, market.period), len(self.period) - 1)
        known = self.period[slot] == market.period
        at = (slot[market.slot[mine]], market.node[mine])
        price = self.price[number][at] + market.kvar_per_kw[mine] * self.reactive[number][at]
        return np.where(known[market.slot[mine]], price, np.nan)


def first_basis(market: Market, program: Program, *, warm: Warm | None = None) -> Basis:
    """Return the basis of the merit order, in periods cleared before that of their prices."""
    columns = np.full(len(program.linear.cost), LOWER, dtype=np.int8)
    rows = np.full(len(program.linear.row_lower), LOWER, dtype=np.int8)
    rows[program.condition_row :] = BASIC
    for number, block in enumerate(program.blocks):
        mine = np.flatnonzero(market.block == number)
        factor, tree = _price_factors(block, market, mine)
        price, marginal = _crossing(market, mine, factor)
        rank = price[market.slot[mine]] * factor
        better = market.side[mine] * (market.price[mine] - rank) > 0
        columns[mine[better]] = UPPER
        if warm is not None:
            seen = warm.price_at(market, mine, number)
            gain = market.side[mine] * (market.price[mine] - seen)
            again = ~np.isnan(seen)
            columns[mine[again]] = np.where(gain[again] > 0, UPPER, LOWER)
            setting = _setting(market, mine[again], gain[again])
            columns[setting] = BASIC
            marginal[market.slot[setting]] = setting
        columns[marginal[marginal >= 0]] = BASIC
        _network_basis(program, block, (columns, rows), states=(tree, price, marginal))
    return Basis(columns=columns, rows=rows)


def _setting(market: Market, rows: Ints, gain: Floats) -> Ints:
    """Return the first bid of each node and period whose price is that of the node: it set it before."""
    near = rows[np.abs(gain) <= 1e-9 * np.maximum(np.abs(market.price[rows]), 1e-9)]
    site = market.slot[near] * (int(market.node.max(initial=0)) + 1) + market.node[near]
    return near[np.unique(site, return_index=True)[1]]


def _network_basis(
    program: Program,
    block: Block,
    statuses: tuple[NDArray[np.int8], NDArray[np.int8]],
    *,
    states: tuple[Ints, Floats, Ints],
) -> None:
    columns, rows = statuses
    tree, price, marginal = states
    periods, size = program.periods, program.periods * block.nodes
    alone = np.flatnonzero(marginal < 0)
    if block.flow_column >= 0:
        used = block.flow_column + np.arange(periods)[:, None] * block.flows + tree
        columns[used] = BASIC
        rows[block.p_row + alone * block.nodes + block.inside] = BASIC
        return
    columns[block.p_column : block.p_column + size] = BASIC
    if block.q_column >= 0:
        columns[block.q_column : block.q_column + size] = BASIC
    rows[block.balance_row + alone] = BASIC
    if block.loss_column >= 0:
        dear = price > 0
        columns[block.loss_column + np.arange(periods)] = np.where(dear, BASIC, LOWER)
        rows[block.loss_row + np.arange(periods)] = np.where(dear, LOWER, BASIC)


def _crossing(market: Market, mine: Ints, factor: Floats) -> tuple[Floats, Ints]:
    """Return the price at the slack and the bid that sets it, per period (NaN and -1 without trade)."""
    price, marginal = np.full(len(market.period), np.nan), np.full(len(market.period), -1)
    if len(mine) == 0:
        return price, marginal
    referred = market.price[mine] / factor
    merit = merit_order(
        Bids(
            side=market.side[mine],
            price=referred,
            quantity=market.quantity[mine] * factor,
            period=market.slot[mine],
        )
    )
    price[merit.period] = merit.low
    setting = np.flatnonzero(referred == price[market.slot[mine]])
    marginal[market.slot[mine[setting[::-1]]]] = mine[setting[::-1]]
    price[marginal < 0] = np.nan
    return price, marginal


def _price_factors(block: Block, market: Market, mine: Ints) -> tuple[Floats, Ints]:
    """Return the price at each bid over that at the slack, and the flow columns that lead there."""
    if block.lines is not None:
        factor, tree = _tree_factors(block)
        return factor[market.node[mine]], tree
    network, factor = block.network, np.ones(len(mine))
    if network.loss_per_kw is not None:
        at = block.points[market.slot[mine]] if len(network.loss_per_kw) > 1 else 0
        factor = factor + network.loss_per_kw[at, market.node[mine]]
        if block.q_column >= 0 and network.loss_per_kvar is not None:
            factor = factor + network.loss_per_kvar[at, market.node[mine]] * market.kvar_per_kw[mine]
    return np.maximum(factor, 0.1), np.zeros(0, dtype=np.int64)


def line_tree(block: Block) -> tuple[Ints, Ints, Ints]:
    """Return nodes in breadth-first order from the slack, the parent of each and its line (-1: none)."""
    lines, count = block.lines, block.nodes
    parent, line = np.full(count, -1), np.full(count, -1)
    beside: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    if lines is not None:
        for number, (a, b) in enumerate(zip(lines.start.tolist(), lines.end.tolist(), strict=True)):
            beside[a].append((b, number))
            beside[b].append((a, number))
    order = [block.network.slack_position]
    seen = {order[0]}
    for node in order:
        for other, number in beside[node]:
            if other not in seen:
                seen.add(other)
                order.append(other)
                parent[other], line[other] = node, number
    return np.array(order), parent, line


def _tree_factors(block: Block) -> tuple[Floats, Ints]:
    """Follow lines away from the slack: each share lost makes the price beyond higher."""
    lines = block.lines
    factor, tree = np.ones(block.nodes), []
    if lines is None:
        return factor, np.zeros(0, dtype=np.int64)
    back = {int(number): len(lines) + place for place, number in enumerate(block.lossy.tolist())}
    order, parent, line = line_tree(block)
    for node in order[1:].tolist():
        number = int(line[node])
        factor[node] = factor[parent[node]] / (1 - lines.loss_share[number])
        forward = lines.end[number] == node
        tree.append(number if forward or number not in back else back[number])
    return factor, np.array(tree, dtype=np.int64)
