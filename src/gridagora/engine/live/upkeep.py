"""What keeps a market going: a settlement that fails, a clock that leapt, a day that is over."""

from gridagora.engine.live.commands import AcceptClock, CloseDay, NoteStuck
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState
from gridagora.errors import InputError
from gridagora.model.events import DayClosed
from gridagora.model.live_events import ClockAccepted, SettlementStuck


def note_stuck(state: LiveState, command: NoteStuck) -> SettlementStuck:
    """Keep that a session cannot be settled, once."""
    session = state.sessions.get(command.session)
    if session is None or command.session != state.next_settle or session.stuck is not None:
        fix = f"session {state.next_settle} is settled next"
        raise InputError([refusal("session_state", "session", command.session, fix=fix)])
    return SettlementStuck(at=command.at, session=command.session, reason=command.reason)


def apply_stuck(state: LiveState, event: SettlementStuck) -> None:
    """Note that a session cannot be settled."""
    state.sessions[event.session].stuck = event


def accept_clock(state: LiveState, command: AcceptClock) -> ClockAccepted:
    """Keep who followed a clock that leapt; whether it has, and what it shows, the runner knows."""
    if not command.reason.strip():
        fix = "say how you know that the clock is right"
        raise InputError([refusal("field_missing", "reason", command.reason, fix=fix)])
    return ClockAccepted(at=command.at, actor=command.actor, since=state.at, reason=command.reason)


def close_day(_: LiveState, command: CloseDay) -> DayClosed:
    """Keep the root of a day; that it is over, and what was booked on it, the runner knows."""
    return DayClosed(at=command.at, day=command.day, size=command.size, root=command.root)
