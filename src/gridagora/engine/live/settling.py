"""Settlement of a session by its meters, and once more where a dispute shows other readings."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gridagora.engine.commands import SettleSession
from gridagora.engine.live.commands import DecideDispute, RaiseDispute, SettleBySchedule, SettleLiveSession
from gridagora.engine.live.context import LiveContext, market_session, session_context
from gridagora.engine.live.gate import nominated_kw
from gridagora.engine.live.held import LimitMoney, hold_against, limit_money, order_costs
from gridagora.engine.live.limits import PlaceLimit, broken_limits, delivery_limits, places_of
from gridagora.engine.live.money import book_postings, fees, release
from gridagora.engine.live.readings import CORRECTED, MEASURED, estimates
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import Dispute, LiveState, Meters, SessionState
from gridagora.engine.machine import MarketContext, Pending, settle_session
from gridagora.errors import Fault, InputError, check_faults
from gridagora.ledger import Postings, check_postings, join, post
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
    SettledBySchedule,
    SettlementCorrected,
)
from gridagora.model.time import clock
from gridagora.units import WH_PER_KWH, to_micro, to_wh

LINES = tuple(SettlementLines.__dataclass_fields__)


def settle_live(state: LiveState, command: SettleLiveSession, context: LiveContext) -> tuple[Event, ...]:
    """Settle a session: estimates of what lacks, delivery, money, broken limits, escrow and fees."""
    session = _due_now(state, command.session, command.at)
    market, terms = _market(session, state, context), state.open_terms
    due_kw = nominated_kw(session.auction, session.decided, market)
    stand_in = estimates(state, session, command.at, scheduled_wh=to_wh(due_kw * terms.hours))
    net_wh, proven_wh = _metered(state.meters[command.session], session, stand_in)
    case = Case(state=state, session=session, at=command.at, market=market, context=context)
    return (*stand_in, *_booked(case, due_kw=due_kw, net_wh=net_wh, proven_wh=proven_wh))


def settle_by_schedule(
    state: LiveState, command: SettleBySchedule, context: LiveContext
) -> tuple[Event, ...]:
    """Settle a session whose readings cannot be settled as if all had kept to their schedules.

    Nothing is proven by that, so escrow goes back to the buyers; their bills have the trades as ever.  Who
    never trades has no schedule: what its meter told counts, and nothing where it told nothing.
    """
    session = _due_now(state, command.session, command.at)
    if session.stuck is None:
        fix = "wait until it could not be settled by its readings"
        raise InputError([refusal("session_state", "session", command.session, fix=fix)])
    if not command.reason.strip():
        raise InputError([refusal("field_missing", "reason", command.reason, fix="tell those concerned why")])
    market, terms = _market(session, state, context), state.open_terms
    due_kw = nominated_kw(session.auction, session.decided, market)
    scheduled_wh = to_wh(due_kw * terms.hours)
    stand_in = estimates(state, session, command.at, scheduled_wh=scheduled_wh, by_history=False)
    metered_wh, _ = _metered(state.meters[command.session], session, stand_in)
    net_wh = np.where(session.closed.passive, metered_wh, scheduled_wh)
    told = SettledBySchedule(
        at=command.at, actor=command.actor, session=command.session, reason=command.reason
    )
    case = Case(state=state, session=session, at=command.at, market=market, context=context)
    booked = _booked(case, due_kw=due_kw, net_wh=net_wh, proven_wh=np.zeros_like(net_wh))
    return (*stand_in, told, *booked)


def apply_by_schedule(state: LiveState, event: SettledBySchedule) -> None:
    """Note that a session is settled without its readings."""
    state.sessions[event.session].by_schedule = event


def _due_now(state: LiveState, number: int, at: int) -> SessionState:
    """Return the session that is settled next, if it is due."""
    session, times = state.sessions.get(number), state.open_terms.session(number)
    if session is None or number != state.next_settle or session.status != "published":
        fix = f"session {state.next_settle} is settled next, after its results were published"
        raise InputError([refusal("session_state", "session", number, fix=fix)])
    if at < times.settles:
        fix = f"readings are taken until {clock(times.settles)}"
        raise InputError([refusal("session_state", "session", number, fix=fix)])
    return session


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A session to be settled at a moment, in the market that it was cleared in."""

    state: LiveState
    session: SessionState
    at: int
    market: MarketContext
    context: LiveContext

    @property
    def places(self) -> tuple[PlaceLimit, ...]:
        """The limits that its delivery is held against."""
        return places_of(
            delivery_limits(self.state, self.session),
            self.state.open_terms,
            self.session.closed,
            zone_of_bus=self.context.zone_of_bus,
        )


def _booked(case: Case, *, due_kw: Floats, net_wh: Ints, proven_wh: Ints) -> Iterator[Event]:
    """Yield delivery, settlement, broken limits and what they cost, escrow and fees."""
    session, terms = case.session, case.state.open_terms
    delivered, settled, money = _outcome(case, due_kw=due_kw, net_wh=net_wh)
    yield delivered
    yield settled
    first, number = session.times.first, session.times.number
    more = (
        broken_limits(number, case.at, case.places, first=first, metered_wh=net_wh),
        *money.movements(session.closed, case.at, known={}),
        release(session, case.at, terms, trades=settled.trades, proven_wh=proven_wh),
        fees(session, case.at, terms, trades=settled.trades),
    )
    yield from (event for event in more if event is not None)


def _outcome(
    case: Case, *, due_kw: Floats, net_wh: Ints
) -> tuple[EnergyDelivered, SessionSettled, LimitMoney]:
    """Return delivery and settlement by the schedules that emergencies left, and what limits cost."""
    session, terms, market = case.session, case.state.open_terms, case.market
    delivered = _delivered(session, case.at, due_kw=due_kw, net_wh=net_wh)
    settled = _settled(session, delivered, terms, market=market)
    places = case.places
    if not places:
        return delivered, settled, LimitMoney()
    scheduled_wh = np.where(session.closed.passive, net_wh, to_wh(due_kw * terms.hours))
    held = hold_against(places, scheduled_wh, net_wh)
    costs = np.zeros(net_wh.shape[1], np.int64)
    if held.excused_wh.any():
        before = settled.lines
        kw = due_kw + held.excused_wh / WH_PER_KWH / terms.hours
        delivered = _delivered(session, case.at, due_kw=kw, net_wh=net_wh)
        settled = _settled(session, delivered, terms, market=market)
        costs = order_costs(scheduled_wh, held.excused_wh, before=before, after=settled.lines)
    price = int(to_micro(terms.breach_price))
    return delivered, settled, limit_money(held, costs, breach_micro=price)


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
    return decided, *_correction(state, session, command, context=context)


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
) -> tuple[Event, ...]:
    """Return what the readings of now change in what is settled of a session."""
    market = _market(session, state, context)
    net_wh, _ = _metered(state.meters[session.times.number], session, [])
    due_kw = nominated_kw(session.auction, session.decided, market)
    case = Case(state=state, session=session, at=command.at, market=market, context=context)
    _, settled, money = _outcome(case, due_kw=due_kw, net_wh=net_wh)
    known = session.lines()
    lines = SettlementLines(**{name: getattr(settled.lines, name) - getattr(known, name) for name in LINES})
    postings = _postings(session, lines)
    corrected = SettlementCorrected(
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
    moved = money.movements(session.closed, command.at, known=session.limit_money, actor=command.actor)
    return corrected, *moved


def _postings(session: SessionState, lines: SettlementLines) -> Postings:
    """Return the entries of differences; trades stay what they were."""
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
    return postings


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
