"""Notifications: what happened to a participant, told by the events."""

from typing import Annotated

from fastapi import Query
from starlette.responses import Response

from gridagora.engine.live.notices import OPERATORS, Notice
from gridagora.service.api.v1.tools import AskedSpan, TheMarket, paged, utc
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import NOBODYS
from gridagora.service.models.accounts import Notification
from gridagora.service.models.records import Topic
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("notifications")


@api.get("/notifications", summary="List notifications")
async def notifications(
    *,
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
    """Return what happened to a participant, or to the market, oldest first: the newest 500 are kept."""
    caller.require(NOBODYS if participant is None else live.subject(participant))
    notices = live.follower.notices.get(participant or OPERATORS, ())
    numbered = _numbered([one for one in notices if _wanted(one, topic) and span.holds(one.at)])
    return paged(
        page, response, numbered, key=lambda one: one[0], make=lambda one: shown(one[1]), kinds=(int, int)
    )


def _wanted(one: Notice, topics: list[Topic] | None) -> bool:
    return not topics or one.topic in topics


def _numbered(notices: list[Notice]) -> list[tuple[tuple[int, ...], Notice]]:
    """Return notices with their keys: the event, and the place among those of it."""
    found: list[tuple[tuple[int, ...], Notice]] = []
    for one in notices:
        place = found[-1][0][1] + 1 if found and found[-1][1].id == one.id else 0
        found.append(((one.id, place), one))
    return found


def shown(one: Notice) -> Notification:
    """Return a notice as it is answered."""
    return Notification(id=one.id, at=utc(one.at), topic=one.topic, text=one.text, session=one.session)
