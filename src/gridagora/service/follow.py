"""What the API reads: the market's state, folded in the service's own thread from the events on disk.

The writer's state belongs to the writer's thread.  Each process of the service folds the same events by the
same function into a state of its own, so that a read asks nobody, waits for nothing, and is never a second
truth.  It begins with a copy of the writer's state, or by the newest snapshot, and so comes to the same state
as one that followed from the first event.  What lies further back than the state is in the database.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

from sqlalchemy import select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode
from gridagora.engine.live.machine import apply
from gridagora.engine.live.state import LiveState
from gridagora.errors import StoreError
from gridagora.model.events import Event
from gridagora.model.flexibility_events import DeliveryOrdered, FlexEvent, FlexSettled
from gridagora.model.live_events import BidsTaken, BidsWithdrawn, SessionPublished
from gridagora.service.depth import Depth
from gridagora.service.platform import Market

FLEXIBLE = tuple(kind for kind in get_args(FlexEvent) if kind not in (DeliveryOrdered, FlexSettled))
"""Events of flexibility that are kept: what was offered, agreed and called."""

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
        self.depth = Depth()
        market.watch(self._told)
        self._state = market.known()
        self.seq = self._state.events
        for session in self._state.kept():
            self.depth.begin(session.times.number, session.book)
        self.flex = [] if self._state.flex.terms is None else self._flexible()

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
        self._keep(seq, event)
        for reader in tuple(self._readers):
            reader(seq, event)

    def _keep(self, seq: int, event: Event) -> None:
        """Keep what the state does not: depth, events of flexibility."""
        match event:
            case BidsTaken():
                self.depth.take(event)
            case BidsWithdrawn():
                self.depth.withdraw(event, self._state)
            case SessionPublished():
                self.depth.forget(event.session)
            case _ if isinstance(event, FLEXIBLE):
                self.flex.append(Numbered(seq=seq, event=event))

    def _flexible(self) -> list[Numbered]:
        """Return the events of flexibility up to now, from the database."""
        column, database = tables.events.c, self._market.database
        asked = select(column.seq, column.body).where(
            column.market == database.head(self._market.name).market,
            column.kind.in_([kind.__name__ for kind in FLEXIBLE]),
            column.seq <= self.seq,
        )
        with database.reading() as connection:
            rows = connection.execute(asked.order_by(column.seq)).all()
        return [Numbered(seq=row.seq, event=decode(bytes(row.body))) for row in rows]

    def registrar(self, participant: str) -> str:
        """Return who registered a participant that is still where it was then, "" for nobody."""
        record = self._state.register.get("participant", participant)
        return "" if record is None else record.maker

    def _wake(self) -> None:
        done = [one for one in self._waiting if one[0] <= self.seq or self._failed]
        self._waiting = [one for one in self._waiting if one not in done]
        for _, here in done:
            if not here.done():
                here.set_result(None)
