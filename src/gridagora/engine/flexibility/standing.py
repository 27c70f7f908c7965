"""Reserved power that is called in the continuous market: orders to sell that name their contract (LONG).

A called holder owes orders at the contract's cap or less; a contract with ``auto_offer`` puts them in by
itself.  What was sold by such orders, and what stood in the book until the gate of its period, was offered;
what was taken back, ran out or was killed before was not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from gridagora.engine.flexibility.positions import free_kw, paid_kw
from gridagora.engine.flexibility.state import ContractState, FlexMarketState
from gridagora.model.columns import Floats
from gridagora.model.continuous import W_PER_KW, FlexBid, FlexBookState, FlexEnd, FlexTrade
from gridagora.units import MICRO


def cap_price(state: FlexMarketState, held: ContractState) -> float:
    """Return the dearest price of a called holder, currency per kW and period."""
    return held.contract.activation_cap_micro_per_kwh / MICRO * state.open_terms.period_hours


def orders_of_call(
    state: FlexMarketState,
    held: ContractState,
    periods: Sequence[int],
    *,
    requested_kw: Sequence[float],
    at: int,
) -> tuple[FlexBid, ...]:
    """Return the orders that a call of a contract makes: what is owed and neither sold nor offered yet.

    ``requested_kw``: kW per period, >= 0.  Neighbouring periods of equal power are one order, in whole watts.
    """
    contract = held.contract
    if contract.activation != "continuous" or not contract.auto_offer:
        return ()
    first, count = min(periods), len(periods)
    name = state.open_terms.products[held.product][0]
    free = free_kw(state, name, first, count=count, at=at)[:, held.point]
    asked = dict(zip(periods, requested_kw, strict=True))
    owed = np.array([min(contract.kw_in(period), asked[period]) for period in range(first, first + count)])
    missing = owed - _counted(state, held, first, count=count) - _resting(state, held, first, count=count)
    room = np.floor(np.maximum(free, 0.0) * W_PER_KW + 1e-6)
    watts = np.minimum(np.rint(missing * W_PER_KW), room).astype(np.int64)
    breaks = np.flatnonzero(np.diff(watts)) + 1
    number = state.books[held.product].last_number + 1
    orders: list[FlexBid] = []
    for run in np.split(np.arange(count), breaks):
        if watts[run[0]] > 0:
            orders.append(
                FlexBid(
                    number=number + len(orders),
                    participant=contract.seller,
                    side="sell",
                    direction=contract.product.direction,
                    first=first + int(run[0]),
                    periods=len(run),
                    quantity_kw=int(watts[run[0]]) / W_PER_KW,
                    price=cap_price(state, held),
                    contract=contract.id,
                )
            )
    return tuple(orders)


def count_sold(state: FlexMarketState, held: ContractState, periods: Sequence[int]) -> ContractState:
    """Return a called contract with what its holder sold by other means as offered."""
    if held.contract.activation != "continuous":
        return held
    first = min(periods)
    offered = held.offered_kw.copy()
    rows = [held.contract.periods.index(period) for period in sorted(periods)]
    offered[rows] = _counted(state, held, first, count=len(periods))
    return replace(held, offered_kw=offered)


def tally_book(
    state: FlexMarketState, before: FlexBookState, *, trades: Iterable[FlexTrade], ended: Iterable[FlexEnd]
) -> FlexMarketState:
    """Note what orders of contracts sold, and what of them stood in the book ``before`` until its gate."""
    parts: list[tuple[str, FlexTrade | FlexEnd]] = [(trade.contract, trade) for trade in trades]
    closed = [end for end in ended if end.reason == "closed"]
    if closed:
        named = {entry.bid.number: entry.bid.contract for entry in before.sells}
        parts += [(named.get(end.number, ""), end) for end in closed]
    for contract, part in parts:
        if contract:
            state = _offered(state, contract, part)
    return state


def ask_at_gate(state: FlexMarketState, first: int, count: int) -> FlexMarketState:
    """Note what holders owed to the continuous market in [first, first + count), whose gate closes now."""
    contracts = []
    for held in state.contracts:
        asked = held.asked_kw.copy()
        for place, period in enumerate(held.contract.periods):
            if held.contract.activation == "continuous" and 0 <= period - first < count:
                asked[place] = held.owed_kw(period)
        contracts.append(replace(held, asked_kw=asked))
    return replace(state, contracts=tuple(contracts))


def _offered(state: FlexMarketState, contract: str, part: FlexTrade | FlexEnd) -> FlexMarketState:
    contracts = list(state.contracts)
    for number, held in enumerate(contracts):
        if held.contract.id == contract and held.contract.activation == "continuous":
            offered = held.offered_kw.copy()
            for place, period in enumerate(held.contract.periods):
                if part.first <= period < part.first + part.periods:
                    offered[place] += part.quantity_kw
            contracts[number] = replace(held, offered_kw=offered)
    return replace(state, contracts=tuple(contracts))


def _counted(state: FlexMarketState, held: ContractState, first: int, *, count: int) -> Floats:
    """Return what a contract offered in [first, first + count), with sales that no contract counts."""
    name = state.open_terms.products[held.product][0]
    sold = np.maximum(paid_kw(state, name, first, count=count)[:, held.point], 0.0)
    for other in state.contracts:
        if (other.product, other.point) == (held.product, held.point):
            sold -= _by_period(other, other.offered_kw, first, count=count)
    own = _by_period(held, held.offered_kw, first, count=count)
    owed = np.array([held.contract.kw_in(period) for period in range(first, first + count)])
    return np.asarray(np.maximum(own, np.minimum(own + np.maximum(sold, 0.0), owed)))


def _resting(state: FlexMarketState, held: ContractState, first: int, *, count: int) -> Floats:
    """Return what rests in the book in the contract's name, kW in each period."""
    resting = np.zeros(count)
    for entry in state.books[held.product].sells:
        bid = entry.bid
        if bid.contract == held.contract.id:
            open_kw = np.repeat(entry.open_w, bid.block_periods) / W_PER_KW
            for period in range(max(first, bid.first), min(first + count, bid.end)):
                resting[period - first] += open_kw[period - bid.first]
    return resting


def _by_period(held: ContractState, values: Floats, first: int, *, count: int) -> Floats:
    table = np.zeros(count)
    for period, value in zip(held.contract.periods, values.tolist(), strict=True):
        if 0 <= period - first < count:
            table[period - first] = value
    return table
