"""Adjustment (continuous): anyone may buy or sell until the gate of a period closes, pay-as-bid.

A seller may buy back what it sold, so that it has less to deliver, and sell more up to its connection
capacity; what rests in the book counts as if it had traded.  A grid operator buys as it likes and sells what
it bought.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gridagora.engine.flexibility.commands import CancelFlexOrder, SubmitFlexOrder
from gridagora.engine.flexibility.positions import free_kw, resting_kw, sold_kw
from gridagora.engine.flexibility.state import (
    LEAST_KW,
    FlexMarketState,
    product_faults,
    product_number,
    shown,
    time_faults,
)
from gridagora.errors import Fault, InputError, check_faults, require
from gridagora.market import short_flex
from gridagora.model.continuous import FlexBid, FlexBookState, FlexTrade
from gridagora.model.flexibility_events import FlexOrderCancelled, FlexOrderTaken
from gridagora.units import to_micro


def take_order(state: FlexMarketState, command: SubmitFlexOrder) -> FlexOrderTaken:
    """Take a bid into the book of its product, and trade what it can at once."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    faults += product_faults(terms, command.product, source=f"flexibility bid {command.bid.number}")
    trades: tuple[FlexTrade, ...] = ()
    status = ""
    if not faults:
        product = product_number(terms, command.product)
        faults += _order_faults(state, command, product)
        try:
            _, trades, outcome = short_flex.submit(
                state.books[product], command.bid, at=command.at, open_from=_open_from(state, command.at)
            )
            status = outcome.status
        except InputError as error:
            faults += error.faults
    check_faults(faults)
    return FlexOrderTaken(
        at=command.at, product=command.product, bid=command.bid, trades=trades, outcome=status
    )


def cancel_order(state: FlexMarketState, command: CancelFlexOrder) -> FlexOrderCancelled:
    """Take a resting bid back."""
    terms, faults = state.open_terms, time_faults(state, command.at)
    faults += product_faults(terms, command.product, source=f"flexibility bid {command.number}")
    check_faults(faults)
    book = state.books[product_number(terms, command.product)]
    short_flex.cancel(book, command.number, participant=command.participant, at=command.at)
    return FlexOrderCancelled(
        at=command.at, product=command.product, number=command.number, participant=command.participant
    )


def apply_taken(state: FlexMarketState, event: FlexOrderTaken) -> FlexMarketState:
    """Move the book on, and book the trades with their periods."""
    terms = state.open_terms
    product = product_number(terms, event.product)
    book, trades, _ = short_flex.submit(
        state.books[product], event.bid, at=event.at, open_from=_open_from(state, event.at)
    )
    require(trades == event.trades, f"bid {event.bid.number} does not trade as its event says")
    state = _with_book(state, product, book)
    code = {name: number for number, name in enumerate(terms.participants)}
    for trade in event.trades:
        state = _with_trade(state, product, trade, codes=(code[trade.buyer], code[trade.seller]))
    return state


def apply_cancelled(state: FlexMarketState, event: FlexOrderCancelled) -> FlexMarketState:
    """Take the bid out of its book."""
    product = product_number(state.open_terms, event.product)
    book, _ = short_flex.cancel(
        state.books[product], event.number, participant=event.participant, at=event.at
    )
    return _with_book(state, product, book)


def close_books(state: FlexMarketState, *, before: int, at: int) -> FlexMarketState:
    """End what rests for periods before one."""
    books = tuple(short_flex.close(book, before_period=before, at=at)[0] for book in state.books)
    return replace(state, books=books)


def _open_from(state: FlexMarketState, at: int) -> int:
    terms = state.open_terms
    return max(state.open_from, terms.open_from(at, lead=terms.gate_closure_periods))


def _with_book(state: FlexMarketState, product: int, book: FlexBookState) -> FlexMarketState:
    return replace(state, books=(*state.books[:product], book, *state.books[product + 1 :]))


def _with_trade(
    state: FlexMarketState, product: int, trade: FlexTrade, *, codes: tuple[int, int]
) -> FlexMarketState:
    """Book a trade: points sell more (+) or less (-), grid operators hold more (+) or less (-)."""
    buyer, seller = codes
    points = len(state.open_terms.points)
    amount = int(to_micro(trade.price * trade.quantity_kw))
    changed = {}
    for number in range(trade.first, trade.first + trade.periods):
        old = state.period(number)
        kw, money = old.adjusted_kw.copy(), old.adjusted_micro.copy()
        kw[product, buyer] += -trade.quantity_kw if buyer < points else trade.quantity_kw
        kw[product, seller] += trade.quantity_kw if seller < points else -trade.quantity_kw
        money[product, buyer] -= amount
        money[product, seller] += amount
        changed[number] = replace(old, adjusted_kw=kw, adjusted_micro=money)
    return state.with_periods(changed)


def _order_faults(state: FlexMarketState, command: SubmitFlexOrder, product: int) -> Iterator[Fault]:
    terms, bid = state.open_terms, command.bid
    direction = terms.product(command.product).direction
    if bid.direction != direction:
        reason = f"product {command.product} is a {direction}"
        yield _fault(bid, "direction", bid.direction, reason=reason, fix=f"write {direction}")
    inside = terms.first <= bid.first and bid.end <= terms.end
    if not inside:
        fix = f"choose periods of {terms.first} to {terms.end - 1}"
        yield _fault(bid, "first, periods", (bid.first, bid.periods), reason="is outside the market", fix=fix)
    if bid.participant not in terms.participants:
        fix = "name a connection point or a buyer of the market"
        yield _fault(bid, "participant", bid.participant, reason="unknown participant", fix=fix)
    elif inside:
        yield from _room_faults(state, command, product)
    held = {known.contract.id: known.contract.seller for known in state.contracts}
    if bid.contract and held.get(bid.contract) != bid.participant:
        reason = f"is no contract of {bid.participant}"
        yield _fault(bid, "contract", bid.contract, reason=reason, fix="leave it out, or name its own")


def _room_faults(state: FlexMarketState, command: SubmitFlexOrder, product: int) -> Iterator[Fault]:
    """Faults of a bid for more than its participant can still sell, or has to give back."""
    terms, bid, name = state.open_terms, command.bid, command.product
    code, who = terms.participants.index(bid.participant), bid.participant
    is_point = code < len(terms.points)
    if bid.side == "buy" and not is_point:
        return
    sold = sold_kw(state, name, bid.first, count=bid.periods)[:, code]
    if bid.side == "sell" and is_point:
        room = free_kw(state, name, bid.first, count=bid.periods, at=command.at)[:, code]
        most = float(terms.capacity_kw(name)[code])
        reason = f"is above the connection capacity of {who}, {shown(most)}, less what is sold or offered"
    else:
        window = (bid.first, bid.periods)
        room = sold - resting_kw(state.books[product], who, bid.side, window=window, at=command.at)
        reason = f"buys back more than {who} sold" if is_point else f"sells more than {who} bought"
    place = int(np.argmin(room))
    if bid.quantity_kw > room[place] + LEAST_KW:
        fix = f"write at most {shown(max(float(room[place]), 0.0))} in period {bid.first + place}"
        yield _fault(bid, "quantity_kw", bid.quantity_kw, reason=reason, fix=fix)


def _fault(bid: FlexBid, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=f"flexibility bid {bid.number}", place=place, value=value, reason=reason, fix=fix)
