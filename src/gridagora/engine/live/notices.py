"""What participants are told of what happens: one short text per event and participant.  Pure."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from gridagora.engine.live.held import BREACH, EMERGENCY
from gridagora.engine.live.state import LiveState
from gridagora.model.events import AuctionCleared, Event, SessionSettled
from gridagora.model.flexibility_events import (
    ContractDispatched,
    FlexAuctionCleared,
    FlexSellerJoined,
    FlexSellerLeft,
    FlexSellerReturned,
    FlexSettled,
    ReservationReleased,
    ReservationsCalled,
    TenderAwarded,
)
from gridagora.model.live_events import (
    BidsTaken,
    BidsWithdrawn,
    ClockAccepted,
    DisputeDecided,
    DisputeRaised,
    FindingsNoted,
    GateClosed,
    LimitDeclared,
    LimitsBroken,
    MoneyMoved,
    ResourceKept,
    SessionCalledOff,
    SessionPublished,
    SettledBySchedule,
    SettlementCorrected,
    SettlementStuck,
)
from gridagora.model.money_events import InvoicesIssued, PaymentsClosed
from gridagora.units import WH_PER_KWH, money_text

MOST_LAPSED = 20
"""Offers that one notice names."""

OPERATORS = ""
"""Stands for those who operate the market where a participant stands else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """Something that happened to a participant; ``id`` is the number of the event.

    What the operators of the market are told is of `OPERATORS`.
    """

    id: int
    at: int
    participant: str
    topic: str
    text: str
    session: int | None = None


def notices(seq: int, event: Event, state: LiveState) -> Iterator[Notice]:
    """Yield what participants are told of an event; the state is that after it."""
    tell = _TELLERS.get(type(event))
    if tell is None:
        return
    for participant, topic, text, session in tell(event, state):
        yield Notice(id=seq, at=event.at, participant=participant, topic=topic, text=text, session=session)


Told = Iterator[tuple[str, str, str, int | None]]


def _bids(event: BidsTaken, _: LiveState) -> Told:
    last = event.number + len(event.period) - 1
    which = f"Bid {event.number}" if last == event.number else f"Bids {event.number} to {last}"
    yield event.participant, "bids", f"{which} taken.", event.session


def _withdrawn(event: BidsWithdrawn, _: LiveState) -> Told:
    count = len(event.numbers)
    yield event.participant, "bids", f"{count} bid{'' if count == 1 else 's'} taken back.", event.session


def _gate(event: GateClosed, state: LiveState) -> Told:
    bidding = {bids.participant for bids in state.sessions[event.session].book.taken}
    for name in sorted(bidding & set(event.participants)):
        yield name, "session", f"The gate of session {event.session} has closed.", event.session


def _called_off(event: SessionCalledOff, state: LiveState) -> Told:
    text = f"Session {event.session} was called off: its bids are free. {event.reason}"
    for name in sorted({bids.participant for bids in state.sessions[event.session].book.taken}):
        yield name, "session", text, event.session


def _published(event: SessionPublished, state: LiveState) -> Told:
    session = state.sessions[event.session]
    gate, cleared = session.closed, session.auction
    count = len(gate.bids)
    accepted = (session.decided or cleared).accepted[:count]
    for code in np.unique(cleared.participant[:count]).tolist():
        own = cleared.participant[:count] == code
        wanted, got = int(cleared.quantity[:count][own].sum()), int(accepted[own].sum())
        text = f"{_kwh(got)} of {_kwh(wanted)} bid in session {event.session} were accepted."
        yield gate.participants[code], "trades", text, event.session


def _findings(event: FindingsNoted, _: LiveState) -> Told:
    for participant in dict.fromkeys(event.participant):
        mine = [told for name, told in zip(event.participant, event.told, strict=True) if name == participant]
        more = f" And {len(mine) - 1} more." if len(mine) > 1 else ""
        yield participant, "readings", f"Readings from {event.source}: {mine[0]}.{more}", None


def _limit(event: LimitDeclared, state: LiveState) -> Told:
    if event.place_kind == "participant":
        what = "Emergency limit" if event.emergency else "Limit"
        text = (
            f"{what} {event.id}: import {_kw(event.import_kw)}, export {_kw(event.export_kw)}. {event.reason}"
        )
        yield event.place, "limits", text.strip(), None


def _signed(micro: int) -> str:
    """Return an amount with its sign; parts of a cent are told where there are some.

    >>> _signed(20_000_000), _signed(-1_506), _signed(0)
    ('+20.00', '-0.001506', '+0.00')
    """
    cents, parts = money_text(abs(micro))[:-4], money_text(abs(micro))[-4:]
    return f"{'-' if micro < 0 else '+'}{cents}{parts.rstrip('0')}"


