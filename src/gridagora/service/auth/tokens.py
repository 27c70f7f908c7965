"""Access tokens: short-lived, signed, and looked up again every few seconds, so that they can be ended.

A token says which session it belongs to; who that is and what they may is in the database.  What was found
is remembered for `Settings.recheck_s`, so a request's token costs a look into a dictionary.
"""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from gridagora.service.auth.desk import Desk, Key
from gridagora.service.auth.records import Session
from gridagora.service.auth.rights import Identity
from gridagora.service.limits import Lane
from gridagora.service.problems import Problem

ALGORITHM = "HS256"
MOST_REMEMBERED = 20_000
LONGEST = 2_000
LONE_RECHECK_S = 60.0
"""The same where no other process can write: all that ends a session goes through here."""

KEYS_S = 60.0
"""Keys are read again after so long, s; a token of an unknown one makes it earlier, but not each time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A token that was found good: whose, until when, and when that was last looked up."""

    identity: Identity
    session: str
    expires: float
    checked: float


class Tokens:
    """Makes access tokens and tells who they stand for.

    Parameters
    ----------
    desk : sessions and keys
    store : threads for the database
    """

    def __init__(self, desk: Desk, store: Lane) -> None:
        self._desk = desk
        self._store = store
        self._settings = desk.settings
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._keys: list[Key] = []
        self._keys_at = float("-inf")
        self._alone = Lock()
        self._forgotten = 0
        rare = 0.0 if desk.is_shared else LONE_RECHECK_S
        self._recheck_s = max(rare, self._settings.recheck_s)

    def issue(self, session: Session, identity: Identity) -> str:
        """Return a new access token of a session; called in a thread."""
        now = self._desk.now()
        key = self._current_keys()[0]
        claims = {
            "iss": self._settings.issuer,
            "sub": identity.id,
            "sid": session.id,
            "jti": secrets.token_hex(8),
            "iat": now,
            "exp": min(now + self._settings.access_s, session.expires_at),
            "role": identity.role,
            "org": identity.organisation,
        }
        return jwt.encode({"alg": ALGORITHM, "kid": key.id}, claims, OctKey.import_key(key.secret))

    def known(self, header: str) -> Identity | None:
        """Return who a request's Authorization header stands for where that is known without a look-up."""
        found = self._known.get(header)
        if found is None:
            return None
        now = self._settings.clock()
        return found.identity if now < found.expires and now < found.checked + self._recheck_s else None

    def client_of(self, header: str) -> str | None:
        """Return the id of who an Authorization header stood for when it was last looked up."""
        found = self._known.get(header)
        return None if found is None else found.identity.id

    async def of_request(self, connection: HTTPConnection) -> Identity:
        """Return who sent a request.

        Raises
        ------
        Problem
            ``unauthenticated`` for no token, or one that is wrong or has ended.
        """
        header = connection.headers.get("authorization", "")
        identity = self.known(header)
        if identity is not None:
            return identity
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
            raise unauthenticated("send a token of /oauth/token: Authorization: Bearer ...")
        forgotten, known = self._forgotten, self._known.get(header)
        found: Known = await self._store.run(partial(self._look_up, token, known))
        if forgotten == self._forgotten:  # else what was found may be older than what was changed
            self._remember(header, found)
        return found.identity

    def _remember(self, header: str, found: Known) -> None:
        self._known[header] = found
        self._known.move_to_end(header)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)

    def session_of(self, token: str) -> str | None:
        """Return the session of a token that we signed, also of one that has ended; called in a thread."""
        claims = self._claims(token)
        return None if claims is None else str(claims["sid"])

    def forget(self, *, subject: str = "", session: str = "") -> None:
        """Look the tokens of a session, or of a person or machine, up again before they are next used."""
        self._forgotten += 1
        for header, known in list(self._known.items()):
            if known.session == session or known.identity.id == subject:
                self._known.pop(header, None)

    def forget_all(self) -> None:
        """Look all tokens and keys up again before they are next used."""
        self._forgotten += 1
        self._known.clear()
        self._keys_at = float("-inf")

    def _look_up(self, token: str, known: Known | None) -> Known:
        """Return whose a token is; one that was known needs its session looked up alone."""
        now = self._settings.clock()
        if known is not None and now < known.expires:
            identity = self._desk.identity(known.session)
            if identity is None:
                raise unauthenticated("the session has ended")
            return replace(known, identity=identity, checked=now)
        claims = self._claims(token)
        if claims is None or float(claims["exp"]) <= now:
            raise unauthenticated("the token is wrong or has ended")
        session = str(claims["sid"])
        identity = self._desk.identity(session)
        if identity is None or identity.id != claims["sub"]:
            raise unauthenticated("the session has ended")
        return Known(identity=identity, session=session, expires=float(claims["exp"]), checked=now)

    def _claims(self, token: str) -> dict[str, Any] | None:
        for keys in (self._current_keys(), self._current_keys(at_most_s=2.0)):
            for key in keys:
                try:
                    found = jwt.decode(token, OctKey.import_key(key.secret), algorithms=[ALGORITHM])
                except (JoseError, ValueError):
                    continue
                claims: dict[str, Any] = dict(found.claims)
                return claims if claims.get("iss") == self._settings.issuer else None
        return None

    def _current_keys(self, at_most_s: float = KEYS_S) -> list[Key]:
        with self._alone:
            now = self._settings.clock()
            if now - self._keys_at >= at_most_s:
                self._keys, self._keys_at = self._desk.keys(), now
            return self._keys


def unauthenticated(detail: str) -> Problem:
    """Return the problem of a request without a valid token."""
    return Problem("unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="gridagora"'})
