"""Signing in: the grants of OAuth 2 for people (password and second factor), machines, and renewals."""

from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, delete, select, update

from gridagora.service.auth import attempts, records, tables, totp
from gridagora.service.auth.audit import Note
from gridagora.service.auth.desk import Desk
from gridagora.service.auth.passwords import digest
from gridagora.service.auth.records import Client, Session, User
from gridagora.service.auth.rights import Identity
from gridagora.service.auth.tokens import Tokens
from gridagora.service.limits import Lane
from gridagora.service.problems import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Granted:
    """What a grant is answered with; ``refresh`` is "" for machines, which sign in again."""

    access: str
    refresh: str
    expires_in: int
    identity: Identity


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """The desk at which people and machines sign in.

    Parameters
    ----------
    desk, tokens, store : of the service
    """

    desk: Desk
    tokens: Tokens
    store: Lane

    async def person(self, email: str, password: str, *, code: str, recovery: str, address: str) -> Granted:
        """Sign a person in.

        Parameters
        ----------
        email, password : of the person
        code, recovery : of the authenticator app, or one that stands in for it; "" for none
        address : network address

        Raises
        ------
        Problem
            ``invalid_grant``, ``mfa_required`` (the password was right), or ``too_many_attempts``.
        """
        keys = attempts.keys_of(email, address)
        user: User | None = await self.store.run(partial(self._person, email, keys))
        right = await self.desk.hashes.fits(password, None if user is None else user.password_hash)
        if user is None or not right or user.status != "active":
            await self.store.run(partial(self._failed, email, keys, address))
            raise Problem("invalid_grant")
        if user.totp_secret is not None and not (code or recovery):
            raise Problem("mfa_required", "send the code of your authenticator app as totp")
        work = partial(self._admit, user, keys, code=code, recovery=recovery, address=address)
        granted: Granted | None = await self.store.run(work)
        if granted is None:
            await self.store.run(partial(self._failed, email, keys, address))
            raise Problem("invalid_grant", "the code is wrong, or was used before")
        return granted

    async def machine(self, id: str, secret: str, *, scope: str, address: str) -> Granted:
        """Sign a machine client in; ``scope`` names less than all it may, "" for all.

        Raises
        ------
        Problem
            ``invalid_client``, ``invalid_scope`` or ``too_many_attempts``.
        """
        keys = attempts.keys_of(id, address)
        client: Client | None = await self.store.run(partial(self._machine, id, keys))
        right = await self.desk.hashes.fits(secret, None if client is None else client.secret_hash)
        if client is None or not right or client.status != "active":
            await self.store.run(partial(self._failed, id, keys, address))
            raise Problem("invalid_client")
        wanted = tuple(scope.split())
        if not set(wanted) <= set(client.scopes):
            raise Problem("invalid_scope", f"it may do {' '.join(client.scopes)}")
        return await self._grant(client, wanted, address)

    async def renew(self, refresh: str, *, address: str) -> Granted:
        """Take a refresh token and hand out the next one; a token that comes twice ends its session.

        Raises
        ------
        Problem
            ``invalid_grant``.
        """
        granted: Granted | None = await self.store.run(partial(self._renew, refresh, address))
        if granted is None:
            raise Problem("invalid_grant", "the token is wrong, was used before or has ended; sign in again")
        return granted

    async def revoke(self, token: str, *, address: str) -> None:
        """End the session of an access or refresh token; one that is not known is left alone (RFC 7009)."""
        await self.store.run(partial(self._revoke, token, address))

    # --- in a thread ------------------------------------------------------------------------------

    def _person(self, email: str, keys: tuple[bytes, bytes]) -> User | None:
        with self.desk.reading() as connection:
            attempts.check(connection, keys, now=self.desk.now())
            return records.user_by_email(connection, email)

    def _machine(self, id: str, keys: tuple[bytes, bytes]) -> Client | None:
        with self.desk.reading() as connection:
            attempts.check(connection, keys, now=self.desk.now())
            found: Client | None = records.find(connection, tables.clients, id)
            return found

    def _failed(self, name: str, keys: tuple[bytes, bytes], address: str) -> None:
        note = Note(actor="nobody", action="sign_in", object=name[:200], outcome="failed", address=address)
        with self.desk.changing(note) as connection:
            attempts.failed(connection, keys, now=self.desk.now())

    def _admit(
        self, user: User, keys: tuple[bytes, bytes], *, code: str, recovery: str, address: str
    ) -> Granted | None:
        """Check and use up the second factor, and begin a session; None for a wrong code."""
        how = "password" if user.totp_secret is None else ("totp" if code else "recovery_code")
        note = Note(
            actor=user.id,
            organisation=user.organisation,
            action="sign_in",
            object=user.id,
            address=address,
            detail={"by": how},
        )
        with self.desk.writing() as connection:
            if user.totp_secret is not None and not self._use(connection, user, code=code, recovery=recovery):
                return None
        with self.desk.changing(note) as connection:
            attempts.succeeded(connection, keys)
            session = self.desk.begin(connection, user.id, lasts_s=self.desk.settings.session_s, scopes=None)
            refresh = self.desk.hand_out(connection, session)
        return self._granted(session, refresh)

    def _use(self, connection: Connection, user: User, *, code: str, recovery: str) -> bool:
        if not code:
            column = tables.recovery_codes.c
            used = delete(tables.recovery_codes).where(
                column.owner == user.id, column.hash == digest(recovery)
            )
            return connection.execute(used).rowcount == 1
        return use_code(connection, user, code, now=self.desk.settings.clock())

    async def _grant(self, client: Client, wanted: tuple[str, ...], address: str) -> Granted:
        def work() -> Granted:
            note = Note(
                actor=client.id,
                organisation=client.organisation,
                action="sign_in",
                object=client.id,
                address=address,
                detail={"by": "secret"},
            )
            lasts_s = self.desk.settings.access_s
            with self.desk.changing(note) as connection:
                session = self.desk.begin(connection, client.id, lasts_s=lasts_s, scopes=wanted or None)
            return self._granted(session, "")

        granted: Granted = await self.store.run(work)
        return granted

    def _renew(self, refresh: str, address: str) -> Granted | None:
        column, now = tables.refresh_tokens.c, self.desk.now()
        with self.desk.writing() as connection:
            kept = connection.execute(
                select(column.session, column.expires_at, column.used_at).where(
                    column.hash == digest(refresh)
                )
            ).first()
            if kept is None:
                return None
            session: Session = records.get(connection, tables.sessions, kept.session)
            used = update(tables.refresh_tokens).where(
                column.hash == digest(refresh), column.used_at.is_(None)
            )
            first_use = connection.execute(used.values(used_at=now)).rowcount == 1
            good = session.revoked_at is None and kept.expires_at > now
            good = good and self.desk.identity_in(connection, session) is not None
            token = self.desk.hand_out(connection, session) if first_use and good else ""
        if not first_use:
            self._end(
                session,
                Note(actor=session.subject, action="token.reused", outcome="refused", address=address),
            )
        return self._granted(session, token) if token else None

    def _revoke(self, token: str, address: str) -> None:
        with self.desk.reading() as connection:
            column = tables.refresh_tokens.c
            id = connection.scalar(select(column.session).where(column.hash == digest(token)))
        id = id or self.tokens.session_of(token)
        if id is None:
            return
        with self.desk.reading() as connection:
            session: Session | None = records.find(connection, tables.sessions, id)
        if session is not None and session.revoked_at is None:
            self._end(session, Note(actor=session.subject, action="token.revoked", address=address))

    def _end(self, session: Session, note: Note) -> None:
        with self.desk.changing(note) as connection:
            self.desk.end_session(connection, session.id)
        self.tokens.forget(session=session.id)

    def _granted(self, session: Session, refresh: str) -> Granted:
        identity = self.desk.identity(session.id)
        if identity is None:
            raise Problem("invalid_grant")
        return Granted(
            access=self.tokens.issue(session, identity),
            refresh=refresh,
            expires_in=self.desk.settings.access_s,
            identity=identity,
        )


def use_code(connection: Connection, user: User, code: str, *, now: float) -> bool:
    """Use up a code of a person's app; tell whether it was right and new."""
    step = totp.step_of(user.totp_secret or "", code, now=now, after=user.totp_step)
    if step is None:
        return False
    column = tables.users.c
    counted = update(tables.users).where(column.id == user.id, column.totp_step < step)
    return connection.execute(counted.values(totp_step=step)).rowcount == 1
