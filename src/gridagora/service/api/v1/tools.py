"""What all routers of the market share: commands, the state, whose things are, moments, pages in memory."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Query
from starlette.requests import HTTPConnection
from starlette.responses import Response

from gridagora.engine.live.bidding import connection_of
from gridagora.engine.live.commands import LiveCommand
from gridagora.engine.live.flexing import is_buyer
from gridagora.engine.live.refusals import refusal
from gridagora.engine.live.state import LiveState
from gridagora.errors import InputError
from gridagora.model.live import LiveTerms
from gridagora.service.auth.needs import Caller
from gridagora.service.auth.rights import Subject
from gridagora.service.follow import Follower
from gridagora.service.headers import Command
from gridagora.service.pages import Asked, Key, Page
from gridagora.service.platform import Done, Market
from gridagora.service.problems import Problem

T = TypeVar("T")
R = TypeVar("R")


class Live:
    """The market as the routers see it.

    Parameters
    ----------
    market : carries out commands
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.follower = Follower(market)
        self.schedules: dict[int, Any] = {}
        self.trees: Any = None
        self.deals: Any = None
        self.number = market.database.head(market.name).market

    @property
    def state(self) -> LiveState:
        """State of the market, to be read only."""
        return self.follower.state

    @property
    def terms(self) -> LiveTerms:
        """Terms of the market."""
        terms = self.state.terms
        if terms is None:
            raise InputError([refusal("market_not_open", "market", self.market.name, fix="open it first")])
        return terms

    def now(self) -> int:
        """Return the market's moment."""
        return self.market.now()

    async def do(self, command: LiveCommand, repeat: Command | None = None) -> Done:
        """Have a command carried out; return when it is on disk and in the state."""
        key, request = ("", b"") if repeat is None else (repeat.key, repeat.request)
        done = await asyncio.wrap_future(self.market.submit(command, key=key, request=request))
        await self.follower.reach(done.last)
        return done

    def subject(self, participant: str) -> Subject:
        """Return whose the things of a participant are, or of a grid operator that buys flexibility."""
        record = self.state.register.get("participant", participant)
        if record is None and is_buyer(self.state, participant):
            return Subject(organisations=frozenset({participant}))
        if record is None:
            return Subject(participants=frozenset({participant}))
        return Subject(
            registrar=self.follower.registrar(participant),
            participants=frozenset({participant}),
            organisations=self._organisations(record.body),
            areas=self.areas(participant),
        )

    def _organisations(self, body: Mapping[str, Any]) -> frozenset[str]:
        """Return whose a participant is: its organisation's and its aggregator's.

        An aggregator that is its organisation too, for it registered it, is no more once there is another.
        """
        home, aggregator = body.get("organisation"), body.get("aggregator")
        if home and aggregator and home != aggregator:
            record = self.state.register.get("organisation", home)
            if record is not None and record.body.get("role") == "aggregator":
                return frozenset({aggregator})
        return frozenset(name for name in (home, aggregator) if name)

    def areas(self, participant: str) -> frozenset[str]:
        """Return the zone of a participant with all zones above; none where there are no zones."""
        if self.market.context.zones is None:
            return frozenset()
        point = connection_of(self.state, participant)
        return frozenset() if point is None else self.areas_of_bus(point["bus"])

    def areas_of_bus(self, bus: str) -> frozenset[str]:
        """Return the zone of a bus with all zones above."""
        zones = self.market.context.zones
        zone = self.market.context.zone_of_bus.get(bus)
        return frozenset() if zones is None or zone is None else frozenset(zones.tree.path(zone))


def live_of(connection: HTTPConnection) -> Live:
    """Return the market of an application; the first that asks makes it."""
    state = connection.app.state
    live = getattr(state, "live", None)
    if live is None:
        live = state.live = Live(cast(Market, state.service.platform))
    return cast(Live, live)


async def _here(connection: HTTPConnection) -> Live:
    return live_of(connection)


TheMarket = Annotated[Live, Depends(_here)]
"""Parameter of an endpoint: the market."""


class Span:
    """Moments ``[begin, end)`` that a list is asked for, seconds; None: open on that side."""

    def __init__(self, begin: int | None, end: int | None) -> None:
        self.begin, self.end = begin, end

    def holds(self, moment: int) -> bool:
        """Tell whether a moment lies within."""
        return (self.begin is None or moment >= self.begin) and (self.end is None or moment < self.end)

    def overlaps(self, begins: int, ends: int) -> bool:
        """Tell whether ``[begins, ends)`` and the span have a moment in common."""
        return (self.end is None or begins < self.end) and (self.begin is None or ends > self.begin)


async def _span(
    begin: Annotated[
        datetime | None, Query(alias="from", description="RFC 3339; from this moment on.")
    ] = None,
    end: Annotated[datetime | None, Query(alias="to", description="RFC 3339; before this moment.")] = None,
) -> Span:
    return Span(*(None if moment is None else seconds(moment) for moment in (begin, end)))


AskedId = Annotated[str | None, Query(max_length=200)]
"""Parameter of a list of which one may ask for what is about one participant or product."""

AskedSpan = Annotated[Span, Depends(_span)]
"""Parameter of a list with filters ``from`` and ``to``."""


def utc(moment: int) -> datetime:
    """Return a moment for an answer.

    >>> utc(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return datetime.fromtimestamp(moment, UTC)


def seconds(moment: datetime) -> int:
    """Return whole seconds since 1970 UTC; a moment without offset is taken as UTC.

    >>> seconds(datetime(1970, 1, 2))
    86400
    """
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        return int(aware.timestamp() // 1)
    except (OverflowError, ValueError):
        raise Problem("input_invalid", f"{moment} is no moment that can be told") from None


def new_id(told: str | None) -> str:
    """Return the id that was chosen, or a new one."""
    return told or uuid.uuid4().hex[:16]


def paged(
    asked: Asked,
    response: Response,
    rows: Iterable[T],
    *,
    key: Callable[[T], Key],
    make: Callable[[T], R],
    kinds: tuple[type[int] | type[str], ...] = (int,),
) -> Page[R]:
    """Return the page of rows in the order of their keys that is asked for, each made into an answer."""
    after = asked.after(*kinds)
    wanted: Iterator[T] = (row for row in rows if after is None or key(row) > after)
    found = list(islice(wanted, asked.fetch))
    page = asked.page(response, found, key=key)
    return Page.model_construct(items=[make(row) for row in page.items], next=page.next)


def named(live: Live, caller: Caller, participant: str | None, *, found: Sequence[object]) -> None:
    """Refuse a list of a participant's things of which the caller may see none, whoever that is.

    So it is answered alike whether the participant is there or not, and whether it has such things.
    """
    if participant is not None and not found:
        caller.require(live.subject(participant))


def known(found: T | None, what: str) -> T:
    """Return what was found; raise a problem where it was nothing."""
    if found is None:
        raise Problem("not_found", f"there is no {what}")
    return found


def wrong(code: str, place: str, value: Any, *, reason: str = "", fix: str) -> InputError:
    """Return the refusal of one field, with one of the engine's codes."""
    return InputError([refusal(code, place, value, reason=reason, fix=fix)])
