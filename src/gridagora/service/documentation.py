"""The description of the API in OpenAPI: what FastAPI finds, with rights, problems and headers added."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import JSONResponse

from gridagora.service.auth.rights import RIGHTS, Reach
from gridagora.service.limits import Taken
from gridagora.service.problems import KINDS, MEDIA_TYPE
from gridagora.service.routes import GuardedRoute, routes_of

PATH = "/api/v1/openapi.json"
VERSION = version("gridagora")

FAULT = {
    "type": "object",
    "required": ["place", "reason", "fix", "code"],
    "properties": {
        "place": {"type": "string", "description": "Where it is, e.g. body.bids.3.price"},
        "value": {"description": "What was found; null for secrets"},
        "reason": {"type": "string"},
        "fix": {"type": "string"},
        "code": {"type": "string", "description": "Stable word for programs"},
    },
}

PROBLEM = {
    "type": "object",
    "description": "A refusal (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "enum": sorted(KINDS)},
        "errors": {"type": "array", "items": FAULT},
        "instance": {"type": "string", "description": "Number of the request"},
    },
}

SCHEMES = {
    "oauth2": {
        "type": "oauth2",
        "flows": {
            "password": {"tokenUrl": "/oauth/token", "refreshUrl": "/oauth/token", "scopes": {}},
            "clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}},
        },
    }
}


def describe(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    """Let an application serve its description, which is made once."""
    made: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not made:
            made.update(_described(app, routes_of(routers)))
        return made

    async def serve(_request: Request) -> JSONResponse:
        return JSONResponse(openapi())

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_route(PATH, serve, methods=["GET"])


def _described(app: FastAPI, routes: Sequence[GuardedRoute]) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=VERSION, description=app.description, routes=routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = PROBLEM
    components["securitySchemes"] = SCHEMES
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path in made["paths"].values():
        for operation in path.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for name, inner in content["schema"].pop("$defs", {}).items():
                    schemas.setdefault(name, inner)
    for route in routes:
        for method in route.methods or ():
            operation = made["paths"].get(route.path, {}).get(method.lower())
            if operation is not None:
                _complete(operation, route)
    return made


def _complete(operation: dict[str, Any], route: GuardedRoute) -> None:
    """Tell who may use an operation, and that its refusals are problem documents."""
    responses = operation["responses"]
    responses.pop("422", None)
    responses["default"] = {
        "description": "A refusal",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if route.action is not None:
        operation["security"] = [{"oauth2": []}]
        operation["x-action"] = route.action
        told = ", ".join(
            f"{role} ({reach.name.lower()})"
            for role, reach in RIGHTS[route.action].items()
            if reach is not Reach.NONE
        )
        text = operation.get("description", "")
        operation["description"] = f"{text}\n\nRight `{route.action}`: {told}.".strip()
    taken: Taken = getattr(route.endpoint, "taken", Taken())
    if taken.most_bytes is not None:
        operation["x-most-bytes"] = taken.most_bytes
