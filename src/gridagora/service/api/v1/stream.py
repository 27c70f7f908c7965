"""Streams: what happens, as it happens (server-sent events), and again from where a client left off.

The id of a message is the number of the event up to which all was told, so who is cut off between two
messages of one event is told both again; what came since is read from the database, however much that is.
What cannot be told any more, since its session is long settled, is one message ``gap`` that says where to
read it.  A client that is too slow is cut off, and goes on with its last id.  A stream ends with its token:
within `BEAT_S` s of its expiry, or of the end of its session.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import numpy as np
from fastapi import Header, Query
from starlette.requests import Request
from starlette.responses import StreamingResponse

from gridagora.engine.live.notices import Notice, notices
from gridagora.model.events import AuctionCleared, Event
from gridagora.model.flexibility_events import ContractDispatched, ReservationsCalled
from gridagora.model.live import Topic
from gridagora.model.live_events import (
    BidsTaken,
    BidsWithdrawn,
    GateClosed,
    LimitDeclared,
    SessionOpened,
    SessionPublished,
)
from gridagora.service.api.v1.deals import deal
from gridagora.service.api.v1.limits import place_of, told
from gridagora.service.api.v1.market import order_book, shown
from gridagora.service.api.v1.notifications import shown as notification
from gridagora.service.api.v1.past import Wanted, past
from gridagora.service.api.v1.tools import Live, TheMarket, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS, Identity, may
from gridagora.service.context import service_of
from gridagora.service.models.base import money
from gridagora.service.problems import Problem
from gridagora.service.routes import router

api = router("stream")
MOST_WAITING = 5_000
BOOK_S = 1.0
BEAT_S = 15.0
REACH_S = 5.0
Topics = Annotated[
    list[str] | None, Query(max_length=20, description="sessions, prices, book, limits, activations, notices")
]
LastId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)]
KIND = "text/event-stream"
SENT: dict[int | str, dict[str, Any]] = {200: {"content": {KIND: {"schema": {"type": "string"}}}}}

STEPS = (SessionOpened, GateClosed, SessionPublished)
TOLD = (*STEPS, LimitDeclared, ReservationsCalled, ContractDispatched)
"""Events that a stream tells of, beside bids and notices."""

READ_ANEW = ("/api/v1/sessions", "/api/v1/prices")
"""Lists that hold what a stream cannot tell again."""

Message = tuple[int, str, Any]
"""Number of the event, topic, JSON values."""


class Watcher:
    """Who listens: which messages of an event they may see.

    Parameters
    ----------
    live : the market
    identity : who listens; looked up again while the stream lasts
    participant : whose notices are told too; None: those of all whom the caller may see are not told
    topics : None: all
    kinds : topics of the notices that are told; None: all
    """

    def __init__(
        self,
        live: Live,
        identity: Identity,
        *,
        participant: str | None,
        topics: list[str] | None,
        kinds: list[Topic] | None = None,
    ) -> None:
        self._live, self.identity, self._participant = live, identity, participant
        self._topics = None if not topics else frozenset(topics)
        self._kinds = None if not kinds else frozenset[str](kinds)
        self.queue: asyncio.Queue[tuple[int, Event | None]] = asyncio.Queue(MOST_WAITING)
        self.changed = set[int]()
        self.seen = 0
        self.late = False

    def take(self, seq: int, event: Event) -> None:
        """Note an event for the stream; one that is too slow is cut off.

        Bids are most of all events, and those of others change books alone, which are told now and then: the
        stream is woken by the first of them, with None in place of an event.
        """
        self.seen = seq
        if isinstance(event, BidsTaken | BidsWithdrawn):
            if self.wants("book"):
                if not self.changed:
                    self._put(seq, None)
                self.changed.add(event.session)
            if event.participant != self.own:
                return
        elif self.own is None and not isinstance(event, TOLD):
            return
        self._put(seq, event)

    def _put(self, seq: int, event: Event | None) -> None:
        if self.queue.full():
            self.late = True
        else:
            self.queue.put_nowait((seq, event))

    def admitted(self) -> bool:
        """Tell whether who listens still may."""
        if self._participant is None:
            return may(self.identity, "market.read", NOBODYS)
        return may(self.identity, "notifications.read", self._live.subject(self._participant))

    def wants(self, topic: str) -> bool:
        """Tell whether a topic was asked for."""
        return self._topics is None or topic in self._topics

    def messages(self, seq: int, event: Event) -> Iterator[Message]:
        """Yield the messages of an event, without those of the order book."""
        yield from self.again(seq, event)
        if self.own is not None:
            for one in notices(seq, event, self._live.state):
                if one.participant == self.own:
                    yield from self.again(seq, one)

    def again(self, seq: int, what: Event | Notice) -> Iterator[Message]:
        """Yield the messages of what happened before the stream began, notices apart from their events."""
        if isinstance(what, Notice):
            if self._kinds is None or what.topic in self._kinds:
                yield seq, "notices", notification(what).model_dump(mode="json")
            return
        for topic, value in self._of(what):
            if self.wants(topic):
                yield seq, topic, value

    @property
    def own(self) -> str | None:
        """Whose notices are told; None: nobody's."""
        return self._participant if self.wants("notices") else None

    def _of(self, event: Event) -> Iterator[tuple[str, Any]]:
        live = self._live
        match event:
            case SessionOpened() | GateClosed() | SessionPublished():
                if event.session in live.state.sessions:
                    session = shown(live, live.terms.session(event.session))
                    yield "sessions", session.model_dump(mode="json")
                if isinstance(event, SessionPublished) and event.session in live.state.sessions:
                    cleared = live.state.sessions[event.session].cleared
                    if cleared is not None:
                        yield from (("prices", value) for value in _prices(live, cleared))
            case LimitDeclared():
                if may(self.identity, "limits.read", place_of(live, event.place_kind, event.place)):
                    yield "limits", told(event).model_dump(mode="json")
            case ReservationsCalled() | ContractDispatched():
                ids = event.contracts if isinstance(event, ReservationsCalled) else (event.contract,)
                for entry in live.state.flex.contracts:
                    whose = deal(live, entry.contract.seller, entry.contract.buyer)
                    if entry.contract.id in ids and may(self.identity, "flex_orders.read", whose):
                        yield "activations", _activation(event, entry.contract.id, entry.contract.seller)


