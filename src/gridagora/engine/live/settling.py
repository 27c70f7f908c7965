"""Settlement of a session by its meters, and once more where a dispute shows other readings."""

from collections.abc import Iterator

import numpy as np

from gridagora.engine.commands import SettleSession
from gridagora.engine.live.commands import DecideDispute, RaiseDispute, SettleLiveSession
from gridagora.engine.live.context import LiveContext, market_session, session_context
from gridagora.engine.live.gate import nominated_kw
from gridagora.engine.live.limits import broken_limits, delivery_limits, limits_of, places_of
from gridagora.engine.live.money import book_postings, fees, release
from gridagora.engine.live.readings import CORRECTED, MEASURED, estimates
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import Dispute, LiveState, Meters, SessionState
from gridagora.engine.machine import MarketContext, Pending, settle_session
from gridagora.errors import Fault, InputError, check_faults
from gridagora.ledger import check_postings, join, post
from gridagora.ledger.accounts import SystemAccount
from gridagora.ledger.journal import EntryKind
from gridagora.model.columns import DeviceColumns, Floats, SettlementLines
from gridagora.model.events import EnergyDelivered, Event, SessionSettled
from gridagora.model.live import LiveTerms
from gridagora.model.live_events import (
    DisputeDecided,
    DisputeRaised,
    Ints,
    LimitsBroken,
    ReadingsTaken,
    SettlementCorrected,
)
from gridagora.units import to_wh

LINES = tuple(SettlementLines.__dataclass_fields__)


def settle_live(state: LiveState, command: SettleLiveSession, context: LiveContext) -> tuple[Event, ...]:
    """Settle a session: estimates of what lacks, delivery, money, broken limits, escrow and fees."""
    session = state.sessions.get(command.session)
    terms = state.open_terms
    times = terms.session(command.session)
    if session is None or command.session != state.next_settle or session.status != "published":
        fix = f"session {state.next_settle} is settled next, after its results were published"
        raise InputError([refusal("session_state", "session", command.session, fix=fix)])
    if command.at < times.settles:
        fix = f"readings are taken until {times.settles}"
        raise InputError([refusal("session_state", "session", command.session, fix=fix)])
    market = _market(session, state, context)
    due_kw = nominated_kw(session.auction, session.decided, market)
    stand_in = estimates(state, session, command.at, scheduled_wh=to_wh(due_kw * terms.hours))
    net_wh, proven_wh = _metered(state.meters[command.session], session, stand_in)
    delivered = _delivered(session, command.at, due_kw=due_kw, net_wh=net_wh)
    settled = _settled(session, delivered, state.open_terms, market=market)
    places = places_of(
        delivery_limits(limits_of(state, times), session.limits),
        terms,
        session.closed,
        zone_of_bus=context.zone_of_bus,
    )
    more = (
        broken_limits(command.session, command.at, places, first=times.first, metered_wh=net_wh),
        release(session, command.at, terms, trades=settled.trades, proven_wh=proven_wh),
        fees(session, command.at, terms, trades=settled.trades),
    )
    return (*stand_in, delivered, settled, *(event for event in more if event is not None))


def apply_delivered(state: LiveState, event: EnergyDelivered) -> None:
    """Note what was delivered in a session."""
    state.sessions[event.session].delivered = event


def apply_settled(state: LiveState, event: SessionSettled) -> None:
    """Book a session."""
    session = state.sessions[event.session]
    session.settled, session.status = event, "settled"
    state.next_settle = event.session + 1
    book_postings(state, session.closed, event.account, amount=event.amount)


def apply_broken(state: LiveState, event: LimitsBroken) -> None:
    """Note where delivery went beyond limits."""
    state.sessions[event.session].broken = event


def raise_dispute(state: LiveState, command: RaiseDispute) -> DisputeRaised:
    """Take a dispute about a settled session."""
    check_faults(_dispute_faults(state, command))
    fields = ("at", "actor", "id", "session", "participant", "reason")
    return DisputeRaised(**{name: getattr(command, name) for name in fields})


def apply_raised(state: LiveState, event: DisputeRaised) -> None:
    """Keep a dispute that waits for a decision."""
    state.disputes[event.id] = Dispute(raised=event)


def decide_dispute(state: LiveState, command: DecideDispute, context: LiveContext) -> tuple[Event, ...]:
    """Decide on a dispute; what other readings change is booked, nothing is edited."""
    dispute = state.disputes.get(command.id)
    if dispute is None or not dispute.open:
        raise InputError([refusal("dispute_unknown", "id", command.id, fix="name one that waits")])
    again = command.accepted and command.settle_again
    decided = DisputeDecided(
        at=command.at,
        actor=command.actor,
        id=command.id,
        accepted=command.accepted,
        settle_again=again,
        reason=command.reason,
    )
    if not again:
        return (decided,)
    session = state.sessions[dispute.raised.session]
    return decided, _correction(state, session, command, context=context)


