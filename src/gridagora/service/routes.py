"""Routes of the API: who may use them is known before a body is read, and none leaves that open."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cached_property
from typing import Any, get_args, get_origin

from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from gridagora.errors import InvariantError, require
from gridagora.service.auth.needs import Caller, Needs
from gridagora.service.context import service_of
from gridagora.service.limits import Taken, read_body
from gridagora.service.problems import Problem, counted, entry

PREFIX = "/api/v1"


class GuardedRoute(APIRoute):
    """A route that has one `Needs` among its parameters, or is declared `public`."""

    @cached_property
    def action(self) -> str | None:
        """The action whose right is asked for; None for a public route."""
        actions = _actions(self.dependant)
        is_public = getattr(self.endpoint, "public", False)
        require(
            len(actions) == (0 if is_public else 1),
            f"{self.path} must say with one needs(...) who may use it, or be public",
        )
        return actions[0] if actions else None

    @cached_property
    def streams(self) -> bool:
        """Whether the answer has no end of its own."""
        return self.response_class is StreamingResponse

    @cached_property
    def answered(self) -> frozenset[str]:
        """Methods that are answered at the path."""
        methods = set(self.methods or ()) | {"OPTIONS"}
        return frozenset(methods | ({"HEAD"} if "GET" in methods and not self.streams else set()))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler: find the caller, read the body within its limits, then answer."""
        answer = super().get_route_handler()
        action, taken = self.action, getattr(self.endpoint, "taken", Taken())
        parameters = query_of(self.dependant)
        has_body = bool((self.methods or set()) & {"POST", "PUT", "PATCH"})

        async def handle(request: Request) -> Response:
            service = service_of(request)
            caller = None
            if action is not None:
                caller = request.state.caller = Caller(await service.tokens.of_request(request), action)
            check_query(request, parameters)
            if has_body:
                settings = service.settings
                await read_body(request, taken, most_bytes=settings.body_bytes, wait_s=settings.body_wait_s)
            response = await answer(request)
            if caller is not None and not caller.asked and response.status_code < 400:
                raise InvariantError(f"{request.method} {self.path} never asked whose the thing is")
            return response

        return handle


class Shelf(BaseRoute):
    """All guarded routes of a service, found by their path at once instead of one after the other.

    Parameters
    ----------
    routes : in the order in which they are tried where several fit; paths without parameters come first
    """

    def __init__(self, routes: Sequence[GuardedRoute]) -> None:
        self._fixed: dict[str, list[GuardedRoute]] = {}
        self._moving: dict[str, list[GuardedRoute]] = {}
        for route in routes:
            if "{" in route.path:
                self._moving.setdefault(_head(route.path), []).append(route)
            else:
                self._fixed.setdefault(route.path, []).append(route)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a route fits, and what it is called with; HEAD is asked of what GET is."""
        if scope["type"] != "http":
            return Match.NONE, {}
        is_head = scope["method"] == "HEAD"
        asked = {**scope, "method": "GET"} if is_head else scope
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        allowed: set[str] = set()
        for route in self._fixed.get(path) or self._moving.get(_head(path)) or ():
            match, inner = route.matches(asked)
            if match is Match.FULL and not (is_head and route.streams):
                return match, {**inner, "shelved": route}
            if match is not Match.NONE:
                allowed |= route.answered
        if allowed:
            return Match.PARTIAL, {"shelved": ", ".join(sorted(allowed))}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the route that was found answer; without one, tell the methods that there are."""
        found = scope["shelved"]
        if not isinstance(found, str):
            asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            await found.handle(asked, receive, send)
        elif scope["method"] == "OPTIONS":
            await Response(status_code=204, headers={"Allow": found})(scope, receive, send)
        else:
            raise HTTPException(405, headers={"Allow": found})


def query_of(dependant: Dependant) -> dict[str, bool]:
    """Return the query parameters of an endpoint and of what it depends on: whether each may come again."""
    found = {one.alias: _is_list(one.field_info.annotation) for one in dependant.query_params}
    for inner in dependant.dependencies:
        found |= query_of(inner)
    return found


def _is_list(kind: Any) -> bool:
    """Tell whether a parameter is annotated as a list, or as a list or None."""
    return list in {get_origin(kind), *map(get_origin, get_args(kind))}


def check_query(request: Request, parameters: Mapping[str, bool]) -> None:
    """Refuse query parameters that an endpoint does not know, and such as come twice though one counts."""
    if not request.scope["query_string"]:
        return
    faults, seen = [], set[str]()
    fix = f"use {', '.join(sorted(parameters))}" if parameters else "leave it out; there are none here"
    for name, value in request.query_params.multi_items():
        place = f"query.{name}"
        if name not in parameters:
            reason, code = "no such parameter is known here", "parameter_unknown"
            faults.append(entry(place, value=value, reason=reason, fix=fix, code=code))
        elif name in seen and not parameters[name]:
            reason, code = "comes more than once", "parameter_repeated"
            faults.append(entry(place, value=value, reason=reason, fix="say it once", code=code))
        seen.add(name)
    if faults:
        raise Problem("input_invalid", counted(faults), errors=faults)


def _head(path: str) -> str:
    """Return the part of a path that names its resource.

    >>> _head("/api/v1/users/{id}/reset"), _head("/api/v1/users")
    ('/api/v1/users', '/api/v1/users')
    """
    return "/".join(path.split("/", 4)[:4])


def _actions(dependant: Dependant) -> list[str]:
    found = [dependant.call.action] if isinstance(dependant.call, Needs) else []
    for inner in dependant.dependencies:
        found += _actions(inner)
    return found


def router(tag: str, *, prefix: str = PREFIX) -> APIRouter:
    """Return a router for one resource of the API.

    Parameters
    ----------
    tag : heading in the API documentation
    prefix : of all its paths

    Examples
    --------
    >>> from gridagora.service.auth.needs import public
    >>> api = router("weather")
    >>> @api.get("/weather")
    ... @public
    ... async def weather() -> dict[str, str]:
    ...     return {"sky": "blue"}
    >>> [(route.path, route.action) for route in api.routes]
    [('/api/v1/weather', None)]
    """
    return APIRouter(prefix=prefix, tags=[tag], route_class=GuardedRoute)


def routes_of(routers: Sequence[APIRouter]) -> list[GuardedRoute]:
    """Return the guarded routes of routers."""
    return [route for one in routers for route in one.routes if isinstance(route, GuardedRoute)]
