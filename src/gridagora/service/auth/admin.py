"""What is done at the machine itself: the first administrator, help for who is locked out, new keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from gridagora.adapters.sql.database import Database, Progress
from gridagora.errors import Fault, InputError
from gridagora.service.auth import audit, records, tables
from gridagora.service.auth.audit import Note
from gridagora.service.auth.desk import Desk
from gridagora.service.auth.passwords import new_id, new_password
from gridagora.service.auth.records import ROLE_OF_TYPE, Organisation, OrganisationType, User
from gridagora.service.settings import Settings

ACTOR = "machine"
"""Who does it, in the audit log: somebody who holds the database in their hands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstSignIn:
    """A person and the password for their first sign-in, which is kept nowhere."""

    user: User
    password: str


class Administration:
    """Identities of a database, without a service.

    Parameters
    ----------
    database : open for writing
    settings : work of password hashes

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Database(f"{folder}/a.db", write=True, create=True) as database:
    ...     made = Administration(database).add_person("ann@example.org", name="Ann", organisation="operator")
    >>> made.user.role, len(made.password)
    ('administrator', 27)
    """

    def __init__(self, database: Database, settings: Settings | None = None) -> None:
        self._desk = Desk(lambda: database, settings or Settings())

    def add_organisation(
        self, id: str, *, name: str, kind: OrganisationType, areas: Sequence[str] = ()
    ) -> Organisation:
        """Add an organisation; one that is there stays as it is."""
        with self._desk.reading() as connection:
            found: Organisation | None = records.find(connection, tables.organisations, id)
        if found is not None:
            return found
        with self._desk.changing(self._note("organisations.write", id)) as connection:
            values = {"id": id, "name": name, "type": kind, "areas": tuple(areas), "status": "active"}
            made: Organisation = records.add(connection, tables.organisations, values | self._new())
            return made

    def add_person(
        self, email: str, *, name: str, organisation: str = "operator", participants: Sequence[str] = ()
    ) -> FirstSignIn:
        """Add a person; the market's operator, an organisation, is made where it lacks.

        Raises
        ------
        InputError
            for an e-mail address that is taken.
        """
        if organisation == "operator":
            self.add_organisation("operator", name="Market operator", kind="operator")
        password = new_password()
        values: dict[str, Any] = {
            "id": new_id("user"),
            "email": email.casefold(),
            "name": name,
            "organisation": organisation,
            "participants": tuple(participants),
            "status": "active",
            **self._first(password),
        }
        with self._desk.changing(self._note("users.write", email)) as connection:
            kind = records.get(connection, tables.organisations, organisation).type
            values |= {"role": ROLE_OF_TYPE[kind]} | self._new() | {"totp_step": 0}
            made: User = records.add(connection, tables.users, values)
        return FirstSignIn(user=made, password=password)

    def reset(self, email: str) -> FirstSignIn:
        """Give a person a new first password, take the second factor away and end all sessions.

        Raises
        ------
        InputError
            where nobody has the e-mail address.
        """
        password = new_password()
        with self._desk.changing(self._note("users.reset", email)) as connection:
            user = records.user_by_email(connection, email)
            if user is None:
                raise InputError([_nobody(connection, email)])
            values = {**self._first(password), "status": "active"}
            changed: User = records.change(connection, tables.users, user.id, values=values)
            connection.execute(delete(tables.recovery_codes).where(tables.recovery_codes.c.owner == user.id))
            connection.execute(delete(tables.attempts))
            self._desk.end_sessions(connection, user.id)
        return FirstSignIn(user=changed, password=password)

    def people(self) -> list[User]:
        """Return all people in the order of their e-mail addresses."""
        with self._desk.reading() as connection:
            count = int(connection.scalar(select(func.count()).select_from(tables.users)) or 0)
            found = records.some(connection, tables.users, after=None, limit=count)
        return sorted(found, key=lambda user: user.email)

    def renew_key(self) -> None:
        """Sign tokens by a new key and end all sessions: what an old key signed is worth nothing."""
        with self._desk.changing(self._note("keys.renewed", "all sessions")) as connection:
            self._desk.renew_key(connection)
            ended = update(tables.sessions).where(tables.sessions.c.revoked_at.is_(None))
            connection.execute(ended.values(revoked_at=self._desk.now()))

    def verify(self, progress: Progress) -> tuple[int, str]:
        """Recompute the audit log's chain; return its length, and what is wrong ("": nothing)."""
        with self._desk.reading() as connection:
            return audit.verify(
                connection, lambda done, total: progress(done, total, "checking the audit log")
            )

    def close(self) -> None:
        """End the threads."""
        self._desk.hashes.close()

    def _first(self, password: str) -> Mapping[str, Any]:
        hashed = self._desk.hashes.make_now(password)
        return {"password_hash": hashed, "must_change": True, "totp_secret": None, "totp_offered": None}

    def _new(self) -> dict[str, int]:
        return {"version": 1, "made_at": self._desk.now()}

    def _note(self, action: str, thing: str) -> Note:
        return Note(actor=ACTOR, action=action, object=thing)


def _nobody(connection: Connection, email: str) -> Fault:
    known = connection.scalars(select(tables.users.c.email).order_by(tables.users.c.email).limit(5)).all()
    fix = f"people here are: {', '.join(known)}" if known else "add one with gridagora admin create"
    return Fault(source="people", place="email", value=email, reason="is nobody's address here", fix=fix)
