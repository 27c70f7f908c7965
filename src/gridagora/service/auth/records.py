"""Organisations, people, machine clients and sessions as the database keeps them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from sqlalchemy import Connection, Table, func, insert, select, update

from gridagora.errors import Fault, InputError
from gridagora.service.auth import tables
from gridagora.service.auth.rights import Identity, Role
from gridagora.service.problems import Problem

OrganisationType = Literal["operator", "regulator", "dso", "retailer", "aggregator", "community"]
TYPES: tuple[OrganisationType, ...] = get_args(OrganisationType)
Status = Literal["active", "blocked"]

ROLE_OF_TYPE: Mapping[str, Role] = {
    "operator": "administrator",
    "regulator": "regulator",
    "dso": "dso",
    "retailer": "retailer",
    "aggregator": "aggregator",
    "community": "prosumer",
}
"""What the people and machines of an organisation act as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Organisation:
    """A company, authority or community; ``areas`` are the zones of a grid operator, ``"*"`` all."""

    id: str
    name: str
    type: OrganisationType
    status: Status
    areas: tuple[str, ...]
    version: int
    made_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class User:
    """A person; ``participants`` of the market are theirs."""

    id: str
    email: str
    name: str
    role: Role
    organisation: str
    participants: tuple[str, ...]
    status: Status
    password_hash: str
    must_change: bool
    totp_secret: str | None
    totp_offered: str | None
    totp_step: int
    version: int
    made_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A machine; ``scopes`` are the patterns of actions it is held to."""

    id: str
    name: str
    role: Role
    organisation: str
    owner: str
    participants: tuple[str, ...]
    scopes: tuple[str, ...]
    status: Status
    secret_hash: str
    version: int
    made_at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """What a person's or machine's tokens belong to; ``scopes`` None: all of its subject."""

    id: str
    subject: str
    made_at: int
    expires_at: int
    revoked_at: int | None
    scopes: tuple[str, ...] | None


Record = Organisation | User | Client | Session
LISTS = frozenset({"areas", "participants", "scopes"})
_CLASSES: Mapping[str, type[Any]] = {
    tables.organisations.name: Organisation,
    tables.users.name: User,
    tables.clients.name: Client,
    tables.sessions.name: Session,
}


def _of_row(table: Table, row: Any) -> Any:
    values = dict(row._mapping)
    for name in LISTS & values.keys():
        values[name] = None if values[name] is None else tuple(json.loads(values[name]))
    if "must_change" in values:
        values["must_change"] = bool(values["must_change"])
    return _CLASSES[table.name](**values)


def _to_row(values: Mapping[str, Any]) -> dict[str, Any]:
    row = dict(values)
    for name in LISTS & row.keys():
        row[name] = None if row[name] is None else json.dumps(list(row[name]), ensure_ascii=False)
    if "must_change" in row:
        row["must_change"] = int(row["must_change"])
    return row


def find(connection: Connection, table: Table, id: str) -> Any:
    """Return a record by its id, None where there is none."""
    row = connection.execute(select(table).where(table.c.id == id)).first()
    return None if row is None else _of_row(table, row)


def get(connection: Connection, table: Table, id: str) -> Any:
    """Return a record by its id; raise the problem ``not_found`` where there is none."""
    found = find(connection, table, id)
    if found is None:
        raise missing(table, id)
    return found


def missing(table: Table, id: str) -> Problem:
    """Return the problem of a record that is not there."""
    return Problem("not_found", f"there is no {table.name.removeprefix('auth_')[:-1]} {id}")


def user_by_email(connection: Connection, email: str) -> User | None:
    """Return the person with an e-mail address, whose case does not count."""
    row = connection.execute(select(tables.users).where(tables.users.c.email == email.casefold())).first()
    return None if row is None else cast(User, _of_row(tables.users, row))


def some(
    connection: Connection, table: Table, *, after: str | None, limit: int, where: Sequence[Any] = ()
) -> list[Any]:
    """Return records in the order of their ids, those after one of them."""
    asked = select(table).order_by(table.c.id).limit(limit).where(*where)
    if after is not None:
        asked = asked.where(table.c.id > after)
    return [_of_row(table, row) for row in connection.execute(asked)]


def add(connection: Connection, table: Table, values: Mapping[str, Any]) -> Any:
    """Keep a new record and return it.

    Raises
    ------
    InputError
        with the code ``exists`` for an id or e-mail address that is taken.
    """
    for name in ("id", "email"):
        if name in values and connection.scalar(
            select(func.count()).select_from(table).where(table.c[name] == values[name])
        ):
            raise InputError([_taken(name, values[name])])
    connection.execute(insert(table).values(**_to_row(values)))
    return get(connection, table, str(values["id"]))


def _taken(name: str, value: object) -> Fault:
    return Fault(
        source="request",
        place=f"body.{name}",
        value=value,
        reason="is taken",
        fix="take another",
        code="exists",
    )


def change(
    connection: Connection, table: Table, id: str, *, values: Mapping[str, Any], version: int | None = None
) -> Any:
    """Change a record, of the version that was seen where one is named; return it as it is now.

    Raises
    ------
    Problem
        ``version_conflict`` where it has changed since.
    """
    asked = update(table).where(table.c.id == id).values(**_to_row(values), version=table.c.version + 1)
    if version is not None:
        asked = asked.where(table.c.version == version)
    if connection.execute(asked).rowcount != 1:
        get(connection, table, id)
        raise Problem("version_conflict")
    return get(connection, table, id)


def state_of_people(connection: Connection) -> tuple[int, int]:
    """Return two numbers of which one differs after each change of a person."""
    column = tables.users.c
    asked = select(func.count(), func.coalesce(func.sum(column.version), 0))
    count, versions = connection.execute(asked.select_from(tables.users)).one()
    return int(count), int(versions)


def participants_of_people(connection: Connection) -> frozenset[str]:
    """Return the participants that some person has as their own."""
    column = tables.users.c.participants
    rows = connection.scalars(select(column).where(column != "[]"))
    return frozenset(name for text in rows for name in json.loads(text))


def identity_of(
    who: User | Client,
    organisation: Organisation,
    *,
    scopes: tuple[str, ...] | None,
    need_totp: bool,
    handed: frozenset[str] = frozenset(),
) -> Identity:
    """Return who a person or machine acts as; ``scopes`` narrow what a session may."""
    return Identity(
        id=who.id,
        role=who.role,
        organisation=who.organisation,
        participants=frozenset(who.participants),
        areas=frozenset(organisation.areas),
        handed=handed,
        scopes=scopes,
        limited=isinstance(who, User) and (who.must_change or (need_totp and who.totp_secret is None)),
    )
