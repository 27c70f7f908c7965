"""Sellers of a flexibility market that is open: who joins it later, who leaves it, who comes back.

Who joins is numbered behind the sellers that are there, so their codes stay; those of the buyers, which
follow the sellers', move up by one.  What is known of a period is made wider when it is next looked at, so
joining costs the same however long the market has run.

Who leaves sells nothing more: what it offered and nobody took lapses.  What it sold and the contracts that it
holds bind it all the same, with the orders that stand in the name of a contract.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from gridagora.engine.flexibility import adjustment, auctions, redispatch, tenders
from gridagora.engine.flexibility.commands import (
    AddFlexSeller,
    AwardTender,
    DropFlexSeller,
    FlexCommand,
    SubmitFlexBids,
    SubmitFlexOrder,
    SubmitRedispatchOrder,
    SubmitTenderBid,
)
from gridagora.engine.flexibility.state import FlexMarketState, time_faults
from gridagora.errors import Fault, check_faults, require
from gridagora.market._capacity_reading import Reading
from gridagora.model.flexibility_events import (
    FlexBidsSubmitted,
    FlexBidsWithdrawn,
    FlexOrderCancelled,
    FlexSellerJoined,
    FlexSellerLeft,
    FlexSellerReturned,
    RedispatchOrderWithdrawn,
    TenderBidsWithdrawn,
)

Lapse = FlexBidsWithdrawn | TenderBidsWithdrawn | FlexOrderCancelled | RedispatchOrderWithdrawn


def add_seller(state: FlexMarketState, command: AddFlexSeller) -> FlexSellerJoined | FlexSellerReturned:
    """Let a connection point sell from now on; one that left and comes back keeps the connection it had."""
    terms, point, faults = state.open_terms, command.point, time_faults(state, command.at)
    name = point.participant
    if name in terms.buyers:
        fix = "call it something else"
        faults.append(_fault("participant", name, reason="is the name of a buyer", fix=fix))
    if name in terms.participants and name not in state.absent:
        faults.append(_fault("participant", name, reason="sells here already", fix="nothing is to be done"))
    if not name:
        faults.append(_fault("participant", name, reason="is no name", fix="write a text that is not empty"))
    for field in ("import_kw", "export_kw"):
        value = getattr(point, field)
        if not 0 <= value < np.inf:
            faults.append(_fault(field, value, reason="is no capacity >= 0", fix="write kW"))
    check_faults(faults)
    if name in state.absent:
        return FlexSellerReturned(at=command.at, participant=name)
    return FlexSellerJoined(at=command.at, code=len(terms.points), point=point)


def drop_seller(state: FlexMarketState, command: DropFlexSeller) -> FlexSellerLeft:
    """Let a seller offer nothing more; what it offered lapses."""
    faults, name = time_faults(state, command.at), command.participant
    sells = name in (point.participant for point in state.open_terms.points)
    if not sells or name in state.absent:
        faults.append(_fault("participant", name, reason="sells nothing here", fix="name a seller"))
    if not command.reason.strip():
        faults.append(_fault("reason", command.reason, reason="gives no reason", fix="tell why"))
    check_faults(faults)
    lapsed = tuple(_told(one) for one in _lapsing(state, name, at=command.at))
    return FlexSellerLeft(at=command.at, participant=name, reason=command.reason, lapsed=lapsed)


def apply_joined(state: FlexMarketState, event: FlexSellerJoined) -> FlexMarketState:
    """Add the point behind the others, and give the buyers their new codes."""
    terms, code = state.open_terms, event.code
    require(code == len(terms.points), "who joins is numbered behind the sellers that are there")
    entries = tuple(
        replace(entry, bids=tuple(_moved(part, code) for part in entry.bids)) if entry.bids else entry
        for entry in state.auctions
    )
    return replace(
        state,
        terms=replace(terms, points=(*terms.points, event.point)),
        auctions=entries,
        balance=np.insert(state.balance, code, 0),
    )


def apply_left(state: FlexMarketState, event: FlexSellerLeft) -> FlexMarketState:
    """Take out what the seller offered, and take nothing more from it."""
    for one in list(_lapsing(state, event.participant, at=event.at)):
        state = _LAPSES[type(one)](state, one)
    return replace(state, absent=(*state.absent, event.participant))


def apply_returned(state: FlexMarketState, event: FlexSellerReturned) -> FlexMarketState:
    """Take offers of the seller again."""
    return replace(state, absent=tuple(name for name in state.absent if name != event.participant))


def absent_faults(state: FlexMarketState, command: FlexCommand) -> Iterator[Fault]:
    """Yield a fault for each participant that offers something with a command, and has left."""
    if not state.absent:
        return
    for name in dict.fromkeys(_offering(command)):
        if name in state.absent:
            reason, fix = "sells nothing here any more: it left", "ask the operator to let it sell again"
            yield _fault("participant", name, reason=reason, fix=fix, code="participant_not_active")


def _offering(command: FlexCommand) -> list[Any]:
    """Return who offers something with a command."""
    match command:
        case SubmitFlexBids():
            bids = Reading.of(command.bids).bids
            return [] if bids is None else bids.participant.tolist()
        case SubmitFlexOrder():
            bid: Any = command.bid
            return [bid.get("participant") if isinstance(bid, Mapping) else bid.participant]
        case SubmitTenderBid():
            return [command.bid.participant]
        case SubmitRedispatchOrder():
            return [command.order.participant]
        case AwardTender():
            return [bid.participant for bid in command.bids]
    return []


def _lapsing(state: FlexMarketState, name: str, *, at: int) -> Iterator[Lapse]:
    """Yield what takes each offer of a seller out that stands."""
    code = state.open_terms.participants.index(name)
    for number, entry in enumerate(state.auctions):
        if any((part.participant == code).any() for part in entry.bids):
            yield FlexBidsWithdrawn(at=at, auction=number, participant=code)
    for waiting in state.tenders:
        if waiting.awarded is None and any(bid.participant == name for bid in waiting.bids):
            yield TenderBidsWithdrawn(at=at, tender=waiting.tender.name, participant=name)
    for (product, _), book in zip(state.open_terms.products, state.books, strict=True):
        for resting in (*book.buys, *book.sells):
            bid = resting.bid
            expired = bid.valid_until is not None and bid.valid_until <= at
            if bid.participant == name and not bid.contract and not expired:
                yield FlexOrderCancelled(at=at, product=product, number=bid.number, participant=name)
    for order in state.willing:
        if order.participant == name:
            yield RedispatchOrderWithdrawn(at=at, participant=name, period=order.period)


def _told(lapse: Lapse) -> str:
    """Return an offer that lapses in words."""
    match lapse:
        case FlexBidsWithdrawn():
            return f"offer in auction {lapse.auction}"
        case TenderBidsWithdrawn():
            return f"bid in tender {lapse.tender}"
        case FlexOrderCancelled():
            return f"order {lapse.number} for {lapse.product}"
    return f"order of redispatch for period {lapse.period}"


_LAPSES: Mapping[type, Any] = MappingProxyType(
    {
        FlexBidsWithdrawn: auctions.apply_withdrawn,
        TenderBidsWithdrawn: tenders.apply_withdrawn,
        FlexOrderCancelled: adjustment.apply_cancelled,
        RedispatchOrderWithdrawn: redispatch.apply_order_withdrawn,
    }
)


def _moved(part: FlexBidsSubmitted, code: int) -> FlexBidsSubmitted:
    return replace(part, participant=part.participant + (part.participant >= code))


def _fault(place: str, value: object, *, reason: str, fix: str, code: str = "") -> Fault:
    return Fault(
        source="flexibility market, sellers", place=place, value=value, reason=reason, fix=fix, code=code
    )
