"""The desk that keeps identities: transactions with their entry in the audit log, sessions and keys."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from gridagora.adapters.sql.database import Database
from gridagora.service.auth import audit, records, schema, tables
from gridagora.service.auth.passwords import Hashes, digest, new_id, new_secret
from gridagora.service.auth.records import Client, Session, User
from gridagora.service.auth.rights import Identity
from gridagora.service.settings import DAY_S, Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A key that signs access tokens."""

    id: str
    secret: bytes
    made_at: int


class Desk:
    """Keeps identities in a database.

    Parameters
    ----------
    database : returns the database, open for writing
    settings : lifetimes, hashes, clock
    """

    def __init__(self, database: Callable[[], Database], settings: Settings) -> None:
        self._database = database
        self.settings = settings
        self.hashes = Hashes(settings)
        self._people: tuple[tuple[int, int], frozenset[str]] = (-1, -1), frozenset()
        with self._database().looking() as connection:
            schema.prepare(connection)

    def now(self) -> int:
        """Return the moment, whole seconds since 1970 UTC."""
        return int(self.settings.clock())

    @property
    def is_shared(self) -> bool:
        """Whether other processes may change identities: on PostgreSQL."""
        return self._database().address.path is None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection to read by."""
        with self._database().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that needs no entry in the audit log."""
        with self._database().looking() as connection:
            yield connection

    @contextmanager
    def changing(self, note: audit.Note) -> Iterator[Connection]:
        """Yield a connection in a transaction that is kept together with its entry in the audit log."""
        with self._database().looking() as connection:
            yield connection
            audit.append(connection, note, at=self.now())

    def note(self, note: audit.Note) -> None:
        """Make an entry in the audit log by itself."""
        with self.changing(note):
            return

    # --- sessions ---------------------------------------------------------------------------------

    def begin(
        self, connection: Connection, subject: str, *, lasts_s: int, scopes: tuple[str, ...] | None
    ) -> Session:
        """Begin a session; forget those that ended more than a day ago."""
        now = self.now()
        old = select(tables.sessions.c.id).where(tables.sessions.c.expires_at < now - DAY_S)
        connection.execute(
            delete(tables.refresh_tokens).where(tables.refresh_tokens.c.session.in_(old.scalar_subquery()))
        )
        connection.execute(delete(tables.sessions).where(tables.sessions.c.expires_at < now - DAY_S))
        session = Session(
            id=secrets.token_hex(16),
            subject=subject,
            made_at=now,
            expires_at=now + lasts_s,
            revoked_at=None,
            scopes=scopes,
        )
        text = None if scopes is None else json.dumps(list(scopes))
        connection.execute(
            insert(tables.sessions).values(
                id=session.id,
                subject=subject,
                made_at=now,
                expires_at=session.expires_at,
                revoked_at=None,
                scopes=text,
            )
        )
        return session

    def hand_out(self, connection: Connection, session: Session) -> str:
        """Return a new refresh token of a session."""
        token = new_secret("refresh")
        connection.execute(
            insert(tables.refresh_tokens).values(
                hash=digest(token), session=session.id, expires_at=session.expires_at, used_at=None
            )
        )
        return token

    def end_sessions(self, connection: Connection, subject: str) -> None:
        """End all sessions of a person or machine."""
        column = tables.sessions.c
        ended = update(tables.sessions).where(column.subject == subject, column.revoked_at.is_(None))
        connection.execute(ended.values(revoked_at=self.now()))

    def end_session(self, connection: Connection, id: str) -> None:
        """End one session."""
        column = tables.sessions.c
        ended = update(tables.sessions).where(column.id == id, column.revoked_at.is_(None))
        connection.execute(ended.values(revoked_at=self.now()))

    def identity(self, session_id: str) -> Identity | None:
        """Return who a session stands for now, None where it has ended or its owner is blocked."""
        with self.reading() as connection:
            session = records.find(connection, tables.sessions, session_id)
            if session is None or session.revoked_at is not None or session.expires_at <= self.now():
                return None
            return self.identity_in(connection, session)

    def identity_in(self, connection: Connection, session: Session) -> Identity | None:
        """Return who a session that has not ended stands for, None where its owner is blocked."""
        who = self.owner_of(connection, session.subject)
        if who is None or who.status != "active":
            return None
        organisation = records.get(connection, tables.organisations, who.organisation)
        if organisation.status != "active":
            return None
        scopes = session.scopes
        if isinstance(who, Client):
            scopes = who.scopes if scopes is None else tuple(s for s in scopes if s in who.scopes)
        need_totp = self.settings.people_need_totp
        handed = self._handed(connection) if who.role == "prosumer" else frozenset()
        return records.identity_of(who, organisation, scopes=scopes, need_totp=need_totp, handed=handed)

    def _handed(self, connection: Connection) -> frozenset[str]:
        """Return the participants that some person has as their own; read again when people changed."""
        state, found = records.state_of_people(connection), self._people
        if found[0] != state:
            found = self._people = state, records.participants_of_people(connection)
        return found[1]

    def owner_of(self, connection: Connection, subject: str) -> User | Client | None:
        """Return the person or machine with an id."""
        table = tables.users if subject.startswith("user-") else tables.clients
        found: User | Client | None = records.find(connection, table, subject)
        return found

    # --- keys -------------------------------------------------------------------------------------

    def keys(self) -> list[Key]:
        """Return the keys that may have signed tokens, the newest first; make one where none is young."""
        now = self.now()
        with self.reading() as connection:
            found = self._keys(connection)
        if found and found[0].made_at + self.settings.key_s > now:
            return found
        with self.changing(audit.Note(actor="service", action="keys.renewed")) as connection:
            return self.renew_key(connection)

    def renew_key(self, connection: Connection) -> list[Key]:
        """Make a new key; forget those whose last tokens have ended."""
        now = self.now()
        found = self._keys(connection)
        if len(found) > 1 and found[0].made_at + self.settings.access_s < now:
            connection.execute(delete(tables.keys).where(tables.keys.c.id != found[0].id))
        connection.execute(
            insert(tables.keys).values(
                id=new_id("key"),
                secret=secrets.token_bytes(32),
                made_at=max(now, found[0].made_at + 1 if found else 0),
            )
        )
        return self._keys(connection)

    def _keys(self, connection: Connection) -> list[Key]:
        rows = connection.execute(select(tables.keys).order_by(tables.keys.c.made_at.desc()))
        return [Key(id=row.id, secret=bytes(row.secret), made_at=row.made_at) for row in rows]
