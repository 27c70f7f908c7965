"""What a request may cost: how often a client may ask, and how large, deep and odd a body may be."""

import asyncio
import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from pydantic_core import from_json
from starlette.requests import Request

from gridagora.service.problems import Problem, entry

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MOST_CLIENTS = 20_000
MOST_DOUBLES = 100
HOLDS_MORE = frozenset((dict, list))
NO_TEXT = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""A zero character within JSON text, which PostgreSQL cannot keep."""

F = TypeVar("F", bound=Callable[..., Any])


class Buckets:
    """Token buckets, one per client; those of clients that have not asked for longest are forgotten first.

    Parameters
    ----------
    rate, burst : requests per second in the long run, and at once

    Examples
    --------
    >>> buckets = Buckets(rate=1.0, burst=2)
    >>> [buckets.wait_s("ann", now=0.0) for _ in range(3)], buckets.wait_s("ann", now=1.0)
    ([0.0, 0.0, 1.0], 0.0)
    """

    def __init__(self, *, rate: float, burst: int) -> None:
        self.rate, self.burst = rate, float(burst)
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, client: str, *, now: float) -> float:
        """Take one request's worth; return 0, or the seconds until there will be one."""
        tokens, since = self._held.pop(client, (self.burst, now))
        tokens = min(self.burst, tokens + max(0.0, now - since) * self.rate)
        allowed = tokens >= 1.0
        self._held[client] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._held) > MOST_CLIENTS:
            self._held.popitem(last=False)
        return 0.0 if allowed else (1.0 - tokens) / self.rate

    def left(self, client: str) -> tuple[int, int]:
        """Return how many requests a client may send at once now, and in how many seconds it is all again."""
        tokens, _ = self._held.get(client, (self.burst, 0.0))
        return int(tokens), math.ceil((self.burst - tokens) / self.rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What bodies a route takes: media types, and bytes at most (None: what the settings say).

    JSON of more than ``unread_bytes`` (0: none) the endpoint parses itself.
    """

    kinds: tuple[str, ...] = (JSON,)
    most_bytes: int | None = None
    unread_bytes: int = 0


def takes(*kinds: str, most_bytes: int | None = None, unread_bytes: int = 0) -> Callable[[F], F]:
    """Say of an endpoint what bodies it takes: `@takes("text/csv", most_bytes=16 * MIB)`, below the route."""

    def marked(endpoint: F) -> F:
        taken = Taken(kinds=kinds or (JSON,), most_bytes=most_bytes, unread_bytes=unread_bytes)
        endpoint.taken = taken  # type: ignore[attr-defined]
        return endpoint

    return marked


async def read_body(request: Request, taken: Taken, *, most_bytes: int, wait_s: float) -> None:
    """Read the body of a request within its limits, and parse JSON, for whoever uses the request then.

    Raises
    ------
    Problem
        for a body that is packed, too large, too slow, of another media type, no UTF-8, too deep, or no JSON.
    """
    most = taken.most_bytes or most_bytes
    if request.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise Problem("content_encoding_unsupported", headers={"Accept-Encoding": "identity"})
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(wait_s):
            body = await _all_of(request, most)
    except TimeoutError:
        raise Problem("body_slow", headers={"Connection": "close"}) from None
    request._body = body
    if not body:
        return
    kind = media_type(request)
    if kind not in taken.kinds:
        some = " or ".join(taken.kinds)
        raise Problem("content_type_unsupported", f"send {some}, in UTF-8", headers={"Accept": some})
    if kind == JSON:
        if not taken.unread_bytes or len(body) <= taken.unread_bytes:
            request._json = parse_json(body)
    elif kind.startswith("text/") or kind == FORM:
        check_text(body)


async def _all_of(request: Request, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> Problem:
    detail = f"at most {most:,} bytes are taken here; send it in parts"
    return Problem("body_too_large", detail, headers={"Connection": "close"})


def media_type(request: Request) -> str:
    """Return the media type of a body without its parameters; "" where the text is not in UTF-8."""
    header = request.headers.get("content-type", "")
    kind, *parameters = (part.strip().lower() for part in header.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in ("utf-8", "utf8", "us-ascii"):
            return ""
    return JSON if kind.startswith("application/") and kind.endswith("+json") else kind


def parse_json(body: bytes) -> Any:
    """Return what a JSON text holds.

    Nesting deeper than 200, numbers that no number can hold, NaN, lone surrogates, bytes that are no UTF-8,
    zero characters, and objects with the same name twice are refused.

    Examples
    --------
    >>> parse_json(b'{"price": 0.25}')
    {'price': 0.25}
    >>> parse_json(b"[" * 300)
    Traceback (most recent call last):
    gridagora.service.problems.Problem: body_unreadable: recursion limit exceeded at line 1 column 202
    """
    if b"\\u0000" in body and NO_TEXT.search(body):
        raise Problem("text_invalid", "text may not hold the zero character")
    try:
        found = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Problem("body_unreadable", str(error)) from None
    if not _names_once(body, found):
        doubles = list(islice(_doubles(json.loads(body, object_pairs_hook=_Pairs), "body"), MOST_DOUBLES))
        if doubles:
            raise Problem("body_unreadable", "names stand twice in an object", errors=doubles)
    return found


def _names_once(body: bytes, found: Any) -> bool:
    """Tell whether surely no object has a name twice, which is most often seen by counting.

    Every name ends with a quotation mark before a colon, so there are never fewer of these than names.
    """
    if any(space + b":" in body for space in (b" ", b"\n", b"\t", b"\r")):
        return False
    count, inner = 0, [found] if type(found) in HOLDS_MORE else []
    while inner:
        one = inner.pop()
        values = one
        if type(one) is dict:
            count += len(one)
            values = one.values()
        for value in values:
            if type(value) in HOLDS_MORE:
                inner.append(value)
    return count == body.count(b'":')


class _Pairs(list[tuple[str, Any]]):
    """The members of an object in their order."""


def _doubles(value: Any, place: str) -> Iterator[dict[str, Any]]:
    """Yield a fault for each name that stands again in its object."""
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for name, inner in value:
            here = f"{place}.{name}"
            if name in seen:
                fix = "say it once"
                yield entry(here, value=inner, reason="stands twice", fix=fix, code="duplicate_name")
            seen.add(name)
            yield from _doubles(inner, here)
    elif isinstance(value, list):
        for row, inner in enumerate(value):
            yield from _doubles(inner, f"{place}.{row}")


def check_text(body: bytes) -> None:
    """Raise a problem for bytes that are no UTF-8 or hold a zero."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise Problem("body_unreadable", f"no UTF-8 at byte {error.start:,}") from None
    if b"\0" in body:
        raise Problem("text_invalid", "text may not hold the zero character")


class Lane:
    """Work that would hold up the event loop: a few threads, and a queue with an end.

    Parameters
    ----------
    threads, queue : pieces of work at once, and how many may wait
    """

    def __init__(self, name: str, *, threads: int, queue: int) -> None:
        from concurrent.futures import ThreadPoolExecutor

        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + queue
        self._now = 0

    async def run(self, work: Callable[[], "Any"]) -> Any:
        """Do a piece of work in a thread and return what it returns.

        Raises
        ------
        Problem
            ``busy`` where too much waits already.
        """
        if self._now >= self._most:
            raise Problem("busy", "too much waits already", headers={"Retry-After": "1"})
        self._now += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._now -= 1

    def close(self) -> None:
        """Let the work in hand end; take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
