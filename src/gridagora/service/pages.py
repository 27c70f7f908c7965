"""Lists in pages: a cursor says after which entry to go on, so that new entries shift nothing."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from gridagora.service.problems import Problem
from gridagora.service.texts import Model

DEFAULT, MOST = 100, 1_000
T = TypeVar("T")
Key = tuple[int | str, ...]


class Page(Model, Generic[T]):
    """A page of a list; ``next`` is the cursor of the page that follows, null on the last."""

    items: list[T]
    next: str | None = None


class Asked:
    """Which page is asked for.

    Parameters
    ----------
    request : for the list, to whose path a cursor is bound
    limit : entries at most
    cursor : as the client sent it
    """

    def __init__(self, request: Request, *, limit: int, cursor: str | None) -> None:
        self._request = request
        self._list = request.url.path
        self.limit = limit
        self.fetch = limit + 1
        self._cursor = cursor

    def after(self, *kinds: type[int] | type[str]) -> Key | None:
        """Return the key of the entry to go on after, None for the first page.

        Parameters
        ----------
        kinds : types of the key's parts
        """
        if self._cursor is None:
            return None
        key = read_cursor(self._cursor, self._list)
        if (
            key is None
            or len(key) != len(kinds)
            or any(type(k) is not t for k, t in zip(key, kinds, strict=True))
        ):
            raise Problem("cursor_invalid", "take the cursor from `next` of the page before, unchanged")
        return key

    def after_pair(self) -> tuple[int, int]:
        """Return the two numbers of the entry to go on after, (-1, -1) for the first page."""
        key = self.after(int, int)
        return (-1, -1) if key is None else (int(key[0]), int(key[1]))

    def page(self, response: Response, found: Sequence[T], *, key: Callable[[T], Key]) -> Page[T]:
        """Return a page of entries, of which up to ``fetch`` were looked up, and link to the next."""
        items = list(found[: self.limit])
        if len(found) <= self.limit:
            return Page(items=items)
        cursor = write_cursor(key(items[-1]), self._list)
        url = self._request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
        return Page(items=items, next=cursor)


async def asked(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=MOST, description="Entries of a page at most.")] = DEFAULT,
    cursor: Annotated[
        str | None, Query(max_length=1_000, description="`next` of the page before; none for the first.")
    ] = None,
) -> Asked:
    """Return which page a request asks for."""
    return Asked(request, limit=limit, cursor=cursor)


AskedPage = Annotated[Asked, Depends(asked)]
"""Parameter of an endpoint that returns a `Page`."""


def write_cursor(key: Key, of: str) -> str:
    """Return a key as text that is good for one list only.

    >>> read_cursor(write_cursor((7, "a"), "/bids"), "/bids"), read_cursor("x", "/bids")
    ((7, 'a'), None)
    """
    body = json.dumps(key, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_check(body, of) + body).decode().rstrip("=")


def read_cursor(cursor: str, of: str) -> Key | None:
    """Return the key in a cursor; None where it is not one of this list."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        if raw[:6] != _check(raw[6:], of):
            return None
        key: Any = json.loads(raw[6:])
    except ValueError:
        return None
    return tuple(key) if isinstance(key, list) else None


def _check(body: bytes, of: str) -> bytes:
    return hashlib.sha256(of.encode() + b"\n" + body).digest()[:6]
