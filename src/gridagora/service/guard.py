"""The outermost layer: numbers requests, limits how often clients ask, catches all errors, keeps a log."""

import json
import logging
import time
import uuid
from ipaddress import ip_network
from itertools import count
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gridagora.service.context import Service
from gridagora.service.limits import Buckets
from gridagora.service.problems import LOG, Problem, of_error, respond

ACCESS = logging.getLogger("gridagora.access")

DOCS_POLICY = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; "
CLOSED = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def _headers(policy: str, *, https: bool) -> list[tuple[bytes, bytes]]:
    told = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "content-security-policy": policy + CLOSED,
    }
    if https:
        told["strict-transport-security"] = "max-age=31536000"
    return [(name.encode(), value.encode()) for name, value in told.items()]


WATCHED = frozenset(("/healthz", "/readyz"))
"""What whoever watches over the service asks; they have a rate of their own."""


class Guard:
    """ASGI layer around the whole service.

    Every response has a number (``Request-Id``), which problem documents and the log name, and headers that
    keep browsers from doing what nobody meant.  The access log (`gridagora.access`) has one line of JSON per
    request, without query, body or token.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._first, self._count = uuid.uuid4().hex[:24], count()
        https = service.settings.https
        self._plain = _headers(POLICY, https=https)
        self._docs = _headers(DOCS_POLICY, https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        number = f"{self._first}{next(self._count):08x}"
        scope.setdefault("state", {})["number"] = number
        status = 0
        path: str = scope["path"]
        extra = [*(self._docs if path.startswith("/docs") else self._plain), (b"request-id", number.encode())]
        limited = path.startswith(("/api/", "/oauth/"))
        if limited:
            extra.append((b"cache-control", b"no-store"))

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in extra if header[0] not in there),
                ]
            await send(message)

        client = self._client(scope)
        if path in WATCHED:  # an address that asks for much else is watched over all the same
            client = f"{neighbours_of(scope)} {path}"
        known = not client.startswith("address:")
        buckets = self._service.clients if known else self._service.strangers
        try:
            self._admit(scope, client, buckets)
            if limited:
                extra += _rate(buckets, client)
            await self._app(scope, receive, sending)
        except Exception as error:
            problem = of_error(error)
            if problem.status == 500:
                LOG.error("request %s failed", number, exc_info=error)
            if status:
                raise
            await respond(problem, number)(scope, receive, sending)
        finally:
            if ACCESS.isEnabledFor(logging.INFO):
                _log(scope, client=client, status=status, started=started)

    def _client(self, scope: Scope) -> str:
        """Return who asks: the identity of a token that was found good, else the network address."""
        for name, value in scope["headers"]:
            if name == b"authorization":
                return self._service.tokens.client_of(value.decode("latin-1")) or neighbours_of(scope)
        return neighbours_of(scope)

    def _admit(self, scope: Scope, client: str, buckets: Buckets) -> None:
        """Raise a problem for a client that asks too often, and for an address that holds a zero."""
        wait = buckets.wait_s(client, now=time.monotonic())
        if wait > 0.0:
            told = {name.decode(): value.decode() for name, value in _rate(buckets, client)}
            raise Problem("rate_limited", headers=told | {"Retry-After": str(int(wait) + 1)})
        raw: Any = scope.get("raw_path") or b""
        if b"%00" in raw or b"%00" in scope["query_string"] or "\0" in scope["path"]:
            raise Problem("text_invalid", "an address may not hold the zero character")


def address_of(scope: Any) -> str:
    """Return the network address that a request came from."""
    client = scope.get("client")
    return f"address:{client[0]}" if client else "address:unknown"


def neighbours_of(scope: Any) -> str:
    """Return whom a rate holds for who shows no token: an address, or the /64 of IPv6 that one household has.

    >>> [neighbours_of({"client": (host, 80)}) for host in ("2001:db8:1:2:3::4", "192.0.2.7")]
    ['address:2001:db8:1:2::/64', 'address:192.0.2.7']
    """
    client = scope.get("client")
    if not client or ":" not in client[0] or client[0].startswith("::ffff:"):
        return address_of(scope)
    try:
        return f"address:{ip_network((client[0].partition('%')[0], 64), strict=False)}"
    except ValueError:
        return address_of(scope)


def _rate(buckets: Buckets, client: str) -> list[tuple[bytes, bytes]]:
    """Return headers with how often a client may still ask, and in how many seconds it is all again."""
    left, reset = buckets.left(client)
    told = (("limit", int(buckets.burst)), ("remaining", left), ("reset", reset))
    return [(b"ratelimit-" + name.encode(), str(value).encode()) for name, value in told]


def _log(scope: Scope, *, client: str, status: int, started: float) -> None:
    line = {
        "request": scope["state"]["number"],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round((time.perf_counter() - started) * 1000, 2),
        "client": client,
    }
    ACCESS.info(json.dumps(line))
