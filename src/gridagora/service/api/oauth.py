"""Tokens: OAuth 2 (RFC 6749) for people and machines, and their end (RFC 7009)."""

import base64
import binascii
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from gridagora.service.auth.needs import public
from gridagora.service.auth.signin import Granted, SignIn
from gridagora.service.context import Here, Service
from gridagora.service.guard import address_of
from gridagora.service.limits import FORM, takes
from gridagora.service.problems import Problem
from gridagora.service.routes import router
from gridagora.service.texts import Model

api = router("tokens", prefix="/oauth")

MOST_FIELDS = 20
OAUTH_CODES = frozenset(
    ["invalid_request", "invalid_client", "invalid_grant", "unsupported_grant_type", "invalid_scope"]
)


class Token(Model):
    """A token; `refresh_token` is there for people."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the name of the scheme
    expires_in: int
    refresh_token: str | None = None
    role: str
    organisation: str
    setup_required: bool


def _form(required: list[str], fields: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in fields.items()}
    schema = {"type": "object", "properties": properties, "required": required}
    return {"requestBody": {"required": True, "content": {FORM: {"schema": schema}}}}


_TOKEN = _form(
    ["grant_type"],
    {
        "grant_type": "password, client_credentials or refresh_token",
        "username": "E-mail address (password)",
        "password": "Password (password)",
        "totp": "Code of the authenticator app (password)",
        "recovery_code": "Instead of totp, when the app is lost (password)",
        "client_id": "Id, unless in an Authorization: Basic header (client_credentials)",
        "client_secret": "Secret, unless in that header (client_credentials)",
        "scope": "Actions to be held to, with blanks between; all if there is none (client_credentials)",
        "refresh_token": "The last one (refresh_token)",
    },
)


async def _fields(request: Request) -> dict[str, str]:
    """Return the fields of a form, each of which may come once."""
    try:
        pairs = parse_qsl(
            (await request.body()).decode(),
            keep_blank_values=True,
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise _oauth("invalid_request", "the form cannot be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _oauth("invalid_request", "a field comes twice")
    if any("\0" in value for value in fields.values()):
        raise _oauth("invalid_request", "text may not hold the zero character")
    return fields


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        id, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _oauth("invalid_client") from None
    return unquote_plus(id), unquote_plus(secret)


def _oauth(code: str, detail: str = "") -> Problem:
    """Return a problem that is also the error document of RFC 6749."""
    problem = Problem(code, detail)
    problem.more["error"] = code if code in OAUTH_CODES else "invalid_grant"
    problem.more["error_description"] = problem.detail
    if code == "invalid_client":
        problem.headers["WWW-Authenticate"] = 'Basic realm="gridagora"'
    return problem


def _field(fields: dict[str, str], name: str) -> str:
    value = fields.get(name, "")
    if not value:
        raise _oauth("invalid_request", f"{name} is missing")
    return value


@api.post("/token", openapi_extra=_TOKEN, summary="Get a token")
@takes(FORM, most_bytes=16_384)
@public
async def token(request: Request, service: Here) -> Token:
    """Sign in as a person (`password`) or machine (`client_credentials`), or renew (`refresh_token`).

    A person who has set up a second factor sends `totp` too; without it the answer is `mfa_required`.
    """
    fields = await _fields(request)
    try:
        granted = await _grant(request, service, fields)
    except Problem as problem:
        if problem.code in OAUTH_CODES or problem.code == "mfa_required":
            raise _oauth(problem.code, problem.detail) from None
        raise
    return Token(
        access_token=granted.access,
        expires_in=granted.expires_in,
        refresh_token=granted.refresh or None,
        role=granted.identity.role,
        organisation=granted.identity.organisation,
        setup_required=granted.identity.limited,
    )


async def _grant(request: Request, service: Service, fields: dict[str, str]) -> Granted:
    desk = SignIn(desk=service.desk, tokens=service.tokens, store=service.store)
    address = address_of(request.scope)
    kind = _field(fields, "grant_type")
    if kind == "password":
        return await desk.person(
            _field(fields, "username"),
            _field(fields, "password"),
            code=fields.get("totp", ""),
            recovery=fields.get("recovery_code", ""),
            address=address,
        )
    if kind == "client_credentials":
        basic = _basic(request)
        id, secret = basic or (_field(fields, "client_id"), _field(fields, "client_secret"))
        return await desk.machine(id, secret, scope=fields.get("scope", ""), address=address)
    if kind == "refresh_token":
        return await desk.renew(_field(fields, "refresh_token"), address=address)
    raise Problem("unsupported_grant_type", "use password, client_credentials or refresh_token")


@api.post(
    "/revoke",
    openapi_extra=_form(["token"], {"token": "An access or refresh token"}),
    response_class=Response,
    summary="End a token",
)
@takes(FORM, most_bytes=16_384)
@public
async def revoke(request: Request, service: Here) -> Response:
    """End the session that a token belongs to, with all its tokens; one that is not known changes nothing."""
    given = _field(await _fields(request), "token")
    desk = SignIn(desk=service.desk, tokens=service.tokens, store=service.store)
    await desk.revoke(given, address=address_of(request.scope))
    return Response(status_code=200)
