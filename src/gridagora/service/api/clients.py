"""Machine clients: programs that act for an organisation or person, with no more rights than needed."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from gridagora.service.api.organisations import note_of, read
from gridagora.service.auth import records, tables
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.passwords import new_id, new_secret
from gridagora.service.auth.records import ROLE_OF_TYPE, Client, Status
from gridagora.service.auth.rights import RIGHTS, Reach, Role, Subject
from gridagora.service.context import Here
from gridagora.service.headers import ExpectedVersion, etag, tagged
from gridagora.service.pages import AskedPage, Page
from gridagora.service.routes import PREFIX, router
from gridagora.service.texts import Id, Model, Name

api = router("clients")

Reader = Annotated[Caller, needs("clients.read")]
Writer = Annotated[Caller, needs("clients.write")]
GROUPS = frozenset(action.split(".")[0] for action in RIGHTS)


def check_scope(text: str) -> str:
    """Return a scope: an action, all actions on one thing, or all.

    >>> check_scope("bids.write"), check_scope("bids.*")
    ('bids.write', 'bids.*')
    """
    group, _, word = text.partition(".")
    if text not in RIGHTS and text != "*" and not (group in GROUPS and word == "*"):
        raise PydanticCustomError("scope_unknown", "is no action, no bids.* and not *")
    return text


Scopes = Annotated[
    list[Annotated[str, Field(max_length=60), AfterValidator(check_scope)]],
    Field(min_length=1, max_length=100),
]
Participants = Annotated[list[Id], Field(max_length=10_000)]


class NewClient(Model):
    """A machine; `scopes` are the actions it is held to, such as `bids.write`, `bids.*` or `*`."""

    name: Name
    organisation: Id
    scopes: Scopes
    participants: Participants = Field(default_factory=list)


class ClientChange(Model):
    """What is to be changed; a blocked machine's tokens end at once."""

    name: Name | None = None
    status: Status | None = None


class ClientState(Model):
    """A machine as it is kept; `owner` is who made it."""

    id: str
    name: str
    role: Role
    organisation: str
    owner: str
    scopes: list[str]
    participants: list[str]
    status: Status
    version: int
    made_at: datetime


class NewSecret(Model):
    """A machine and its secret, which is shown this once."""

    client: ClientState
    client_secret: str


def told(client: Client) -> ClientState:
    """Return a machine as the API tells it."""
    names = ClientState.model_fields.keys() - {"scopes", "participants"}
    return ClientState(
        **{name: getattr(client, name) for name in names},
        scopes=list(client.scopes),
        participants=list(client.participants),
    )


def subject_of(client: Client) -> Subject:
    """Return whose a machine is: that of who made it, and of its organisation."""
    return Subject(owner=client.owner, organisations=frozenset({client.organisation}))


@api.get("/clients", summary="List machines")
async def clients(*, page: AskedPage, response: Response, service: Here, caller: Reader) -> Page[ClientState]:
    """Return machines in the order of their ids: all, those of one's organisation, or one's own."""
    after, column, where = page.after(str), tables.clients.c, []
    if caller.reach is Reach.OWN:
        where = [column.owner == caller.identity.id]
    elif caller.reach is not Reach.ALL:
        where = [column.organisation == caller.identity.organisation]

    def work() -> list[Client]:
        with service.desk.reading() as connection:
            first = None if after is None else str(after[0])
            return records.some(connection, tables.clients, after=first, limit=page.fetch, where=where)

    found = await service.store.run(work)
    return page.page(response, [told(one) for one in found], key=lambda one: (one.id,))


def _check_narrower(body: NewClient, caller: Caller) -> None:
    """Refuse a machine that may do more than who makes it."""
    identity = caller.identity
    if caller.reach is Reach.ALL:
        return
    own = Subject(owner=identity.id, organisations=frozenset({body.organisation}))
    foreign = body.organisation != identity.organisation or not caller.may(own)
    if foreign or not set(body.participants) <= identity.participants:
        raise caller.refusal()
    if identity.scopes is not None and not set(body.scopes) <= set(identity.scopes):
        raise caller.refusal()


@api.post("/clients", status_code=201, summary="Add a machine")
async def add_client(
    *, body: NewClient, request: Request, response: Response, service: Here, caller: Writer
) -> NewSecret:
    """Add a machine for an organisation; its secret is shown once."""
    _check_narrower(body, caller)
    secret = new_secret("client")
    hashed = await service.desk.hashes.make(secret)

    def work() -> Client:
        id = new_id("client")
        with service.desk.changing(
            note_of(caller, request, id, detail={"scopes": body.scopes})
        ) as connection:
            organisation = records.get(connection, tables.organisations, body.organisation)
            values: dict[str, Any] = {
                **body.model_dump(),
                "id": id,
                "role": ROLE_OF_TYPE[organisation.type],
                "owner": caller.identity.id,
                "status": "active",
                "secret_hash": hashed,
                "version": 1,
                "made_at": service.desk.now(),
            }
            made: Client = records.add(connection, tables.clients, values)
            return made

    made = await service.store.run(work)
    response.headers["Location"] = f"{PREFIX}/clients/{made.id}"
    response.headers["ETag"] = etag(made.version)
    return NewSecret(client=told(made), client_secret=secret)


@api.get("/clients/{id}", summary="One machine")
async def client(
    *, id: str, request: Request, response: Response, service: Here, caller: Reader
) -> ClientState:
    """Return a machine."""
    found: Client = await read(service, caller, id, table=tables.clients, subject_of=subject_of)
    tagged(request, response, etag(found.version))
    return told(found)


@api.patch("/clients/{id}", summary="Change a machine")
async def change_client(
    *,
    id: str,
    body: ClientChange,
    request: Request,
    response: Response,
    version: ExpectedVersion,
    service: Here,
    caller: Writer,
) -> ClientState:
    """Change what the body names."""
    await read(service, caller, id, table=tables.clients, subject_of=subject_of)
    values = body.model_dump(exclude_none=True)

    def work() -> Client:
        with service.desk.changing(note_of(caller, request, id, detail=values)) as connection:
            changed: Client = records.change(connection, tables.clients, id, values=values, version=version)
            if changed.status != "active":
                service.desk.end_sessions(connection, id)
            return changed

    changed = await service.store.run(work)
    service.tokens.forget(subject=id)
    response.headers["ETag"] = etag(changed.version)
    return told(changed)


@api.post("/clients/{id}/secret", summary="Give a machine a new secret")
async def renew_secret(*, id: str, request: Request, service: Here, caller: Writer) -> NewSecret:
    """Replace the secret of a machine; the old one and all its tokens end at once."""
    await read(service, caller, id, table=tables.clients, subject_of=subject_of)
    secret = new_secret("client")
    hashed = await service.desk.hashes.make(secret)

    def work() -> Client:
        with service.desk.changing(note_of(caller, request, id, detail={"secret": "renewed"})) as connection:
            values = {"secret_hash": hashed}
            changed: Client = records.change(connection, tables.clients, id, values=values)
            service.desk.end_sessions(connection, id)
            return changed

    changed = await service.store.run(work)
    service.tokens.forget(subject=id)
    return NewSecret(client=told(changed), client_secret=secret)
