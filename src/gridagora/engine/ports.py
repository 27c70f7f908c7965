"""What the engine asks of the world: a clock that tells now, a store that keeps events in order."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from gridagora.model.events import Event


class Clock(Protocol):
    """Tells the present moment; what is due when is the timetable's to say."""

    def now(self) -> int:
        """Return the present moment, seconds since 1970-01-01 UTC."""

    def wait_until(self, moment: int) -> None:
        """Return when ``moment`` has come; a simulated clock jumps there."""


class Store(Protocol):
    """Appends events in order and binds each to the one before by a hash."""

    def append(self, events: Sequence[Event]) -> None:
        """Keep the events, all or none, after those already kept."""

    def events(self) -> Iterator[Event]:
        """Yield all events in the order they were kept."""

    def head(self) -> str:
        """Return the hash of the last event in hexadecimal."""
