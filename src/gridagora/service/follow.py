"""What the API reads: the market's state, folded in the service's own thread from the events on disk.

The writer's state belongs to the writer's thread.  Each process of the service folds the same events by the
same function into a state of its own, so that a read asks nobody, waits for nothing, and is never a second
truth: a follower that begins anew comes to the same state.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gridagora.engine.live.machine import apply
from gridagora.engine.live.notices import Notice, notices
from gridagora.engine.live.state import LiveState
from gridagora.errors import StoreError
from gridagora.model.events import Event
from gridagora.model.flexibility_events import DeliveryOrdered, FlexEvent, FlexSettled
from gridagora.model.live_events import BidsTaken, BidsWithdrawn, GateClosed, ResourceKept, SessionOpened
from gridagora.service.depth import Depth
from gridagora.service.expected import Expected, expected_of
from gridagora.service.platform import Market

KEPT_NOTICES = 500
"""Notifications that are kept for each participant."""

KEPT_MESSAGES = 20_000
"""Events that a stream can go back."""

Reader = Callable[[int, Event], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Numbered:
    """An event with its number in the chain."""

    seq: int
    event: Event


class Follower:
    """Folds the events of a market as they come on disk, and tells readers of each.

    It belongs to the event loop in which it was made; only `_told` is called from other threads.

    Parameters
    ----------
    market : whose events are followed
    """

    def __init__(self, market: Market) -> None:
        self._market = market
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._readers: set[Reader] = set()
        self._failed = ""
        self._state = LiveState()
        self.seq = 0
        self._made: dict[str, tuple[str, str]] = {}
        self.births: dict[tuple[str, str], int] = {}
        self.recent: deque[Numbered] = deque(maxlen=KEPT_MESSAGES)
        self.notices: dict[str, deque[Notice]] = {}
        self.depth = Depth()
        self.expected: dict[int, dict[str, Expected]] = {}
        self.flex: list[Numbered] = []
        market.watch(self._told)
        self._catch_up()

    @property
    def state(self) -> LiveState:
        """State of the market after event ``seq``; who reads it changes nothing in it."""
        if self._failed:
            raise StoreError(self._failed)
        return self._state

    async def reach(self, seq: int) -> None:
        """Wait until the state holds an event; it is on disk already, so that takes a moment at most."""
        if self.seq >= seq:
            return
        here: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((seq, here))
        await here

    def add(self, reader: Reader) -> None:
        """Call a reader with each event from now on, after the state holds it."""
        self._readers.add(reader)

    def remove(self, reader: Reader) -> None:
        """Call a reader no more."""
        self._readers.discard(reader)

    def _told(self, first: int, events: Sequence[Event]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._take, first, events)
        except RuntimeError:
            return  # the loop has ended, and with it all that would read

    def _take(self, first: int, events: Sequence[Event]) -> None:
        try:
            if first > self.seq + 1:
                self._catch_up()
            for seq, event in enumerate(events, first):
                if seq == self.seq + 1:
                    self._fold(seq, event)
        except BaseException as error:
            self._failed = f"reading the market's events has stopped: {error}"
            raise
        finally:
            self._wake()

    def _catch_up(self) -> None:
        for seq, event in enumerate(
            self._market.database.events(self._market.name, after=self.seq), self.seq + 1
        ):
            self._fold(seq, event)

    def _fold(self, seq: int, event: Event) -> None:
        apply(self._state, event)
        self.seq = seq
        self.recent.append(Numbered(seq=seq, event=event))
        self._keep(seq, event)
        for notice in notices(seq, event, self._state):
            self.notices.setdefault(notice.participant, deque(maxlen=KEPT_NOTICES)).append(notice)
        for reader in tuple(self._readers):
            reader(seq, event)

    def _keep(self, seq: int, event: Event) -> None:
        """Keep what the state does not: who made a record, depth, forecasts, events of flexibility."""
        match event:
            case ResourceKept():
                self._keep_record(seq, event)
            case BidsTaken():
                self.depth.take(event)
            case BidsWithdrawn():
                self.depth.withdraw(event, self._state)
            case GateClosed():
                self.expected[event.session] = expected_of(self._state, event)
            case SessionOpened():
                self.depth.forget(before=self._state.oldest)
                for number in [number for number in self.expected if number < self._state.oldest]:
                    del self.expected[number]
            case _ if isinstance(event, FlexEvent) and not isinstance(event, DeliveryOrdered | FlexSettled):
                self.flex.append(Numbered(seq=seq, event=event))

    def _keep_record(self, seq: int, event: ResourceKept) -> None:
        """Note who registered a participant, until it moves to another organisation."""
        if event.version == 1:
            self.births[event.kind, event.id] = seq
        if event.kind == "participant":
            organisation = json.loads(event.body).get("organisation", "")
            if event.version == 1:
                self._made[event.id] = event.actor, organisation
            elif self._made.get(event.id, ("", ""))[1] != organisation:
                self._made.pop(event.id, None)

    def registrar(self, participant: str) -> str:
        """Return who registered a participant that is still where it was then, "" for nobody."""
        return self._made.get(participant, ("", ""))[0]

    def _wake(self) -> None:
        done = [one for one in self._waiting if one[0] <= self.seq or self._failed]
        self._waiting = [one for one in self._waiting if one not in done]
        for _, here in done:
            if not here.done():
                here.set_result(None)
