"""Records of the register: one router of the same shape for each kind."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gridagora.engine.live.commands import KeepResource
from gridagora.engine.live.resources import KINDS
from gridagora.engine.live.state import Record
from gridagora.model.live_events import ResourceKept
from gridagora.service.api.v1.owners import belong_to, check_name, check_owner, know_organisations
from gridagora.service.api.v1.tools import AskedId, Live, TheMarket, known, named, new_id, paged, utc, wrong
from gridagora.service.auth.needs import Caller, needs, public
from gridagora.service.auth.rights import NOBODYS, Subject
from gridagora.service.context import Here
from gridagora.service.headers import Command, ExpectedVersion, Repeatable, etag, tagged
from gridagora.service.models import records
from gridagora.service.models.base import Answer, Ask, Id
from gridagora.service.pages import AskedPage, Page
from gridagora.service.platform import Done
from gridagora.service.routes import router


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """A kind of record as a resource.

    Parameters
    ----------
    kind : in the register
    path, tag : in the API
    answer, new, fields : bodies of what is read, made and changed
    read, write, decide : actions; "" for ``read``: everybody may
    decides : statuses that ``decide`` may set
    ends : status that whoever may write sets by DELETE; "" where that cannot be
    reopens : statuses from which a change by its owner leads back to the first one
    """

    kind: str
    path: str
    tag: str
    answer: type[Answer]
    new: type[Ask]
    fields: type[Ask]
    read: str
    write: str
    decide: str = ""
    decides: tuple[str, ...] = ()
    ends: str = ""
    reopens: tuple[str, ...] = ()

    def subject(self, live: Live, body: Any, id_: str = "") -> Subject:
        """Return whose a record is."""
        if self.kind == "participant":
            return live.subject(id_)
        if self.kind == "tariff":
            return Subject(organisations=frozenset({live.terms.retailer} - {""}))
        participant = body.get("participant")
        if participant is None:
            return NOBODYS
        subject = live.subject(participant)
        if self.kind == "connection_point":
            return replace(subject, areas=live.areas_of_bus(body.get("bus", "")))
        return subject

    def shown(self, record: Record) -> Answer:
        """Return a record as it is answered."""
        return self.answer.model_validate(
            {
                **record.body,
                "id": record.id,
                "status": record.status,
                "version": record.version,
                "changed_at": utc(record.at),
            }
        )

    def found(self, live: Live, id_: str) -> Record:
        """Return a record that is there."""
        return known(live.state.register.get(self.kind, id_), f"{self.kind.replace('_', ' ')} {id_!r}")


SHELVES = (
    Shelf(
        kind="participant",
        path="/participants",
        tag="participants",
        answer=records.Participant,
        new=records.NewParticipant,
        fields=records.ParticipantFields,
        read="participants.read",
        write="participants.write",
        decide="market.operate",
        decides=KINDS["participant"].statuses,
    ),
    Shelf(
        kind="connection_point",
        path="/connection-points",
        tag="connection points",
        answer=records.ConnectionPoint,
        new=records.NewConnectionPoint,
        fields=records.ConnectionPointFields,
        read="connections.read",
        write="connections.write",
        decide="connections.write",
        decides=KINDS["connection_point"].statuses,
    ),
    Shelf(
        kind="asset",
        path="/assets",
        tag="assets",
        answer=records.Asset,
        new=records.NewAsset,
        fields=records.AssetFields,
        read="assets.read",
        write="assets.write",
        ends="withdrawn",
        reopens=("approved", "rejected", "withdrawn"),
    ),
    Shelf(
        kind="product",
        path="/products",
        tag="products",
        answer=records.Product,
        new=records.NewProduct,
        fields=records.ProductFields,
        read="",
        write="products.write",
        decide="products.write",
        decides=KINDS["product"].statuses,
    ),
    Shelf(
        kind="forecast",
        path="/forecasts",
        tag="forecasts",
        answer=records.Forecast,
        new=records.NewForecast,
        fields=records.ForecastFields,
        read="forecasts.read",
        write="forecasts.write",
        ends="withdrawn",
    ),
    Shelf(
        kind="tariff",
        path="/tariffs",
        tag="tariffs",
        answer=records.Tariff,
        new=records.NewTariff,
        fields=records.TariffFields,
        read="",
        write="tariffs.write",
        ends="withdrawn",
    ),
)
"""Kinds of records that are resources of the API."""


def shelf_router(shelf: Shelf) -> APIRouter:
    """Return the router of a kind of record."""
    api = router(shelf.tag)
    _add_list(api, shelf)
    _add_one(api, shelf)
    _add_new(api, shelf)
    _add_change(api, shelf)
    if shelf.decide:
        _add_status(api, shelf)
    if shelf.ends:
        _add_end(api, shelf)
    return api


def _add_list(api: APIRouter, shelf: Shelf) -> None:

    def found(live: Live, participant: str | None, status: str | None) -> Iterable[Record]:
        register = live.state.register
        owned = participant is not None and shelf.kind != "participant"
        rows = register.owned(shelf.kind, str(participant)) if owned else register.all(shelf.kind)
        return (
            row for row in rows if status in (None, row.status) and (owned or participant in (None, row.id))
        )

    if shelf.read:

        async def listed(
            *,
            live: TheMarket,
            page: AskedPage,
            response: Response,
            caller: Annotated[Caller, needs(shelf.read)],
            participant: AskedId = None,
            status: Annotated[str | None, Query(max_length=20)] = None,
        ) -> Any:
            mine = caller.only(found(live, participant, status), lambda r: shelf.subject(live, r.body, r.id))
            named(live, caller, participant, found=mine)
            return paged(page, response, _numbered(mine), key=_number, make=shelf.shown)
    else:

        @public
        async def listed(  # type: ignore[misc]
            *,
            live: TheMarket,
            page: AskedPage,
            response: Response,
            status: Annotated[str | None, Query(max_length=20)] = None,
        ) -> Any:
            rows = _numbered(found(live, None, status))
            return paged(page, response, rows, key=_number, make=shelf.shown)

    listed.__name__ = f"list_{shelf.path[1:].replace('-', '_')}"
    model = Page[shelf.answer]  # type: ignore[name-defined]
    api.get(shelf.path, response_model=model, summary=f"List {shelf.tag}")(listed)


def _add_one(api: APIRouter, shelf: Shelf) -> None:
    async def told(live: Live, caller: Caller | None, id_: str, *, sent: tuple[Request, Response]) -> Answer:
        record = live.state.register.get(shelf.kind, id_)
        if caller is not None:
            caller.require(Subject() if record is None else shelf.subject(live, record.body, id_))
        record = shelf.found(live, id_)
        tagged(*sent, etag(record.version))
        return shelf.shown(record)

    if shelf.read:

        async def one(
            *,
            live: TheMarket,
            id: Id,
            request: Request,
            response: Response,
            caller: Annotated[Caller, needs(shelf.read)],
        ) -> Any:
            return await told(live, caller, id, sent=(request, response))
    else:

        @public
        async def one(  # type: ignore[misc]
            *,
            live: TheMarket,
            id: Id,
            request: Request,
            response: Response,
        ) -> Any:
            return await told(live, None, id, sent=(request, response))

    one.__name__ = f"read_{shelf.kind}"
    api.get(shelf.path + "/{id}", response_model=shelf.answer, summary=f"Read {_a(shelf.kind)}")(one)


def _add_new(api: APIRouter, shelf: Shelf) -> None:
    async def make(
        *,
        live: TheMarket,
        service: Here,
        body: Ask,
        response: Response,
        caller: Annotated[Caller, needs(shelf.write)],
        repeat: Repeatable,
    ) -> Any:
        fields = body.model_dump(mode="json", exclude_none=True)
        id_ = new_id(fields.pop("id", None))
        caller.require(_subject_of_new(shelf, live, caller, fields=fields))
        if shelf.kind == "participant":
            check_owner(caller, fields, before=None)
            await check_name(service, caller, id_)
            belong_to(caller, fields)
        await know_organisations(live, service, fields)
        done = await live.do(_keep(live, caller, shelf, id_=id_, body=fields, version=0), repeat)
        record = _kept(done)
        response.headers["Location"] = f"/api/v1{shelf.path}/{record.id}"
        response.headers["ETag"] = etag(record.version)
        return shelf.shown(record)

    make.__annotations__["body"] = shelf.new
    make.__name__ = f"make_{shelf.kind}"
    api.post(shelf.path, status_code=201, response_model=shelf.answer, summary=f"Make {_a(shelf.kind)}")(make)


def _add_change(api: APIRouter, shelf: Shelf) -> None:
    async def change(
        *,
        live: TheMarket,
        service: Here,
        id: Id,
        body: Ask,
        response: Response,
        version: ExpectedVersion,
        caller: Annotated[Caller, needs(shelf.write)],
        repeat: Repeatable,
    ) -> Any:
        record = live.state.register.get(shelf.kind, id)
        caller.require(Subject() if record is None else shelf.subject(live, record.body, id))
        record = shelf.found(live, id)
        fields = body.model_dump(mode="json", exclude_none=True)
        caller.require(shelf.subject(live, fields, id))
        if shelf.kind == "participant":
            check_owner(caller, fields, before=record)
        await know_organisations(live, service, fields)
        status = KINDS[shelf.kind].statuses[0] if record.status in shelf.reopens else record.status
        command = _keep(live, caller, shelf, id_=id, body=fields, version=version, status=status)
        return _answer(shelf, await live.do(command, repeat), response)

    change.__annotations__["body"] = shelf.fields
    change.__name__ = f"change_{shelf.kind}"
    api.put(shelf.path + "/{id}", response_model=shelf.answer, summary=f"Change {_a(shelf.kind)}")(change)


def _add_status(api: APIRouter, shelf: Shelf) -> None:
    async def set_status(
        *,
        live: TheMarket,
        id: Id,
        body: records.StatusChange,
        response: Response,
        version: ExpectedVersion,
        caller: Annotated[Caller, needs(shelf.decide)],
        repeat: Repeatable,
    ) -> Any:
        record = live.state.register.get(shelf.kind, id)
        caller.require(Subject() if record is None else shelf.subject(live, record.body, id))
        record = shelf.found(live, id)
        if body.status not in shelf.decides:
            raise wrong(
                "status_unknown", "status", body.status, fix=f"write one of {', '.join(shelf.decides)}"
            )
        command = _keep(
            live, caller, shelf, id_=id, body=dict(record.body), version=version, status=body.status
        )
        return _answer(shelf, await live.do(command, repeat), response)

    set_status.__name__ = f"set_status_of_{shelf.kind}"
    summary = f"Set the status of {_a(shelf.kind)}: {', '.join(shelf.decides)}"
    api.put(shelf.path + "/{id}/status", response_model=shelf.answer, summary=summary)(set_status)


def _add_end(api: APIRouter, shelf: Shelf) -> None:
    async def end(
        *,
        live: TheMarket,
        id: Id,
        response: Response,
        caller: Annotated[Caller, needs(shelf.write)],
        repeat: Repeatable,
    ) -> Any:
        record = live.state.register.get(shelf.kind, id)
        caller.require(Subject() if record is None else shelf.subject(live, record.body, id))
        record = shelf.found(live, id)
        command = _keep(
            live, caller, shelf, id_=id, body=dict(record.body), version=record.version, status=shelf.ends
        )
        return _answer(shelf, await live.do(command, repeat), response)

    end.__name__ = f"end_{shelf.kind}"
    api.delete(shelf.path + "/{id}", response_model=shelf.answer, summary=f"Withdraw {_a(shelf.kind)}")(end)


def qualification_router() -> APIRouter:
    """Return the router of decisions on the prequalification of assets."""
    api = router("assets")
    shelf = next(shelf for shelf in SHELVES if shelf.kind == "asset")

    @api.put("/assets/{id}/qualification", response_model=records.Asset, summary="Decide on prequalification")
    async def qualify(
        *,
        live: TheMarket,
        id: Id,
        body: records.Qualification,
        response: Response,
        version: ExpectedVersion,
        caller: Annotated[Caller, needs("assets.qualify")],
        repeat: Repeatable,
    ) -> Any:
        """Approve an asset, so that its owner can sell, or reject it with a reason that the owner sees."""
        record = live.state.register.get("asset", id)
        caller.require(Subject() if record is None else shelf.subject(live, record.body, id))
        record = shelf.found(live, id)
        status = "approved" if body.decision == "approve" else "rejected"
        fields = {**record.body, "reason": body.reason} if body.reason else dict(record.body)
        if body.decision == "reject" and not body.reason.strip():
            raise wrong("field_missing", "reason", body.reason, fix="say why the asset was rejected")
        if body.decision == "approve":
            fields.pop("reason", None)
        command = _keep(live, caller, shelf, id_=id, body=fields, version=version, status=status)
        return _answer(shelf, await live.do(command, repeat), response)

    return api


def _keep(
    live: Live,
    caller: Caller,
    shelf: Shelf,
    *,
    id_: str,
    body: dict[str, Any],
    version: int,
    status: str = "",
) -> KeepResource:
    return KeepResource(
        at=live.now(),
        actor=caller.identity.id,
        kind=shelf.kind,
        id=id_,
        body=json.dumps(body),
        status=status,
        version=version,
    )


def _subject_of_new(shelf: Shelf, live: Live, caller: Caller, *, fields: dict[str, Any]) -> Subject:
    """Return whose a new record would be; who registers a participant for its organisation owns it.

    A grid operator connects at its own buses those who are connected nowhere, or in its area.
    """
    if shelf.kind == "connection_point":
        areas = live.areas(fields["participant"])
        if areas:
            caller.require(live.subject(fields["participant"]))
    if shelf.kind != "participant":
        return shelf.subject(live, fields)
    organisations = {fields.get("organisation", caller.identity.organisation)}
    return Subject(owner=caller.identity.id, organisations=frozenset(organisations))


def _kept(done: Done) -> Record:
    """Return the record as a command kept it, also where it had been carried out before."""
    event = next(event for event in done.events if isinstance(event, ResourceKept))
    return Record(
        kind=event.kind,
        id=event.id,
        version=event.version,
        status=event.status,
        body=json.loads(event.body),
        at=event.at,
        number=0,
        maker=event.actor,
    )


def _answer(shelf: Shelf, done: Done, response: Response) -> Answer:
    record = _kept(done)
    response.headers["ETag"] = etag(record.version)
    return shelf.shown(record)


def _numbered(rows: Iterable[Record]) -> list[Record]:
    return sorted(rows, key=lambda record: record.number)


def _number(record: Record) -> tuple[int, ...]:
    return (record.number,)


def _a(kind: str) -> str:
    words = kind.replace("_", " ")
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


__all__ = ["SHELVES", "Command", "Shelf", "qualification_router", "shelf_router"]
