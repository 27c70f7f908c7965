"""Notifications: what happened to a participant, told by the events."""

from typing import Annotated

from fastapi import Query
from sqlalchemy import select, tuple_
from starlette.responses import Response

from gridagora.adapters.sql import tables
from gridagora.engine.live.notices import OPERATORS, Notice
from gridagora.model.live import Topic
from gridagora.service.api.v1 import reads
from gridagora.service.api.v1.past import notice_of
from gridagora.service.api.v1.tools import AskedSpan, TheMarket, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.context import Here
from gridagora.service.models.accounts import Notification
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("notifications")


@api.get("/notifications", summary="List notifications")
async def notifications(
    *,
    service: Here,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Annotated[Caller, needs("notifications.read")],
    participant: Annotated[
        str | None, Query(max_length=200, description="left out: what the market's operators are told")
    ] = None,
    topic: Annotated[list[Topic] | None, Query()] = None,
) -> Page[Notification]:
    """Return what happened to a participant, or to the market, oldest first, as far back as it goes."""
    if participant is None:
        caller.require(NOBODYS, fix="name a participant: ?participant=ID")
    else:
        caller.require(live.subject(participant))
    column, after = tables.notices.c, page.after(int, int)
    asked = select(tables.notices).where(
        column.market == live.number, column.participant == (participant or OPERATORS)
    )
    if after is not None:
        asked = asked.where(tuple_(column.seq, column.place) > tuple_(*after))
    if topic:
        asked = asked.where(column.topic.in_(topic))
    if span.begin is not None:
        asked = asked.where(column.at >= span.begin)
    if span.end is not None:
        asked = asked.where(column.at < span.end)
    rows = await reads.fetch(service, live, asked.order_by(column.seq, column.place).limit(page.fetch))
    found = page.page(response, rows, key=lambda row: (row.seq, row.place))
    return Page.model_construct(items=[shown(notice_of(row)) for row in found.items], next=found.next)


def shown(one: Notice) -> Notification:
    """Return a notice as it is answered."""
    return Notification(id=one.id, at=utc(one.at), topic=one.topic, text=one.text, session=one.session)
