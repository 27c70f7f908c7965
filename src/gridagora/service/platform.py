"""What the market's resources of the API ask of the platform: carry out commands, and tell what happened."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from gridagora.engine.live.commands import LiveCommand
from gridagora.engine.live.context import LiveContext
from gridagora.engine.live.state import LiveState
from gridagora.model.events import Event
from gridagora.service.ports import Platform


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A command that was carried out and is on disk: its events, numbered from ``first``.

    ``repeated``: it had been carried out before under the same idempotency key, and nothing was done now.
    """

    first: int
    events: tuple[Event, ...]
    repeated: bool = False

    @property
    def last(self) -> int:
        """Number of the last event."""
        return self.first + len(self.events) - 1


class Market(Platform, Protocol):
    """A market that runs: one chain of events in the database, one writer, a clock."""

    @property
    def name(self) -> str:
        """Name of the market in the database."""

    @property
    def context(self) -> LiveContext:
        """What the market stands in: its buses, zones and tariffs."""

    def now(self) -> int:
        """Return the market's moment, seconds since 1970 UTC."""

    def clock_doubt(self) -> tuple[int, int]:
        """Return the seconds that the clock leapt ahead unaccepted, and those that it is behind events."""

    def submit(self, command: LiveCommand, *, key: str = "", request: bytes = b"") -> "Future[Done]":
        """Hand in a command, to be carried out at the moment that the writer comes to it.

        ``key`` is an idempotency key and ``request`` the hash of what was asked with it.  The future's error
        is an `InputError` with every fault where the command is refused.
        """

    def known(self) -> LiveState:
        """Return the state of now, as a copy of whoever asks."""

    def watch(self, told: Callable[[int, Sequence[Event]], None]) -> None:
        """Call ``told(first, events)`` from now on, from any thread, with events that came on disk.

        What a command led to is told before whoever gave it is answered.
        """
