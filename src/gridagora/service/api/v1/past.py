"""What happened before a stream began, read from the database page by page, however long ago it was."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from typing import Any

from sqlalchemy import select

from gridagora.adapters.sql import tables
from gridagora.adapters.sql.codec import decode
from gridagora.engine.live.notices import Notice
from gridagora.model.events import Event
from gridagora.service.api.v1.tools import Live
from gridagora.service.context import Service

PAGE = 500
"""Events that are read at a time, in a thread of the database's lane."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """An event that a stream tells of, or a notice, with its number in the chain."""

    seq: int
    what: Event | Notice


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What of the past is asked for.

    Parameters
    ----------
    after, last : numbers of events, from the one behind ``after`` to ``last``
    kinds : names of the classes of events
    participant : whose notices are told too, None: nobody's
    """

    after: int
    last: int
    kinds: tuple[str, ...]
    participant: str | None


async def past(service: Service, live: Live, wanted: Wanted) -> AsyncIterator[Happened]:
    """Yield what happened, in order; only a page of it is in memory."""
    after = wanted.after
    while after < wanted.last:
        page, after = await service.store.run(partial(_page, live, wanted, after))
        for one in page:
            yield one


def _page(live: Live, wanted: Wanted, after: int) -> tuple[Sequence[Happened], int]:
    """Return some of what happened, and the number of the last event that was looked at."""
    event, notice = tables.events.c, tables.notices.c
    events = select(event.seq, event.body).where(
        event.market == live.number,
        event.seq > after,
        event.seq <= wanted.last,
        event.kind.in_(wanted.kinds),
    )
    with live.market.database.reading() as connection:
        rows = connection.execute(events.order_by(event.seq).limit(PAGE)).all()
        end = int(rows[-1].seq) if len(rows) == PAGE else wanted.last
        told: list[Happened] = []
        if wanted.participant is not None:
            own = select(tables.notices).where(
                notice.market == live.number,
                notice.participant == wanted.participant,
                notice.seq > after,
                notice.seq <= end,
            )
            for row in connection.execute(own.order_by(notice.seq, notice.place)):
                told.append(Happened(seq=row.seq, what=notice_of(row)))
    found = [Happened(seq=row.seq, what=decode(bytes(row.body))) for row in rows]
    return list(merge(found, told, key=lambda one: one.seq)), end


def notice_of(row: Any) -> Notice:
    """Return the notice of a row of its table."""
    names = ("at", "participant", "topic", "text", "session")
    return Notice(id=row.seq, **{name: getattr(row, name) for name in names})
