"""Organisations: who takes part in the market and runs it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import Table
from starlette.requests import Request
from starlette.responses import Response

from gridagora.service.auth import records, tables
from gridagora.service.auth.audit import Note
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.records import Organisation, OrganisationType, Status
from gridagora.service.auth.rights import Reach, Subject
from gridagora.service.context import Here, Service
from gridagora.service.guard import address_of
from gridagora.service.headers import ExpectedVersion, etag, tagged
from gridagora.service.pages import AskedPage, Page
from gridagora.service.problems import Problem
from gridagora.service.routes import PREFIX, router
from gridagora.service.texts import Id, Model, Name

api = router("organisations")

Reader = Annotated[Caller, needs("organisations.read")]
Writer = Annotated[Caller, needs("organisations.write")]
Areas = Annotated[list[Id | Annotated[str, Field(pattern=r"^\*$")]], Field(max_length=1_000)]


class NewOrganisation(Model):
    """An organisation; `areas` are the zones of a grid operator, `*` all of them."""

    id: Id
    name: Name
    type: OrganisationType
    areas: Areas = Field(default_factory=list)


class OrganisationChange(Model):
    """What is to be changed; people and machines of a blocked one are locked out at once."""

    name: Name | None = None
    areas: Areas | None = None
    status: Status | None = None


class OrganisationState(Model):
    """An organisation as it is kept."""

    id: str
    name: str
    type: OrganisationType
    areas: list[str]
    status: Status
    version: int
    made_at: datetime


def told(found: Organisation) -> OrganisationState:
    """Return an organisation as the API tells it."""
    values = {name: getattr(found, name) for name in OrganisationState.model_fields}
    return OrganisationState(**values | {"areas": list(found.areas)})


def subject_of(found: Organisation) -> Subject:
    """Return whose an organisation is: its own."""
    return Subject(organisations=frozenset({found.id}))


def note_of(caller: Caller, request: Request, thing: str, *, detail: Mapping[str, Any]) -> Note:
    """Return the entry of the audit log for what a caller does."""
    identity = caller.identity
    return Note(
        actor=identity.id,
        organisation=identity.organisation,
        action=caller.action,
        object=thing,
        address=address_of(request.scope),
        detail={"method": request.method, **detail},
    )


@api.get("/organisations", summary="List organisations")
async def organisations(
    *, page: AskedPage, response: Response, service: Here, caller: Reader
) -> Page[OrganisationState]:
    """Return organisations in the order of their ids: all, or one's own."""
    after = page.after(str)
    where = [] if caller.reach is Reach.ALL else [tables.organisations.c.id == caller.identity.organisation]

    def work() -> list[Organisation]:
        with service.desk.reading() as connection:
            first = None if after is None else str(after[0])
            return records.some(connection, tables.organisations, after=first, limit=page.fetch, where=where)

    found = await service.store.run(work)
    return page.page(response, [told(one) for one in found], key=lambda one: (one.id,))


@api.post("/organisations", status_code=201, summary="Add an organisation")
async def add_organisation(
    *, body: NewOrganisation, request: Request, response: Response, service: Here, caller: Writer
) -> OrganisationState:
    """Add an organisation; its people and machines act in the role of its type."""

    def work() -> Organisation:
        with service.desk.changing(
            note_of(caller, request, body.id, detail={"type": body.type})
        ) as connection:
            values = {**body.model_dump(), "status": "active", "version": 1, "made_at": service.desk.now()}
            made: Organisation = records.add(connection, tables.organisations, values)
            return made

    made = await service.store.run(work)
    response.headers["Location"] = f"{PREFIX}/organisations/{made.id}"
    response.headers["ETag"] = etag(made.version)
    return told(made)


@api.get("/organisations/{id}", summary="One organisation")
async def organisation(
    *, id: str, request: Request, response: Response, service: Here, caller: Reader
) -> OrganisationState:
    """Return an organisation."""
    found: Organisation = await read(service, caller, id, table=tables.organisations, subject_of=subject_of)
    tagged(request, response, etag(found.version))
    return told(found)


async def read(
    service: Service, caller: Caller, id: str, *, table: Table, subject_of: Callable[[Any], Subject]
) -> Any:
    """Return a record that is the caller's; one that is not there is nobody's, so that none is given away."""

    def work() -> Any:
        with service.desk.reading() as connection:
            return records.find(connection, table, id)

    found = await service.store.run(work)
    caller.require(Subject() if found is None else subject_of(found))
    if found is None:
        raise records.missing(table, id)
    return found


@api.patch("/organisations/{id}", summary="Change an organisation")
async def change_organisation(
    *,
    id: str,
    body: OrganisationChange,
    request: Request,
    response: Response,
    version: ExpectedVersion,
    service: Here,
    caller: Writer,
) -> OrganisationState:
    """Change what the body names."""
    values = body.model_dump(exclude_none=True)
    if values.get("status") == "blocked" and id == caller.identity.organisation:
        raise Problem("conflict", "nobody can lock their own organisation out")

    def work() -> Organisation:
        with service.desk.changing(note_of(caller, request, id, detail=values)) as connection:
            changed: Organisation = records.change(
                connection, tables.organisations, id, values=values, version=version
            )
            return changed

    changed = await service.store.run(work)
    service.tokens.forget_all()
    response.headers["ETag"] = etag(changed.version)
    return told(changed)
