"""The typed client has a call for every endpoint, and its reference names them."""

import inspect
import re
import types
import typing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import httpx
from pydantic import BaseModel

from gridagora.client import Market
from gridagora.service.api import ROUTERS
from gridagora.service.api.v1 import ROUTERS as MARKET_ROUTERS
from gridagora.service.models.records import Asset
from gridagora.service.routes import routes_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "client.md"
BY_ITSELF = {"POST /oauth/token": ["`Market(client_id=...)`", "`sign_in`"]}
"""What the client asks by itself."""


def made_up(hint):
    """Return a value of a type, for a request that nobody answers."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return made_up(typing.get_args(hint)[0])
    origin = typing.get_origin(hint) or hint
    if origin is typing.Literal:
        return typing.get_args(hint)[0]
    if origin is BaseModel or getattr(origin, "_is_protocol", False):
        return Asset.model_construct(id="x1", version=1)
    if inspect.isclass(origin) and issubclass(origin, BaseModel):
        return origin.model_construct(id="x1", version=1)
    known = {
        datetime: datetime(2026, 1, 1, tzinfo=UTC),
        Decimal: Decimal(1),
        str: "123456",
        int: 1,
        float: 1.0,
        bool: True,
        bytes: b"x",
    }
    return known.get(origin) or [made_up(one) for one in typing.get_args(hint)[:1]]


def calls_of(part, name):
    """Yield (name of a call, requests that it sends) for all public calls of a client, and of its parts."""
    for what, member in inspect.getmembers(part):
        if what.startswith("_") or (not name and what in ("close", "sign_in")):
            continue
        if not inspect.ismethod(member):
            yield from calls_of(member, f"{name}{what}.")
            continue
        yield f"{name}{what}", member


def sent_by(call):
    """Return the requests (method, path) that a call sends, with and without its switches."""
    hints = typing.get_type_hints(call)
    parameters = inspect.signature(call).parameters
    switches = [one for one in parameters if hints.get(one) is bool or one == "participant"] or [None]
    told = set()
    for switch in switches:
        for truth in (False, True):
            requests = []
            values = {
                one: made_up(hints[one])
                for one, parameter in parameters.items()
                if parameter.kind is not inspect.Parameter.VAR_KEYWORD
                and parameter.default is inspect.Parameter.empty
            }
            if switch is not None and (truth or switch not in values):
                values[switch] = made_up(hints[switch]) if truth else parameters[switch].default
            SENT.append(requests)
            try:
                made = call(**values)
                if inspect.isgenerator(made):
                    next(made, None)
            except Sent:
                pass
            finally:
                SENT.pop()
            told.update(requests)
    return told


class Sent(Exception):
    """A request was sent, and that is all."""


SENT = []


def note(request):
    SENT[-1].append((request.method, request.url.path))
    raise Sent


def table():
    """Return for each endpoint the calls of the client that ask it."""
    client = Market("http://market", token="t", http=httpx.Client(
        base_url="http://market", transport=httpx.MockTransport(note)))  # fmt: skip
    requests = {name: sent_by(call) for name, call in calls_of(client, "")}
    client.close()
    routes = [
        (method, route.path)
        for route in routes_of([*MARKET_ROUTERS, *ROUTERS])
        for method in sorted(route.methods)
    ]
    rows = {f"{method} {path}": BY_ITSELF.get(f"{method} {path}", []) for method, path in routes}
    for name, asked in requests.items():
        for method, path in asked:
            found = endpoint_of(routes, method, path)
            if found is not None and found not in BY_ITSELF:
                rows[found] = [*rows[found], f"`{name}`"]
    return {key: ", ".join(sorted(calls)) for key, calls in rows.items()}


def endpoint_of(routes, method, path):
    """Return the endpoint that a request reaches; one without parameters goes first."""
    for fixed in (True, False):
        for kind, where in routes:
            pattern = re.escape(where) if fixed else re.sub(r"\{\w+\}", "[^/]+", where)
            if kind == method and re.fullmatch(pattern, path):
                return f"{kind} {where}"
    return None


def test_every_endpoint_has_a_call_that_the_page_names():
    rows = table()
    missing = [key for key, calls in rows.items() if not calls]
    assert not missing, "add calls to gridagora.client for:\n" + "\n".join(missing)
    expected = [f"| `{key}` | {calls} |" for key, calls in rows.items()]
    told = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert told == expected, "put these rows into docs/reference/client.md:\n" + "\n".join(expected)
