"""Oneself: who one is, password, second factor."""

from functools import partial
from typing import Annotated, cast

from pydantic import Field
from sqlalchemy import Connection, delete, insert
from starlette.requests import Request

from gridagora.errors import Fault, InputError, check_faults
from gridagora.service.auth import attempts, records, tables, totp
from gridagora.service.auth.audit import Note
from gridagora.service.auth.needs import Caller, needs
from gridagora.service.auth.passwords import digest, password_fault
from gridagora.service.auth.records import User
from gridagora.service.auth.rights import RIGHTS, Reach, reach_of
from gridagora.service.auth.signin import use_code
from gridagora.service.context import Here, Service
from gridagora.service.guard import address_of
from gridagora.service.problems import Problem
from gridagora.service.routes import router
from gridagora.service.texts import Model

api = router("me")

Me = Annotated[Caller, needs("me.read")]
MyChange = Annotated[Caller, needs("me.write")]
Secret = Annotated[str, Field(min_length=1, max_length=256)]


class Myself(Model):
    """Who one is, and how far one's rights go: own, organisation, area or all."""

    id: str
    name: str
    email: str | None
    role: str
    organisation: str
    participants: list[str]
    areas: list[str]
    scopes: list[str] | None
    setup_required: bool
    second_factor: bool
    rights: dict[str, str]


class NewPassword(Model):
    """The password, and the one to take its place; with the second factor its code."""

    old_password: Secret
    new_password: Secret


class Proof(Model):
    """One's password, asked for again, and `totp`, the code of the factor that is to be replaced."""

    password: Secret
    totp: Annotated[str, Field(max_length=16)] = ""


class Offered(Model):
    """A second factor to be confirmed; the secret is shown this once."""

    secret: str
    uri: str


class Code(Model):
    """The code that the authenticator app shows."""

    code: Annotated[str, Field(min_length=6, max_length=16)]


class RecoveryCodes(Model):
    """Codes that each stand in for a lost app once; shown this once."""

    recovery_codes: list[str]


@api.get("/me", summary="Who I am")
async def me(service: Here, caller: Me) -> Myself:
    """Return who the token stands for, and what they may do."""
    return cast(Myself, await service.store.run(partial(_myself, service, caller)))


def _myself(service: Service, caller: Caller) -> Myself:
    identity = caller.identity
    with service.desk.reading() as connection:
        who = service.desk.owner_of(connection, identity.id)
    if who is None:
        raise Problem("not_found")
    reaches = {action: reach_of(identity, action) for action in RIGHTS}
    return Myself(
        id=who.id,
        name=who.name,
        email=who.email if isinstance(who, User) else None,
        role=who.role,
        organisation=who.organisation,
        participants=sorted(identity.participants),
        areas=sorted(identity.areas),
        scopes=None if identity.scopes is None else list(identity.scopes),
        setup_required=identity.limited,
        second_factor=isinstance(who, User) and who.totp_secret is not None,
        rights={action: reach.name.lower() for action, reach in reaches.items() if reach is not Reach.NONE},
    )


@api.post("/me/password", status_code=204, summary="Change my password")
async def change_password(*, body: NewPassword, request: Request, service: Here, caller: MyChange) -> None:
    """Change one's password; all sessions end, this one too."""
    user = await _proven(service, caller, request, password=body.old_password)
    fault = password_fault(body.new_password, email=user.email, place="body.new_password")
    check_faults([fault] if fault is not None else [])
    if body.new_password == body.old_password:
        raise InputError([_same()])
    hashed = await service.desk.hashes.make(body.new_password)

    def work() -> None:
        with service.desk.changing(_note(user, "password.changed", request)) as connection:
            values = {"password_hash": hashed, "must_change": False}
            records.change(connection, tables.users, user.id, values=values)
            service.desk.end_sessions(connection, user.id)

    await service.store.run(work)
    service.tokens.forget(subject=user.id)


def _same() -> Fault:
    reason, fix = "is the old one", "take another"
    return Fault(
        source="password", place="body.new_password", value=None, reason=reason, fix=fix, code="password_same"
    )


