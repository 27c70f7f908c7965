"""People: made, changed, blocked and helped by administrators."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import delete
from starlette.requests import Request
from starlette.responses import Response

from gridagora.service.api.organisations import note_of, read
from gridagora.service.auth import records, tables
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.passwords import new_id, new_password
from gridagora.service.auth.records import ROLE_OF_TYPE, Status, User
from gridagora.service.auth.rights import Reach, Role, Subject
from gridagora.service.context import Here
from gridagora.service.headers import ExpectedVersion, etag, tagged
from gridagora.service.pages import AskedPage, Page
from gridagora.service.problems import Problem
from gridagora.service.routes import PREFIX, router
from gridagora.service.texts import Email, Id, Model, Name

api = router("users")

Reader = Annotated[Caller, needs("users.read")]
Writer = Annotated[Caller, needs("users.write")]
Participants = Annotated[list[Id], Field(max_length=10_000)]


class NewUser(Model):
    """A person; `participants` of the market are theirs, so that they see and bid for them."""

    email: Email
    name: Name
    organisation: Id
    participants: Participants = Field(default_factory=list)


class UserChange(Model):
    """What is to be changed; a blocked person's tokens end at once."""

    name: Name | None = None
    participants: Participants | None = None
    status: Status | None = None


class UserState(Model):
    """A person as they are kept."""

    id: str
    email: str
    name: str
    role: Role
    organisation: str
    participants: list[str]
    status: Status
    second_factor: bool
    version: int
    made_at: datetime


class FirstPassword(Model):
    """A person and the password for the first sign-in, which is shown this once."""

    user: UserState
    password: str


def told(user: User) -> UserState:
    """Return a person as the API tells them: without anything secret."""
    names = UserState.model_fields.keys() - {"second_factor", "participants"}
    return UserState(
        **{name: getattr(user, name) for name in names},
        participants=list(user.participants),
        second_factor=user.totp_secret is not None,
    )


def subject_of(user: User) -> Subject:
    """Return whose a person's record is: their own and their organisation's."""
    return Subject(owner=user.id, organisations=frozenset({user.organisation}))


@api.get("/users", summary="List people")
async def users(*, page: AskedPage, response: Response, service: Here, caller: Reader) -> Page[UserState]:
    """Return people in the order of their ids: all, those of one's organisation, or oneself."""
    after, column, where = page.after(str), tables.users.c, []
    if caller.reach is Reach.OWN:
        where = [column.id == caller.identity.id]
    elif caller.reach is not Reach.ALL:
        where = [column.organisation == caller.identity.organisation]

    def work() -> list[User]:
        with service.desk.reading() as connection:
            first = None if after is None else str(after[0])
            return records.some(connection, tables.users, after=first, limit=page.fetch, where=where)

    found = await service.store.run(work)
    return page.page(response, [told(one) for one in found], key=lambda one: (one.id,))


@api.post("/users", status_code=201, summary="Add a person")
async def add_user(
    *, body: NewUser, request: Request, response: Response, service: Here, caller: Writer
) -> FirstPassword:
    """Add a person to an organisation; they set their own password when they first sign in."""
    password = new_password()
    hashed = await service.desk.hashes.make(password)

    def work() -> User:
        id = new_id("user")
        with service.desk.changing(note_of(caller, request, id, detail={"email": body.email})) as connection:
            organisation = records.get(connection, tables.organisations, body.organisation)
            values: dict[str, Any] = {**body.model_dump(), "id": id, "role": ROLE_OF_TYPE[organisation.type]}
            made: User = records.add(connection, tables.users, values | _fresh(hashed, service.desk.now()))
            return made

    made = await service.store.run(work)
    if made.participants:  # whoever registered them has no more to do there
        service.tokens.forget_all()
    response.headers["Location"] = f"{PREFIX}/users/{made.id}"
    response.headers["ETag"] = etag(made.version)
    return FirstPassword(user=told(made), password=password)


def _fresh(hashed: str, now: int) -> dict[str, Any]:
    return {
        "status": "active",
        "password_hash": hashed,
        "must_change": True,
        "totp_secret": None,
        "totp_offered": None,
        "totp_step": 0,
        "version": 1,
        "made_at": now,
    }


@api.get("/users/{id}", summary="One person")
async def user(*, id: str, request: Request, response: Response, service: Here, caller: Reader) -> UserState:
    """Return a person."""
    found: User = await read(service, caller, id, table=tables.users, subject_of=subject_of)
    tagged(request, response, etag(found.version))
    return told(found)


@api.patch("/users/{id}", summary="Change a person")
async def change_user(
    *,
    id: str,
    body: UserChange,
    request: Request,
    response: Response,
    version: ExpectedVersion,
    service: Here,
    caller: Writer,
) -> UserState:
    """Change what the body names."""
    values = body.model_dump(exclude_none=True)
    if values.get("status") == "blocked" and id == caller.identity.id:
        raise Problem("conflict", "nobody can lock themselves out")

    def work() -> User:
        with service.desk.changing(note_of(caller, request, id, detail=values)) as connection:
            changed: User = records.change(connection, tables.users, id, values=values, version=version)
            if changed.status != "active":
                service.desk.end_sessions(connection, id)
            return changed

    changed = await service.store.run(work)
    if body.participants:
        service.tokens.forget_all()
    service.tokens.forget(subject=id)
    response.headers["ETag"] = etag(changed.version)
    return told(changed)


@api.post("/users/{id}/reset", summary="Let a person begin anew")
async def reset_user(*, id: str, request: Request, service: Here, caller: Writer) -> FirstPassword:
    """Give a person a new first password and take the second factor away; all their sessions end."""
    password = new_password()
    hashed = await service.desk.hashes.make(password)

    def work() -> User:
        with service.desk.changing(note_of(caller, request, id, detail={"reset": True})) as connection:
            values = {"password_hash": hashed, "must_change": True, "totp_secret": None, "totp_offered": None}
            changed: User = records.change(connection, tables.users, id, values=values)
            connection.execute(delete(tables.recovery_codes).where(tables.recovery_codes.c.owner == id))
            service.desk.end_sessions(connection, id)
            return changed

    changed = await service.store.run(work)
    service.tokens.forget(subject=id)
    return FirstPassword(user=told(changed), password=password)