def _prices(live: Live, cleared: AuctionCleared) -> Iterator[Any]:
    for row, price in enumerate(cleared.clearing_price.tolist()):
        micro = None if np.isnan(price) else round(price)
        period = cleared.first + row
        yield {
            "period": period,
            "start": f"{utc(live.terms.begins(period)):%Y-%m-%dT%H:%M:%SZ}",
            "price": None if micro is None else money(micro),
            "price_micro": micro,
        }


def _activation(event: ReservationsCalled | ContractDispatched, contract: str, seller: str) -> Any:
    return {
        "kind": "call" if isinstance(event, ReservationsCalled) else "dispatch",
        "contract": contract,
        "participant": seller,
        "periods": list(event.periods),
        "test": event.test,
    }


@api.get("/stream", summary="Stream of the market", response_class=StreamingResponse, responses=SENT)
async def stream(
    *,
    live: TheMarket,
    request: Request,
    caller: Annotated[Caller, needs("market.read")],
    topic: Topics = None,
    last_id: LastId = None,
    once: Annotated[bool, Query(description="end when all that happened was told")] = False,
) -> StreamingResponse:
    """Tell sessions, prices, the order book, limits and activations as they come, as far as one may see them.

    The order book is told at most once a second for each session that it changed in.  ``Last-Event-ID``
    resumes, however old it is.  Steps of sessions that are kept no more are not told again: in their place a
    message ``gap`` says behind which event (`after`) and up to which (`to`) they were, and which lists to
    `read`.
    """
    caller.require(NOBODYS)
    watcher = Watcher(live, caller.identity, participant=None, topics=topic)
    return await _answer(live, watcher, request, last_id=last_id, once=once)


@api.get(
    "/participants/{participant}/stream",
    summary="Stream of a participant",
    response_class=StreamingResponse,
    responses=SENT,
)
async def own_stream(
    *,
    live: TheMarket,
    request: Request,
    participant: str,
    caller: Annotated[Caller, needs("notifications.read")],
    topic: Topics = None,
    notice: Annotated[
        list[Topic] | None, Query(description="topics of notifications; all if left out")
    ] = None,
    last_id: LastId = None,
    once: Annotated[bool, Query(description="end when all that happened was told")] = False,
) -> StreamingResponse:
    """Tell what `/stream` does, and the notifications of a participant."""
    caller.require(live.subject(participant))
    watcher = Watcher(live, caller.identity, participant=participant, topics=topic, kinds=notice)
    return await _answer(live, watcher, request, last_id=last_id, once=once)


