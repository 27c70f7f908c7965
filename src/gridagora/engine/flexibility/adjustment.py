"""Adjustment (continuous): anyone may buy or sell until the gate of a period closes, pay-as-bid.

A seller may buy back what it sold, so that it has less to deliver, and sell more up to its connection
capacity; what rests in the book counts as if it had traded.  A grid operator buys as it likes and sells what
it bought.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gridagora.engine.flexibility.commands import CancelFlexOrder, SubmitFlexOrder
from gridagora.engine.flexibility.order_fields import read_bid
from gridagora.engine.flexibility.positions import free_kw, paid_kw, resting_kw
from gridagora.engine.flexibility.standing import cap_price, tally_book
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
    bid, wrong, unread = read_bid(command.bid, number=max(book.last_number for book in state.books) + 1)
    faults += [*product_faults(terms, command.product, source=f"flexibility bid {bid.number}"), *wrong]
    trades: tuple[FlexTrade, ...] = ()
    status = ""
    # gates of a product that does not exist are those of the first book
    known = not product_faults(terms, command.product, source="")
    product = product_number(terms, command.product) if known else 0
    found = [*_order_faults(state, command, bid, product=product if known else None)]
    try:
        _, trades, outcome = short_flex.submit(
            state.books[product],
            bid,
            at=max(command.at, state.books[product].at),
            open_from=open_from(state, command.at),
        )
        status = outcome.status
    except InputError as error:
        found += [fault for fault in error.faults if known or fault.place != "number"]
    faults += [fault for fault in found if not unread & set(fault.place.split(", "))]
    check_faults(faults)
    return FlexOrderTaken(at=command.at, product=command.product, bid=bid, trades=trades, outcome=status)


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
    state, trades = placed(state, product_number(state.open_terms, event.product), event.bid, at=event.at)
    require(trades == event.trades, f"bid {event.bid.number} does not trade as its event says")
    return state


def placed(
    state: FlexMarketState, product: int, bid: FlexBid, *, at: int
) -> tuple[FlexMarketState, tuple[FlexTrade, ...]]:
    """Return the state after a bid entered the book of a product, and its trades."""
    terms, before = state.open_terms, state.books[product]
    book, trades, outcome = short_flex.submit(before, bid, at=at, open_from=open_from(state, at))
    state = _with_book(state, product, book)
    code = {name: number for number, name in enumerate(terms.participants)}
    for trade in trades:
        state = _with_trade(state, product, trade, codes=(code[trade.buyer], code[trade.seller]))
    return tally_book(state, before, trades=trades, ended=outcome.ended), trades


def apply_cancelled(state: FlexMarketState, event: FlexOrderCancelled) -> FlexMarketState:
    """Take the bid out of its book."""
    product = product_number(state.open_terms, event.product)
    before = state.books[product]
    book, ended = short_flex.cancel(before, event.number, participant=event.participant, at=event.at)
    return tally_book(_with_book(state, product, book), before, trades=(), ended=ended)


def close_books(state: FlexMarketState, *, before: int, at: int) -> FlexMarketState:
    """End what rests for periods before one."""
    for product, book in enumerate(state.books):
        after, ended = short_flex.close(book, before_period=before, at=at)
        state = tally_book(_with_book(state, product, after), book, trades=(), ended=ended)
    return state


def open_from(state: FlexMarketState, at: int) -> int:
    """Return the first period that can still be adjusted at a moment."""
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


def _order_faults(
    state: FlexMarketState, command: SubmitFlexOrder, bid: FlexBid, *, product: int | None
) -> Iterator[Fault]:
    """Faults of a bid against the market; ``product`` None: of a product that does not exist."""
    terms = state.open_terms
    if product is not None and bid.direction != terms.products[product][1].direction:
        direction = terms.products[product][1].direction
        reason = f"product {command.product} is a {direction}"
        yield _fault(bid, "direction", bid.direction, reason=reason, fix=f"write {direction}")
    inside = terms.first <= bid.first and bid.end <= terms.end
    if not inside:
        fix = f"choose periods of {terms.first} to {terms.end - 1}"
        yield _fault(bid, "first, periods", (bid.first, bid.periods), reason="is outside the market", fix=fix)
    if bid.participant not in terms.participants:
        fix = "name a connection point or a buyer of the market"
        yield _fault(bid, "participant", bid.participant, reason="unknown participant", fix=fix)
    elif inside and product is not None:
        yield from _room_faults(state, bid, product, at=command.at)
    if bid.area:
        yield from _area_faults(state, bid)
    if bid.contract and product is not None:
        yield from _contract_faults(state, bid, product)


def _area_faults(state: FlexMarketState, bid: FlexBid) -> Iterator[Fault]:
    """Faults of an order for an area: it exists, and a connection point lies in it."""
    terms = state.open_terms
    members = dict(terms.areas).get(bid.area)
    if members is None:
        known = ", ".join(name for name, _ in terms.areas)
        fix = f"write one of {known}" if known else "leave it out: the market has no areas"
        yield _fault(bid, "area", bid.area, reason="area does not exist", fix=fix)
    elif bid.participant not in members and bid.participant not in terms.buyers:
        reason, fix = f"{bid.participant} is not in this area", f"it is of {', '.join(members[:5])}"
        yield _fault(bid, "area", bid.area, reason=reason, fix=fix)


def _contract_faults(state: FlexMarketState, bid: FlexBid, product: int) -> Iterator[Fault]:
    """Faults of an order in the name of a contract: whose it is, of what, when, and at which price."""
    held = next((held for held in state.contracts if held.contract.id == bid.contract), None)
    if held is None or held.contract.seller != bid.participant or held.product != product:
        reason = f"is no contract of {bid.participant} for this product"
        yield _fault(bid, "contract", bid.contract, reason=reason, fix="leave it out, or name its own")
        return
    outside = sorted(set(range(bid.first, bid.end)) - set(held.contract.periods))
    if outside:
        reason, fix = f"period {outside[0]} is outside the contract's calendar", "order the rest without it"
        yield _fault(bid, "first, periods", (bid.first, bid.periods), reason=reason, fix=fix)
    cap = cap_price(state, held)
    if bid.price > cap + LEAST_KW:
        reason = f"is above the activation cap of contract {bid.contract}, {cap:g} per kW and period"
        yield _fault(bid, "price", bid.price, reason=reason, fix=f"write {cap:g} or less")


def _room_faults(state: FlexMarketState, bid: FlexBid, product: int, *, at: int) -> Iterator[Fault]:
    """Faults of a bid for more than its participant can still sell, or has to give back."""
    terms, name = state.open_terms, state.open_terms.products[product][0]
    code, who = terms.participants.index(bid.participant), bid.participant
    is_point = code < len(terms.points)
    if bid.side == "buy" and not is_point:
        return
    sold = paid_kw(state, name, bid.first, count=bid.periods)[:, code]
    if bid.side == "sell" and is_point:
        room = free_kw(state, name, bid.first, count=bid.periods, at=at)[:, code]
        most = float(terms.capacity_kw(name)[code])
        reason = f"is above the connection capacity of {who}, {shown(most)}, less what is sold or offered"
    else:
        window = (bid.first, bid.periods)
        room = sold - resting_kw(state.books[product], who, bid.side, window=window, at=at)
        reason = f"buys back more than {who} sold" if is_point else f"sells more than {who} bought"
    place = int(np.argmin(room))
    if bid.quantity_kw > room[place] + LEAST_KW:
        fix = f"write at most {shown(max(float(room[place]), 0.0))} in period {bid.first + place}"
        yield _fault(bid, "quantity_kw", bid.quantity_kw, reason=reason, fix=fix)


def _fault(bid: FlexBid, place: str, value: object, *, reason: str, fix: str) -> Fault:
    return Fault(source=f"flexibility bid {bid.number}", place=place, value=value, reason=reason, fix=fix)
