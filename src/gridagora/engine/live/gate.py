"""The gate of a session: it opens, closes, and what was bid is cleared, decided on and checked at once."""

from dataclasses import dataclass, replace

import numpy as np

from gridagora.engine.commands import ClearAuction
from gridagora.engine.live.bidding import connection_of
from gridagora.engine.live.bus_forecasts import bus_forecasts, forecast_kw
from gridagora.engine.live.commands import CallOffSession, CloseGate, OpenSession, PublishSession
from gridagora.engine.live.context import (
    PRICE_COLUMNS,
    LiveContext,
    market_session,
    session_context,
)
from gridagora.engine.live.limits import limits_of, places_of, within_limits
from gridagora.engine.live.money import hold
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import BookColumns, LiveState, Meters, SessionState
from gridagora.engine.live.tariffs import session_tariff
from gridagora.engine.machine import MarketContext, clear_auction, session_trades
from gridagora.engine.pool import nominated_kwh
from gridagora.errors import InputError, require
from gridagora.model.bids import Bids
from gridagora.model.columns import Floats
from gridagora.model.events import AuctionCleared, Event, ScheduleChecked, TradesDecided
from gridagora.model.live_events import GateClosed, SessionCalledOff, SessionOpened, SessionPublished
from gridagora.units import MICRO, WH_PER_KWH


def open_session(state: LiveState, command: OpenSession) -> SessionOpened:
    """Let the next session take bids."""
    times = state.open_terms.session(command.session)
    if command.session != state.next_open or command.at < times.opens:
        fix = f"session {state.next_open} opens next, at {state.open_terms.session(state.next_open).opens}"
        raise InputError([refusal("session_state", "session", command.session, fix=fix)])
    return SessionOpened(at=command.at, session=command.session)


def apply_opened(state: LiveState, event: SessionOpened) -> None:
    """Keep a new session; forget those that nothing can change any more."""
    times = state.open_terms.session(event.session)
    state.sessions[event.session] = SessionState(times)
    state.meters[event.session] = Meters(times)
    state.next_open = event.session + 1
    disputed = {dispute.raised.session for dispute in state.disputes.values() if dispute.open}
    while (
        state.oldest < state.next_settle
        and state.oldest not in disputed
        and _settled_at(state, state.oldest) + state.open_terms.kept_s < event.at
    ):
        del state.sessions[state.oldest], state.meters[state.oldest]
        state.oldest += 1


def _settled_at(state: LiveState, number: int) -> int:
    """Return when a session was settled, which after a long stop is later than it was due."""
    settled = state.sessions[number].settled
    require(settled is not None, f"session {number} is not settled")
    return settled.at  # type: ignore[union-attr]


def close_gate(state: LiveState, command: CloseGate, context: LiveContext) -> tuple[Event, ...]:
    """Close a gate, clear what was bid, decide on trades where zones do, check the schedule, hold money."""
    session = _at_step(state, command.session, state.next_close, status="open")
    terms, times = state.open_terms, session.times
    if command.at < times.gate:
        raise InputError(
            [refusal("gate_open", "session", command.session, fix=f"the gate closes at {times.gate}")]
        )
    book = session.book.columns()
    gate = gate_of(state, session, command.at, context=context, book=book)
    codes = {name: code for code, name in enumerate(gate.participants)}
    kept = np.array([name in codes for name in book.participant], dtype=np.bool_)
    limits = limits_of(state, times)
    silent = frozenset(range(len(codes))) - {codes[n] for n in set(book.participant) if n in codes}
    market = session_context(context, terms, gate, limits=limits)
    loads = expected_loads(state, session, gate, silent=silent, share=context.reactive_share)
    auction = ClearAuction(
        at=command.at,
        session=market_session(terms, command.session),
        bids=_bids(book, kept, codes),
        fixed_kw=loads.kw,
        net_kvar=loads.kvar,
    )
    places = places_of(limits, terms, gate, zone_of_bus=context.zone_of_bus, zonal=context.zones is not None)
    cleared = within_limits(
        lambda bids: clear_auction(replace(auction, bids=bids), market), auction.bids, market, limits=places
    )
    events: list[Event] = [gate, cleared]
    decided = None
    if market.zones is not None:
        decided = market.zones.decide(cleared, at=command.at, fixed_kw=loads.kw, kvar=loads.kvar)
        events.append(decided)
    due_kw = nominated_kw(cleared, decided, market) + loads.kw
    kvar = np.where(due_kw > 0, due_kw, 0.0) * context.reactive_share
    found = market.check(times.first, due_kw, kvar)
    events.append(ScheduleChecked(at=command.at, session=command.session, first=times.first, found=found))
    if terms.escrow:
        trades = session_trades(cleared, count=times.count, homes=len(codes), decided=decided)
        moved = hold(command.session, command.at, gate, trades=trades)
        events += [] if moved is None else [moved]
    return tuple(events)