async def _answer(
    live: Live, watcher: Watcher, request: Request, *, last_id: str | None, once: bool
) -> StreamingResponse:
    after = live.follower.seq if last_id is None else await _seen(live, request, last_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    told_ = _told(live, watcher, after, request=request, once=once)
    return StreamingResponse(told_, media_type=KIND, headers=headers)


async def _seen(live: Live, request: Request, last_id: str) -> int:
    """Return the event that a client saw last, maybe at another service, which may be ahead by a moment."""
    if not (last_id.isascii() and last_id.isdigit()):
        raise Problem("header_invalid", "Last-Event-ID is the id of a message of this stream")
    after = int(last_id)
    if after > live.follower.seq:
        head = await service_of(request).store.run(lambda: live.market.database.head(live.market.name))
        if after > head.seq:
            raise Problem("gone", f"the market has {head.seq} events, and the last that you saw was {after}")
        try:
            await asyncio.wait_for(live.follower.reach(after), REACH_S)
        except TimeoutError:
            raise Problem("busy", headers={"Retry-After": "1"}) from None
    return after


async def has_ended(watcher: Watcher, request: Request) -> bool:
    """Tell whether the token of a stream has ended, or the right with it; what it stands for may change."""
    try:
        watcher.identity = await service_of(request).tokens.of_request(request)
    except Problem:
        return True
    return not watcher.admitted()


async def _before(
    live: Live, watcher: Watcher, wanted: Wanted, *, request: Request
) -> AsyncIterator[Message]:
    """Yield the messages of what happened before; a gap for each run of what is told no more."""
    oldest, lost, before = live.state.oldest, 0, wanted.after
    async for one in past(service_of(request), live, wanted):
        if isinstance(one.what, STEPS) and one.what.session < oldest:
            lost = one.seq
            continue
        if lost:
            yield _gap(before, lost)
            before, lost = lost, 0
        for message in watcher.again(one.seq, one.what):
            yield message
    if lost:
        yield _gap(before, lost)


def _gap(after: int, seq: int) -> Message:
    return seq, "gap", {"after": after, "to": seq, "read": list(READ_ANEW)}


async def _told(
    live: Live, watcher: Watcher, after: int, *, request: Request, once: bool
) -> AsyncIterator[str]:
    live.follower.add(watcher.take)
    seq, changed = live.follower.seq, watcher.changed
    if after < seq and watcher.wants("book"):
        changed.update(live.follower.depth.changes)
    loop = asyncio.get_running_loop()
    next_book = loop.time()
    try:
        yield "retry: 2000\n\n"
        kinds = tuple(kind.__name__ for kind in TOLD)
        wanted = Wanted(after=after, last=seq, kinds=kinds, participant=watcher.own)
        async for text in _whole(_before(live, watcher, wanted, request=request)):
            yield text
        while not watcher.late and not await has_ended(watcher, request):
            if changed and (once or loop.time() >= next_book):
                if watcher.queue.empty():
                    seq = max(seq, watcher.seen)
                next_book = _tick(loop.time())
                for book in _books(live, seq, changed):
                    yield book
            if once and watcher.queue.empty():
                return
            wait = max(0.01, next_book - loop.time()) if changed else BEAT_S
            try:
                seq, event = await asyncio.wait_for(watcher.queue.get(), wait)
            except TimeoutError:
                if not changed:
                    yield ": here\n\n"
                continue
            if event is None:
                next_book = _tick(loop.time())
                continue
            messages = list(watcher.messages(seq, event))
            for message in messages:
                yield _text(message, seq - (message is not messages[-1]))
    finally:
        live.follower.remove(watcher.take)


def _tick(now: float) -> float:
    """Return when books are told next, at the same moments in all streams: they are made once for all."""
    return (now // BOOK_S + 1) * BOOK_S


def _books(live: Live, seq: int, changed: set[int]) -> Iterator[str]:
    """Yield a message for each book that changed, and forget that it did; one by one for who reads slowly."""
    numbers = sorted(changed)
    changed.clear()
    for number in numbers:
        if book := _book(live, number):
            yield f"id: {seq}\nevent: book\ndata: {book}\n\n"


def _book(live: Live, number: int) -> str:
    """Return the order book of a session as JSON, "" where it takes no bids; kept while no bid changes it."""
    depth, session = live.follower.depth, live.state.sessions.get(number)
    if session is None or session.status != "open":
        return ""
    changes = depth.changes.get(number, 0)
    kept = depth.texts.get(number)
    if kept is None or kept[0] != changes:
        one = shown(live, live.terms.session(number))
        if one.status != "open":
            return ""
        told_ = order_book(one, depth.levels(number)).model_dump(mode="json")
        kept = depth.texts[number] = changes, json.dumps(told_, ensure_ascii=False)
    return kept[1]


async def _whole(messages: AsyncIterator[Message]) -> AsyncIterator[str]:
    """Yield messages as they are sent; the last one of an event has its number, those before it do not."""
    held: Message | None = None
    async for message in messages:
        if held:
            yield _text(held, held[0] - (held[0] == message[0]))
        held = message
    if held:
        yield _text(held, held[0])


def _text(message: Message, id_: int) -> str:
    _, topic, value = message
    return f"id: {id_}\nevent: {topic}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n"