def _broken(event: LimitsBroken, state: LiveState) -> Told:
    for id_ in dict.fromkeys(event.limit):
        limit = state.limits.get(id_)
        if limit is not None and limit.place_kind == "participant":
            yield limit.place, "limits", f"Delivery went beyond limit {id_}.", event.session


def _settled(event: SessionSettled, state: LiveState) -> Told:
    totals = event.lines.total.sum(axis=0)
    for name, total in zip(state.sessions[event.session].closed.participants, totals.tolist(), strict=True):
        text = f"Session {event.session} is settled: {_signed(total)} {state.open_terms.currency}."
        yield name, "settlement", text, event.session


def _stuck(event: SettlementStuck, _: LiveState) -> Told:
    text = f"Session {event.session} cannot be settled, and those after it wait: {event.reason}"
    yield OPERATORS, "settlement", text, event.session


def _by_schedule(event: SettledBySchedule, state: LiveState) -> Told:
    text = f"Session {event.session} is settled by schedule, not by readings. {event.reason}"
    for name in (OPERATORS, *state.sessions[event.session].closed.participants):
        yield name, "settlement", text, event.session


def _clock(event: ClockAccepted, _: LiveState) -> Told:
    text = f"{event.actor} accepted a clock {event.at - event.since} s after the last event. {event.reason}"
    yield OPERATORS, "session", text, None


def _corrected(event: SettlementCorrected, state: LiveState) -> Told:
    totals = event.lines.total.sum(axis=0)
    for name, total in zip(state.sessions[event.session].closed.participants, totals.tolist(), strict=True):
        if total:
            text = f"Session {event.session} was settled again: {_signed(total)}."
            yield name, "settlement", text, event.session


LIMIT_MONEY = {BREACH: "Energy beyond a limit:", EMERGENCY: "Having kept an emergency limit:"}


def _session(event: MoneyMoved) -> int:
    return int(event.reference.rpartition(" ")[2])


def _moved(event: MoneyMoved, _: LiveState) -> Told:
    for account, amount in zip(event.accounts, event.amount.tolist(), strict=True):
        kind, _sep, name = account.partition(":")
        if event.kind in LIMIT_MONEY and kind == "participant":
            yield name, "limits", f"{LIMIT_MONEY[event.kind]} {_signed(amount)}.", _session(event)
        if kind == "wallet":
            yield name, "settlement", f"Wallet {_signed(amount)} ({event.kind}).", None


def _kept(event: ResourceKept, state: LiveState) -> Told:
    record = state.register.get(event.kind, event.id)
    owner = "" if record is None else str(record.body.get("participant", ""))
    if event.kind == "participant":
        owner = event.id
    if owner:
        why = "" if record is None or event.status != "rejected" else str(record.body.get("reason", ""))
        text = f"{event.kind.replace('_', ' ').capitalize()} {event.id} is {event.status}. {why}"
        yield owner, "register", text.strip(), None


def _raised(event: DisputeRaised, _: LiveState) -> Told:
    yield event.participant, "disputes", f"Dispute {event.id} was raised.", event.session


def _decided(event: DisputeDecided, state: LiveState) -> Told:
    raised = state.disputes[event.id].raised
    word = "accepted" if event.accepted else "rejected"
    yield (
        raised.participant,
        "disputes",
        f"Dispute {event.id} was {word}. {event.reason}".strip(),
        raised.session,
    )


def _issued(event: InvoicesIssued, state: LiveState) -> Told:
    for name, number, payable in zip(event.participant, event.number, event.payable.tolist(), strict=True):
        due = f"{_money(abs(payable), state)} {'is to be paid' if payable > 0 else 'is paid out'}"
        text = f"Bill {number} of {event.month} is issued: {due if payable else 'nothing is to be paid'}."
        yield name, "bills", text, None


def _closed(event: PaymentsClosed, state: LiveState) -> Told:
    for id_ in event.payment:
        payment = state.billed.payments.get(id_)
        if payment is not None:
            what = f"{payment.kind.replace('_', '-').capitalize()} {id_} of {_money(payment.amount, state)}"
            text = f"{what} was {'paid' if event.outcome == 'paid' else 'returned'}. {event.reason}"
            yield payment.participant, "bills", text.strip(), None


def _joined(event: FlexSellerJoined, _: LiveState) -> Told:
    yield event.point.participant, "flexibility", "Flexibility can be sold from now on.", None


def _returned(event: FlexSellerReturned, _: LiveState) -> Told:
    yield event.participant, "flexibility", "Flexibility can be sold again.", None


def _left(event: FlexSellerLeft, _: LiveState) -> Told:
    more = len(event.lapsed) - MOST_LAPSED
    listed = ", ".join(event.lapsed[:MOST_LAPSED]) + (f" and {more} more" if more > 0 else "")
    text = f"Flexibility cannot be sold any more: {event.reason}."
    yield event.participant, "flexibility", f"{text} Lapsed: {listed}." if listed else text, None


