"""What is due when: the next step that the timetable of a live market wants."""

from collections.abc import Iterator

from gridagora.engine.flexibility.auctions import latest_clearing
from gridagora.engine.flexibility.commands import ClearFlexAuction, CloseFlexGate
from gridagora.engine.live.commands import (
    CloseGate,
    LiveCommand,
    OpenSession,
    PublishSession,
    SettleBySchedule,
    SettleLiveSession,
)
from gridagora.engine.live.state import LiveState
from gridagora.model.time import SECONDS_PER_DAY

PATIENCE_S = 7 * SECONDS_PER_DAY
"""A session that cannot be settled is settled by schedule after so long: those after it wait for it."""


def due(state: LiveState, now: int, *, without: frozenset[type] = frozenset()) -> LiveCommand | None:
    """Return the step that is due longest, to be carried out now; None where nothing is.

    ``without`` leaves out kinds of commands: those that could not be carried out and wait for somebody.

    The driver asks again after each step until there is none.  What a step led to is in the events, so a
    driver that starts anew goes on wherever the last one ended.

    >>> due(LiveState(), 0) is None
    True
    """
    first: tuple[int, LiveCommand] | None = None
    for moment, command in _steps(state, now):
        if moment <= now and type(command) not in without and (first is None or moment < first[0]):
            first = moment, command
    return None if first is None else first[1]


def next_moment(state: LiveState, *, without: frozenset[type] = frozenset()) -> int | None:
    """Return the moment at which something is due next; None where nothing ever is.

    ``without`` as in `due`.

    >>> next_moment(LiveState()) is None
    True
    """
    moments = [moment for moment, command in _steps(state, 0) if type(command) not in without]
    return min(moments, default=None)


def _steps(state: LiveState, now: int) -> Iterator[tuple[int, LiveCommand]]:
    """Yield the next step of each sort and its moment; at one moment the one that ends something is first."""
    if state.terms is None:
        return
    terms = state.terms
    session = state.sessions.get(state.next_settle)
    if session is not None and session.status == "published":
        yield session.times.settles, SettleLiveSession(at=now, session=state.next_settle)
        if session.stuck is not None:
            reason = f"It could not be settled by its readings for a week: {session.stuck.reason}"
            command = SettleBySchedule(at=now, session=state.next_settle, reason=reason)
            yield session.stuck.at + PATIENCE_S, command
    session = state.sessions.get(state.next_publish)
    if session is not None and session.status == "cleared":
        yield session.times.gate, PublishSession(at=now, session=state.next_publish)
    session = state.sessions.get(state.next_close)
    if session is not None and session.status == "open":
        yield session.times.gate, CloseGate(at=now, session=state.next_close)
    yield terms.session(state.next_open).opens, OpenSession(at=now, session=state.next_open)
    yield from _flexibility(state, now)


def _flexibility(state: LiveState, now: int) -> Iterator[tuple[int, LiveCommand]]:
    """Yield auctions of flexibility to be cleared, and the next gate of its continuous market."""
    flex = state.flex
    if flex.terms is None:
        return
    terms = flex.terms
    for number, entry in enumerate(flex.auctions):
        missed = entry.auction.first < flex.open_from or now > latest_clearing(terms, entry.auction)
        if not entry.cleared and not missed:  # one that was slept through binds nobody
            yield entry.auction.gate, ClearFlexAuction(at=now, auction=number)
    if flex.open_from < terms.first + terms.periods:
        gate = terms.begins(flex.open_from) - terms.begins(terms.gate_closure_periods) + terms.start
        reached = min(terms.end, terms.open_from(now, lead=terms.gate_closure_periods))
        yield gate, CloseFlexGate(at=now, before=max(flex.open_from + 1, reached))
