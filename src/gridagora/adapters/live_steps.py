"""Steps of the timetable that could not be carried out: tried again, then without what stops them."""

from collections.abc import Mapping
from dataclasses import dataclass

from gridagora.engine.live.commands import (
    CallOffSession,
    CloseGate,
    LiveCommand,
    NoteStuck,
    SettleLiveSession,
)
from gridagora.engine.live.refusals import plain_text
from gridagora.engine.live.state import LiveState

RETRY_S = 30.0
"""Real seconds until a step that could not be carried out is tried again."""

TRIES = 5
"""A session that could not be cleared so often is called off, one that could not be settled is told of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Failure:
    """How often a step of a session failed, why, and the real second from which it is tried again."""

    session: int
    tries: int
    why: str
    again: float


class Steps:
    """What a runner knows of the steps that failed; a runner that starts anew tries them anew.

    Examples
    --------
    >>> steps = Steps()
    >>> steps.failed(CloseGate(at=0, session=7), "no grid", 100.0)
    >>> steps.stuck(), steps.waiting(100.0) == {CloseGate}, steps.waiting(131.0)
    ({'CloseGate': 'no grid'}, True, frozenset())
    """

    def __init__(self) -> None:
        self._failures: dict[type, _Failure] = {}
        self._waiting: frozenset[type] = frozenset()

    def waiting(self, real: float) -> frozenset[type]:
        """Return the kinds of commands that are not tried at a real second."""
        self._waiting = frozenset(kind for kind, one in self._failures.items() if one.again > real)
        return self._waiting

    def stuck(self) -> Mapping[str, str]:
        """Return why each kind of step waits, as of the last look."""
        return {kind.__name__: one.why for kind, one in self._failures.items() if kind in self._waiting}

    def failed(self, command: LiveCommand, why: str, real: float) -> None:
        """Note a step that was due and could not be carried out, nor what was done instead."""
        session, before = int(getattr(command, "session", -1)), self._failures.get(type(command))
        tries = before.tries if before is not None and before.session == session else 0
        failure = _Failure(session=session, tries=tries + 1, why=why, again=real + RETRY_S)
        self._failures = {**self._failures, type(command): failure}
        self._waiting = self._waiting | {type(command)}

    def instead(self, command: LiveCommand | None, state: LiveState) -> LiveCommand | None:
        """Return a step that is due, or what is done where it has failed too often."""
        failure = self._failures.get(type(command))
        if command is None or failure is None or failure.tries < TRIES:
            return command
        at, session, why = command.at, failure.session, plain_text(failure.why)
        match command:
            case CloseGate(session=number) if number == session:
                return CallOffSession(at=at, session=session, reason=f"It could not be cleared: {why}")
            case SettleLiveSession(session=number) if number == session:
                if state.sessions[session].stuck is None:
                    return NoteStuck(at=at, session=session, reason=why)
        return command