def _flex_cleared(event: FlexAuctionCleared, state: LiveState) -> Told:
    names = state.flex.open_terms.participants_then(len(event.capacity_kw))
    sold = (event.side < 0) & ~event.obligated
    hours = state.open_terms.hours
    for code in np.unique(event.participant[sold]).tolist():
        own = sold & (event.participant == code)
        got, offered = (float(kw[own].sum()) * hours for kw in (event.accepted_kw, event.quantity_kw))
        text = f"{got:.6g} of {offered:.6g} kWh offered in auction {event.auction.number} were taken."
        yield names[code], "flexibility", text, None


def _answered(event: TenderAwarded, _: LiveState) -> Told:
    answers: dict[int, list[str]] = {}
    for bid, window, reason in zip(event.bid, event.window, event.reason, strict=True):
        kw = float(event.volume_kw[bid, window])
        word = f"{kw:.6g} kW accepted, {reason}" if kw > 0 else f"rejected, {reason}"
        answers.setdefault(bid, []).append(f"window {window}: {word}")
    for bid, told in answers.items():
        yield (
            event.participant[bid],
            "flexibility",
            f"Tender {event.tender} is decided. {'; '.join(told)}.",
            None,
        )


def _released(event: ReservationReleased, state: LiveState) -> Told:
    listed = ", ".join(f"{kw:.6g} kW in period {n}" for n, kw in zip(event.periods, event.kw, strict=True))
    for entry in state.flex.contracts:
        if entry.contract.id == event.contract:
            text = f"Contract {event.contract} was released: reserved are now {listed}."
            yield entry.contract.seller, "activations", text, None


def _flex_settled(event: FlexSettled, state: LiveState) -> Told:
    names = state.flex.open_terms.participants_then(len(event.fee_micro))
    total = np.zeros(len(names), np.int64)
    own = event.account < len(names)
    np.add.at(total, event.account[own], event.amount[own])
    last = event.first + event.count - 1
    which = f"period {last} is" if event.count == 1 else f"periods {event.first} to {last} is"
    for code in np.unique(event.account[own]).tolist():
        text = f"Flexibility of {which} settled: {_signed(int(total[code]))} {state.open_terms.currency}."
        yield names[code], "settlement", text, None


def _called(event: ReservationsCalled, state: LiveState) -> Told:
    sellers = {entry.contract.id: entry.contract.seller for entry in state.flex.contracts}
    for id_ in event.contracts:
        text = f"Contract {id_} was called for {len(event.periods)} period{'s' * (len(event.periods) != 1)}."
        yield sellers[id_], "activations", text, None


def _dispatched(event: ContractDispatched, state: LiveState) -> Told:
    for entry in state.flex.contracts:
        if entry.contract.id == event.contract:
            yield entry.contract.seller, "activations", f"Contract {event.contract} was dispatched.", None


def _money(micro: int, state: LiveState) -> str:
    return f"{money_text(micro, digits=2)} {state.open_terms.currency}"


def _kwh(wh: int) -> str:
    return f"{wh / WH_PER_KWH:g} kWh"


def _kw(kw: float) -> str:
    return f"{kw:g} kW" if np.isfinite(kw) else "unlimited"


def _cleared(event: AuctionCleared, state: LiveState) -> Told:
    gate = state.sessions[event.session].closed
    inside = set(gate.bids.tolist())
    for bids in state.sessions[event.session].book.taken:
        if bids.participant not in gate.participants and bids.number not in inside:
            text = "Bids were left out: the participant was no longer active at the gate."
            yield bids.participant, "bids", text, event.session


_TELLERS: Mapping[type, Callable[[Any, LiveState], Told]] = MappingProxyType(
    {
        BidsTaken: _bids,
        BidsWithdrawn: _withdrawn,
        GateClosed: _gate,
        SessionCalledOff: _called_off,
        AuctionCleared: _cleared,
        SessionPublished: _published,
        FindingsNoted: _findings,
        LimitDeclared: _limit,
        LimitsBroken: _broken,
        SessionSettled: _settled,
        SettlementStuck: _stuck,
        SettledBySchedule: _by_schedule,
        ClockAccepted: _clock,
        SettlementCorrected: _corrected,
        MoneyMoved: _moved,
        ResourceKept: _kept,
        DisputeRaised: _raised,
        DisputeDecided: _decided,
        ReservationsCalled: _called,
        ContractDispatched: _dispatched,
        ReservationReleased: _released,
        FlexSellerJoined: _joined,
        FlexSellerReturned: _returned,
        FlexSellerLeft: _left,
        FlexAuctionCleared: _flex_cleared,
        TenderAwarded: _answered,
        FlexSettled: _flex_settled,
        InvoicesIssued: _issued,
        PaymentsClosed: _closed,
    }
)
"""What is told of each kind of event: participant, topic, text, session."""