def call_off(state: LiveState, command: CallOffSession, context: LiveContext) -> tuple[Event, ...]:
    """Call a session off: nobody trades in it, and what is metered is settled at tariff."""
    session = _at_step(state, command.session, state.next_close, status="open")
    if not command.reason.strip():
        raise InputError([refusal("field_missing", "reason", command.reason, fix="tell those who bid why")])
    gate = gate_of(state, session, command.at, context=context, book=BookColumns.none())
    none = np.zeros(0, np.int64)
    cleared = AuctionCleared(
        at=command.at,
        session=command.session,
        first=session.times.first,
        participant=none,
        period=none,
        price=none,
        quantity=none,
        accepted=none,
        side=none.astype(np.int8),
        paid=np.zeros(0),
        clearing_price=np.full(session.times.count, np.nan),
    )
    told = SessionCalledOff(
        at=command.at, actor=command.actor, session=command.session, reason=command.reason
    )
    return told, replace(gate, passive=np.ones(len(gate.participants), np.bool_)), cleared


def apply_called_off(state: LiveState, event: SessionCalledOff) -> None:
    """Note that nobody trades in a session."""
    state.sessions[event.session].called_off = event


def nominated_kw(cleared: AuctionCleared, decided: TradesDecided | None, market: MarketContext) -> Floats:
    """Return the net import that a session commits its participants to, kW, shape (periods, participants)."""
    if decided is not None:
        cleared = replace(cleared, accepted=decided.accepted, paid=decided.paid)
    bought, sold = nominated_kwh(cleared, market.study, prices=market.prices)
    return np.asarray((bought - sold).T / market.study.axis.hours)


def apply_gate(state: LiveState, event: GateClosed) -> None:
    """Close a session's gate; its bids bind no money any more."""
    session = state.sessions[event.session]
    session.gate, session.limits = event, limits_of(state, session.times)
    session.forecasts = bus_forecasts(state, event)
    for participant, amount in session.book.reserved.items():
        left = state.reserved.pop(participant, 0) - amount
        if left:
            state.reserved[participant] = left
    session.book.reserved = {}


def apply_cleared(state: LiveState, event: AuctionCleared) -> None:
    """Note what a session traded."""
    session = state.sessions[event.session]
    session.cleared, session.status = event, "cleared"
    state.next_close = event.session + 1


def apply_decided(state: LiveState, event: TradesDecided) -> None:
    """Note what the controllers of zones decided."""
    state.sessions[event.session].decided = event


def apply_checked(state: LiveState, event: ScheduleChecked) -> None:
    """Note what the power flow found."""
    state.sessions[event.session].checked = event


def publish(state: LiveState, command: PublishSession) -> SessionPublished:
    """Make the results of a cleared session public."""
    _at_step(state, command.session, state.next_publish, status="cleared")
    return SessionPublished(at=command.at, session=command.session)


def apply_published(state: LiveState, event: SessionPublished) -> None:
    """Note that results are public; of the bids, which nothing asks any more, their count is kept."""
    session = state.sessions[event.session]
    session.status, session.book = "published", session.book.closed()
    state.next_publish = event.session + 1


def _at_step(state: LiveState, number: int, expected: int, *, status: str) -> SessionState:
    session = state.sessions.get(number)
    if session is None:
        raise InputError([refusal("session_unknown", "session", number, fix="open it first")])
    if number != expected or session.status != status:
        reason, fix = f"the session is {session.status}", f"session {expected} comes to that step next"
        raise InputError([refusal("session_state", "session", number, reason=reason, fix=fix)])
    return session


def gate_of(
    state: LiveState, session: SessionState, at: int, *, context: LiveContext, book: BookColumns
) -> GateClosed:
    """Return who is in a session, its prices, and its bids: those of participants that may still bid."""
    times = session.times
    names, buses, phases, passive = [], [], [], []
    for record in state.register.all("participant"):
        point = connection_of(state, record.id) if record.status == "active" else None
        if point is not None:
            names.append(record.id)
            buses.append(str(point["bus"]))
            phases.append(int(point.get("phase", 0)))
            passive.append(bool(record.body.get("passive", False)))
    inside = set(names)
    tariff = session_tariff(state, times, context)
    prices = tariff.prices
    return GateClosed(
        at=at,
        session=times.number,
        participants=tuple(names),
        buses=tuple(buses),
        phases=np.array(phases, np.int64),
        passive=np.array(passive, np.bool_),
        bids=book.number[np.array([name in inside for name in book.participant], dtype=np.bool_)],
        **{name: getattr(prices, name) for name in PRICE_COLUMNS},
        local_network_share=prices.local_network_share,
        imbalance_netted=prices.imbalance_netted,
        tariffs=tariff.tariffs,
        stale=tariff.stale,
    )


def _bids(book: BookColumns, kept: np.ndarray, codes: dict[str, int]) -> Bids:
    """Return the bids of a session as the engine of a study takes them."""
    return Bids(
        side=book.side[kept],
        price=book.price[kept] / MICRO,
        quantity=book.quantity[kept] / WH_PER_KWH,
        participant=np.array([codes[n] for n in book.participant if n in codes], np.int64),
        period=book.period[kept],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Loads:
    """What loads the wires without a bid, kW and kvar, shape (periods, participants)."""

    kw: Floats
    kvar: Floats


def expected_loads(
    state: LiveState, session: SessionState, gate: GateClosed, *, silent: frozenset[int], share: float
) -> Loads:
    """Return the newest forecasts of those that did not bid, 0 where nobody forecast anything."""
    kw = np.zeros((session.times.count, len(gate.participants)))
    for code in sorted(silent):
        kw[:, code] = np.nan_to_num(forecast_kw(state, gate.participants[code], session.times))
    return Loads(kw=kw, kvar=np.maximum(kw, 0.0) * share)