def apply_decision(state: LiveState, event: DisputeDecided) -> None:
    """Close a dispute."""
    state.disputes[event.id] = Dispute(raised=state.disputes[event.id].raised, open=False)


def apply_corrected(state: LiveState, event: SettlementCorrected) -> None:
    """Book a correction."""
    session = state.sessions[event.session]
    session.corrections.append(event)
    book_postings(state, session.closed, event.account, amount=event.amount)


def _market(session: SessionState, state: LiveState, context: LiveContext) -> MarketContext:
    """Return the small study of a cleared session."""
    return session_context(context, state.open_terms, session.closed)


def _metered(meters: Meters, session: SessionState, stand_in: list[ReadingsTaken]) -> tuple[Ints, Ints]:
    """Return net import with estimates, and the export that was measured, Wh, (periods, participants)."""
    names = session.closed.participants
    wh, quality = meters.of(names)
    measured = (quality == MEASURED) | (quality == CORRECTED)
    proven = np.where(measured, np.maximum(wh[1] - wh[0], 0), 0)
    codes = {name: code for code, name in enumerate(names)}
    for event in stand_in:
        code = np.array([codes[name] for name in event.participants])[event.participant]
        row = event.period - session.times.first
        wh[0, row, code], wh[1, row, code] = event.import_wh, event.export_wh
    return np.asarray(wh[0] - wh[1]), np.asarray(proven)


def _delivered(session: SessionState, at: int, *, due_kw: Floats, net_wh: Ints) -> EnergyDelivered:
    nothing = np.zeros((session.times.count, 0))
    return EnergyDelivered(
        at=at,
        session=session.times.number,
        first=session.times.first,
        cleared_kw=due_kw,
        metered_wh=net_wh,
        devices=DeviceColumns(**dict.fromkeys(DeviceColumns.__dataclass_fields__, nothing)),
    )


def _settled(
    session: SessionState, delivered: EnergyDelivered, terms: LiveTerms, *, market: MarketContext
) -> SessionSettled:
    timed = market_session(terms, session.times.number)
    pending = Pending(cleared=session.auction, decided=session.decided, delivered=delivered)
    return settle_session(SettleSession(at=delivered.at, session=timed), pending, context=market)


def _correction(
    state: LiveState, session: SessionState, command: DecideDispute, *, context: LiveContext
) -> SettlementCorrected:
    """Return what the readings of now change in what is settled of a session."""
    market = _market(session, state, context)
    net_wh, _ = _metered(state.meters[session.times.number], session, [])
    due_kw = nominated_kw(session.auction, session.decided, market)
    delivered = _delivered(session, command.at, due_kw=due_kw, net_wh=net_wh)
    anew = _settled(session, delivered, state.open_terms, market=market).lines
    known = session.lines()
    lines = SettlementLines(**{name: getattr(anew, name) - getattr(known, name) for name in LINES})
    homes = len(session.closed.participants)
    booked = (
        (EntryKind.RETAIL, lines.retail, SystemAccount.RETAILER),
        (EntryKind.IMBALANCE, lines.imbalance, SystemAccount.RETAILER),
        (EntryKind.NETWORK, lines.network, SystemAccount.DSO_NETWORK),
        (EntryKind.TAXES, lines.taxes, SystemAccount.STATE_TAXES),
    )
    postings = join(
        post(session.times.number, kind, amounts.sum(axis=0), counter_account=homes + other)
        for kind, amounts, other in booked
    )
    check_postings(postings)
    return SettlementCorrected(
        at=command.at,
        session=session.times.number,
        first=session.times.first,
        dispute=command.id,
        metered_wh=net_wh,
        lines=lines,
        entry=postings.entry,
        account=postings.account,
        amount=postings.amount,
    )


def _dispute_faults(state: LiveState, command: RaiseDispute) -> Iterator[Fault]:
    if not command.id or not command.id.isprintable():
        yield refusal("id_invalid", "id", command.id, fix="give the dispute an id")
    elif command.id in state.disputes:
        yield refusal("dispute_exists", "id", command.id, fix="give the dispute another id")
    session = state.sessions.get(command.session)
    if session is None or session.settled is None:
        fix = "dispute a session that is settled and still kept"
        yield refusal("session_unknown", "session", command.session, fix=fix)
        return
    last = session.settled.at + state.open_terms.dispute_s
    if command.at > last:
        yield refusal("dispute_late", "session", command.session, fix=f"disputes were taken until {last}")
    if command.participant not in session.closed.participants:
        fix = "name one that was in the session"
        yield refusal("participant_unknown", "participant", command.participant, fix=fix)
    if not command.reason.strip():
        yield refusal("field_missing", "reason", command.reason, fix="say what is wrong")
