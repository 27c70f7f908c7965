"""Limits of the grid per place and time, emergencies, and where delivery went beyond them."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import select
from starlette.responses import Response

from gridagora.adapters.sql import tables
from gridagora.engine.live.commands import DeclareLimit
from gridagora.model.live_events import LimitDeclared
from gridagora.service.api.v1.tools import (
    AskedSpan,
    Live,
    TheMarket,
    known,
    new_id,
    paged,
    seconds,
    utc,
    wrong,
)
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.rights import Subject
from gridagora.service.context import Here
from gridagora.service.headers import Repeatable
from gridagora.service.models.accounts import Breach, Limit, NewLimit
from gridagora.service.models.base import Id
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import router

api = router("grid limits")
Reader = Annotated[Caller, needs("limits.read")]
Writer = Annotated[Caller, needs("limits.write")]
INFINITE = float("inf")


def place_of(live: Live, kind: str, place: str) -> Subject:
    """Return whose a place is: a participant with its zones, a bus with its zones, or a zone."""
    if kind == "participant":
        return replace(live.subject(place), areas=live.areas(place))
    if kind == "bus":
        return Subject(areas=live.areas_of_bus(place))
    zones = live.market.context.zones
    inside = zones is not None and place in zones.tree.names
    return Subject(areas=frozenset(zones.tree.path(place)) if inside and zones is not None else frozenset())


def told(limit: LimitDeclared) -> Limit:
    """Return a limit as it is answered."""
    return Limit(
        id=limit.id,
        place_kind=limit.place_kind,
        place=limit.place,
        begins=utc(limit.begins),
        ends=utc(limit.ends),
        import_kw=limit.import_kw if limit.import_kw < INFINITE else None,
        export_kw=limit.export_kw if limit.export_kw < INFINITE else None,
        emergency=limit.emergency,
        reason=limit.reason,
        declared_at=utc(limit.at),
    )


@api.get("/limits", summary="List limits")
async def limits(
    *,
    live: TheMarket,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    place: Annotated[str | None, Query(max_length=200, description="bus, zone or participant")] = None,
    emergency: Annotated[bool | None, Query()] = None,
) -> Page[Limit]:
    """Return limits that hold within a span, by their ids."""
    found = sorted(live.state.limits.values(), key=lambda limit: limit.id)
    mine = caller.only(found, lambda limit: place_of(live, limit.place_kind, limit.place))
    rows = [
        limit
        for limit in mine
        if span.overlaps(limit.begins, limit.ends)
        and place in (None, limit.place)
        and emergency in (None, limit.emergency)
    ]
    return paged(page, response, rows, key=lambda limit: (limit.id,), make=told, kinds=(str,))


@api.get("/limits/{id}", summary="Read a limit")
async def limit(live: TheMarket, id: Id, caller: Reader) -> Limit:
    """Return a limit."""
    found = live.state.limits.get(id)
    caller.require(Subject() if found is None else place_of(live, found.place_kind, found.place))
    return told(known(found, f"limit {id}"))


@api.post("/limits", status_code=201, summary="Declare a limit")
async def declare(*, live: TheMarket, body: NewLimit, caller: Writer, repeat: Repeatable) -> Limit:
    """Limit what may be exchanged at a place in sessions that are cleared from now on."""
    return await _declare(live, body, caller, repeat=repeat, emergency=False)


@api.post("/emergencies", status_code=201, summary="Declare an emergency")
async def emergency(
    *,
    live: TheMarket,
    body: NewLimit,
    caller: Annotated[Caller, needs("activations.write")],
    repeat: Repeatable,
) -> Limit:
    """Limit a place at once: what was cleared already is held against the limit too."""
    return await _declare(live, body, caller, repeat=repeat, emergency=True)


async def _declare(live: Live, body: NewLimit, caller: Caller, *, repeat: Any, emergency: bool) -> Limit:
    caller.require(_limited(live, caller, body.place_kind, place=body.place))
    before = live.state.limits.get(body.id or "")
    if before is not None:
        caller.require(_limited(live, caller, before.place_kind, place=before.place))
        if (before.place_kind, before.place) != (body.place_kind, body.place):
            reason = "is that of a limit of another place, whose breaches are not this one's"
            raise wrong("id_invalid", "id", body.id, reason=reason, fix="choose another one")
    command = DeclareLimit(
        at=live.now(),
        actor=caller.identity.id,
        id=new_id(body.id),
        place_kind=body.place_kind,
        place=body.place,
        begins=seconds(body.begins),
        ends=seconds(body.ends),
        import_kw=INFINITE if body.import_kw is None else body.import_kw,
        export_kw=INFINITE if body.export_kw is None else body.export_kw,
        emergency=emergency,
        reason=body.reason,
    )
    event = (await live.do(command, repeat)).events[0]
    return told(event)  # type: ignore[arg-type]


def _limited(live: Live, caller: Caller, kind: str, *, place: str) -> Subject:
    """Return whose a place is to who limits it; in an emergency a grid operator its own areas."""
    subject = place_of(live, kind, place)
    if caller.action != "activations.write":
        return subject
    areas = frozenset({*caller.identity.areas} & {*subject.areas, "*"})
    return Subject(organisations=frozenset({caller.identity.organisation}) if areas else frozenset())


@api.get("/breaches", summary="List deliveries beyond limits")
async def breaches(
    *,
    live: TheMarket,
    service: Here,
    page: AskedPage,
    response: Response,
    span: AskedSpan,
    caller: Reader,
    limit: Annotated[str | None, Query(max_length=100, description="id of a limit")] = None,
) -> Page[Breach]:
    """Return where what was delivered in settled sessions went beyond limits."""
    key = page.after_pair()
    rows = await service.store.run(partial(_broken, live, key))
    places = {row.id: Subject(areas=frozenset()) for row in rows}
    for row in rows:
        places[row.id] = place_of(live, row.place_kind or "", row.place or "")
    mine = caller.only(rows, lambda row: places[row.id])
    terms = live.terms
    wanted = [row for row in mine if limit in (None, row.id) and span.holds(terms.begins(row.period))][
        : page.fetch
    ]
    cut = page.page(response, wanted, key=lambda row: (row.session, row.row))
    items = [
        Breach(
            limit=row.id,
            session=row.session,
            period=row.period,
            start=utc(terms.begins(row.period)),
            net_wh=row.net_wh,
            allowed_wh=row.allowed_wh,
        )
        for row in cut.items
    ]
    return Page(items=items, next=cut.next)


def _broken(live: Live, after: tuple[int, int]) -> Any:
    row, limit = tables.broken_limits.c, tables.grid_limits.c
    joined = tables.broken_limits.outerjoin(
        tables.grid_limits, (limit.market == row.market) & (limit.id == row.id)
    )
    asked = select(*tables.broken_limits.columns, limit.place_kind, limit.place).select_from(joined)
    behind = (row.session > after[0]) | ((row.session == after[0]) & (row.row > after[1]))
    asked = asked.where(row.market == live.number, behind).order_by(row.session, row.row).limit(100_000)
    with live.market.database.reading() as connection:
        return connection.execute(asked).all()