@api.post("/me/totp", summary="Set up a second factor")
async def offer_totp(*, body: Proof, request: Request, service: Here, caller: MyChange) -> Offered:
    """Return a secret for an authenticator app; it counts once a code of it was confirmed."""
    user = await _proven(service, caller, request, password=body.password)
    secret = totp.new_secret()

    def work() -> None:
        with service.desk.changing(_note(user, "totp.offered", request)) as connection:
            _check_factor(connection, service, user, code=body.totp)
            records.change(connection, tables.users, user.id, values={"totp_offered": secret})

    try:
        await service.store.run(work)
    except Problem as problem:
        if problem.code == "invalid_grant":
            address = address_of(request.scope)
            await service.store.run(partial(_count_failure, service, user, address=address))
        raise
    issuer = service.settings.issuer
    return Offered(secret=secret, uri=totp.uri(secret, email=user.email, issuer=issuer))


def _check_factor(connection: Connection, service: Service, user: User, *, code: str) -> None:
    """Raise a problem unless somebody who has a second factor shows it."""
    if user.totp_secret is None:
        return
    if not code:
        raise Problem("mfa_required", "send the code of the authenticator app that is to be replaced as totp")
    if not use_code(connection, user, code, now=service.settings.clock()):
        raise Problem("invalid_grant", "the code is wrong, or was used before")


@api.post("/me/totp/confirm", summary="Confirm the second factor")
async def confirm_totp(*, body: Code, request: Request, service: Here, caller: MyChange) -> RecoveryCodes:
    """Confirm with a code of the app that it was set up; recovery codes are shown this once."""
    codes = await service.store.run(partial(_confirm, service, caller, body.code, request=request))
    service.tokens.forget(subject=caller.identity.id)
    return RecoveryCodes(recovery_codes=codes)


def _confirm(service: Service, caller: Caller, code: str, *, request: Request) -> list[str]:
    user = _person(service, caller)
    if user.totp_offered is None:
        raise Problem("conflict", "set a second factor up first: POST /api/v1/me/totp")
    step = totp.step_of(user.totp_offered, code, now=service.settings.clock(), after=0)
    if step is None:
        reason, fix = (
            "is not what the app shows now",
            "see whether the clocks are right, and try the next one",
        )
        raise InputError(
            [Fault(source="totp", place="body.code", value=None, reason=reason, fix=fix, code="totp_wrong")]
        )
    codes = totp.new_recovery_codes()
    with service.desk.changing(_note(user, "totp.confirmed", request)) as connection:
        values = {"totp_secret": user.totp_offered, "totp_offered": None, "totp_step": step}
        records.change(connection, tables.users, user.id, values=values)
        connection.execute(delete(tables.recovery_codes).where(tables.recovery_codes.c.owner == user.id))
        rows = [{"owner": user.id, "hash": digest(code)} for code in codes]
        connection.execute(insert(tables.recovery_codes), rows)
    return codes


def _person(service: Service, caller: Caller) -> User:
    with service.desk.reading() as connection:
        who = service.desk.owner_of(connection, caller.identity.id)
    if not isinstance(who, User):
        raise Problem("conflict", "a machine has no password and no second factor")
    return who


async def _proven(service: Service, caller: Caller, request: Request, *, password: str) -> User:
    """Return the person who sent a request, once the password was found right; failures count."""
    address = address_of(request.scope)
    user: User = await service.store.run(partial(_person, service, caller))
    keys = attempts.keys_of(user.email, address)

    def check() -> None:
        with service.desk.reading() as connection:
            attempts.check(connection, keys, now=service.desk.now())

    await service.store.run(check)
    if not await service.desk.hashes.fits(password, user.password_hash):
        await service.store.run(partial(_count_failure, service, user, address=address))
        raise Problem("invalid_grant", "the password is wrong")
    return user


def _count_failure(service: Service, user: User, *, address: str) -> None:
    note = Note(actor=user.id, action="password.asked", object=user.id, outcome="failed", address=address)
    with service.desk.changing(note) as connection:
        attempts.failed(connection, attempts.keys_of(user.email, address), now=service.desk.now())


def _note(user: User, action: str, request: Request) -> Note:
    return Note(
        actor=user.id,
        organisation=user.organisation,
        action=action,
        object=user.id,
        address=address_of(request.scope),
    )
