"""Headers of conditional requests and of commands that may be repeated."""

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header
from starlette.requests import Request
from starlette.responses import Response

from gridagora.errors import GridAgoraError
from gridagora.service.auth.needs import Caller
from gridagora.service.problems import Problem

KEY = re.compile(r"[\x21-\x7e]{1,128}")
VERSION = re.compile(r'"([1-9]\d{0,17})"')
PLAIN = re.compile(r"/(?!/)[A-Za-z0-9/_.~-]*")
"""A path that a URL holds as it is."""

TAG = r'(?:W/)?"[\x21\x23-\x7e]*"'
TAGS = re.compile(rf"\*|{TAG}(?:\s*,\s*{TAG})*")


class NotModified(GridAgoraError):  # noqa: N818 - an answer, not a failure
    """The client has what it asks for already; ``tag`` is its entity tag."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
        super().__init__(tag)


def etag(*parts: object) -> str:
    """Return the entity tag of a thing: its version alone, or a hash of all that the answer depends on.

    >>> etag(3), len(etag("book", 17, 4))
    ('"3"', 18)
    """
    if len(parts) == 1 and isinstance(parts[0], int):
        return f'"{parts[0]}"'
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"'


def tagged(request: Request, response: Response, tag: str) -> None:
    """Give a response its entity tag; raise `NotModified` where the client's If-None-Match has it."""
    wanted = request.headers.get("if-none-match", "").strip()
    if wanted and not TAGS.fullmatch(wanted):
        raise Problem("header_invalid", 'If-None-Match is ETags as they were told, such as "3", or *')
    known = {part.strip().removeprefix("W/") for part in wanted.split(",")}
    if tag in known or "*" in known:
        raise NotModified(tag)
    response.headers["ETag"] = tag


def _expected(request: Request) -> int:
    header = request.headers.get("if-match", "").strip()
    if not header:
        raise Problem("precondition_required")
    found = VERSION.fullmatch(header)
    if found is None:
        raise Problem("header_invalid", 'If-Match is the ETag of the version that is changed, such as "3"')
    return int(found.group(1))


async def expected_version(
    request: Request,
    _told: Annotated[str | None, Header(alias="If-Match", description="ETag of what is changed.")] = None,
) -> int:
    """Return the version that a request changes, from its If-Match header."""
    return _expected(request)


ExpectedVersion = Annotated[int, Depends(expected_version)]
"""Parameter of an endpoint that changes something: the version that the client has seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """What the store needs to know a repeated command: its key, "" for none, and the hash of the request."""

    key: str
    request: bytes


def _address(request: Request) -> str:
    """Return path and query of a request as its URL has them; making that takes longer than all else here."""
    scope = request.scope
    if not scope["query_string"] and PLAIN.fullmatch(scope["path"]):
        return f"{scope['path']}?"
    return f"{request.url.path}?{request.url.query}"


async def command(
    request: Request,
    told: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=128,
            description="Any text of your own; the same request with the same key is carried out once.",
        ),
    ] = None,
) -> Command:
    """Return the idempotency key of a request, which counts only for who sends it."""
    if told is None:
        return Command(key="", request=b"")
    if not KEY.fullmatch(told):
        raise Problem("header_invalid", "Idempotency-Key is 1 to 128 visible ASCII letters")
    caller: Caller | None = getattr(request.state, "caller", None)
    who = "" if caller is None else caller.identity.id
    what = f"{request.method} {_address(request)}\n".encode()
    return Command(key=f"{who}/{told}", request=hashlib.sha256(what + await request.body()).digest())


Repeatable = Annotated[Command, Depends(command)]
"""Parameter of an endpoint that gives the market a command; pass it on to the store."""
