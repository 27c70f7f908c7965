"""Problem documents (RFC 9457): every refusal has a stable code and names all faults at once."""

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gridagora.errors import (
    CommandConflict,
    DamagedEvent,
    Fault,
    GridAgoraError,
    InfeasibleMarket,
    InputError,
    SolverError,
    StoreError,
)

LOG = logging.getLogger("gridagora.service")
MEDIA_TYPE = "application/problem+json"
LONGEST_VALUE = 200
MOST_ERRORS = 1_000

SECRET = frozenset(
    [
        "authorization",
        "client_secret",
        "code",
        "new_password",
        "old_password",
        "password",
        "recovery_code",
        "refresh_token",
        "secret",
        "token",
        "totp",
    ]
)
"""Names whose values are never written back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of problem: HTTP status and title."""

    status: int
    title: str


def _kinds(text: str) -> dict[str, Kind]:
    rows = (line.split(maxsplit=2) for line in text.strip().splitlines())
    return {code: Kind(status=int(status), title=title) for code, status, title in rows}


KINDS = _kinds("""
body_unreadable          400 The body cannot be read
text_invalid             400 The text holds what no text may hold
cursor_invalid           400 The cursor is not one of this list
header_invalid           400 A header cannot be read
bad_request              400 The request cannot be read
unauthenticated          401 The request has no valid token
invalid_client           401 Client or secret are wrong
forbidden                403 The right to do this is missing
setup_required           403 Password or second factor must be set first
not_found                404 There is nothing here
method_not_allowed       405 The method cannot be used here
not_acceptable           406 The answer cannot have that form
body_slow                408 The body did not come in time
conflict                 409 It does not fit what is there
idempotency_key_reused   409 The idempotency key was used for another request
gone                     410 It is not there any more
version_conflict         412 It has changed since it was read
body_too_large           413 The body is too large
content_type_unsupported 415 The body has a form that is not taken here
content_encoding_unsupported 415 The body is packed; send it as it is
input_invalid            422 The input has faults
precondition_required    428 Say with If-Match which version is changed
rate_limited             429 Too many requests
too_many_attempts        429 Too many attempts to sign in
internal_error           500 Something went wrong here
store_unavailable        503 The store cannot be used now
busy                     503 The service is busy
clock_jump               503 The market waits: its clock leapt ahead
invalid_request          400 The request for a token is incomplete
invalid_grant            400 Name, password or token are wrong
mfa_required             400 The second factor is missing
unsupported_grant_type   400 This kind of grant is not known
invalid_scope            400 The scope goes further than the client may
""")
"""Every code of a problem; the codes of single faults are told where they are found."""

_BY_STATUS = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    413: "body_too_large",
    415: "content_type_unsupported",
    429: "rate_limited",
    503: "busy",
}

_CONFLICTS = (
    *("gate_closed", "gate_open", "market_open", "market_not_open", "session_state", "session_closed"),
    *("dispute_exists", "dispute_late", "insufficient_funds", "exists"),
    *("clock_steady", "clock_differs"),
)
FAULT_KINDS = {
    **dict.fromkeys(_CONFLICTS, "conflict"),
    "version_conflict": "version_conflict",
    "clock_jump": "clock_jump",
}
"""Codes of faults that make another problem of an input than ``input_invalid``, where all faults do."""


class Problem(GridAgoraError):  # noqa: N818 - the name that RFC 9457 has for it
    """A refusal, ready to be sent.

    Parameters
    ----------
    code : one of `KINDS`
    detail : what went wrong this time, for a person
    errors : all faults
    headers : of the response
    more : further members of the document

    Examples
    --------
    >>> problem = Problem("not_found", "there is no session 7")
    >>> problem.status, problem.document()["title"]
    (404, 'There is nothing here')
    """

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: Iterable[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.code, self.kind = code, KINDS[code]
        self.detail = detail or self.kind.title
        self.errors = [dict(error) for error in errors]
        self.headers = dict(headers or {})
        self.more = dict(more or {})
        super().__init__(f"{code}: {self.detail}")

    @property
    def status(self) -> int:
        """HTTP status."""
        return self.kind.status

    def document(self, instance: str = "") -> dict[str, Any]:
        """Return the problem document; ``instance`` is the number of the request."""
        document: dict[str, Any] = {
            "type": f"/problems#{self.code}",
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.code,
            "errors": self.errors[:MOST_ERRORS],
        }
        if instance:
            document["instance"] = f"urn:request:{instance}"
        return document | self.more


def respond(problem: Problem, instance: str = "") -> Response:
    """Return the response that a problem is sent as."""
    body = json.dumps(problem.document(instance), ensure_ascii=False, allow_nan=False).encode()
    return Response(body, status_code=problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def of_error(error: BaseException) -> Problem:
    """Return the problem that an error is told as; what is a defect of ours is told without its text."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return Problem("input_invalid", counted(error.errors()), errors=map(of_validation, error.errors()))
    if isinstance(error, HTTPException):
        code = _BY_STATUS.get(
            error.status_code, "bad_request" if error.status_code < 500 else "internal_error"
        )
        return Problem(code, headers=error.headers)
    if isinstance(error, GridAgoraError):
        return _of_ours(error)
    return Problem("internal_error")


def _of_ours(error: GridAgoraError) -> Problem:
    if isinstance(error, InputError):
        codes = {fault.code for fault in error.faults}
        kinds = {FAULT_KINDS.get(code, "input_invalid") for code in codes}
        kind = kinds.pop() if len(kinds) == 1 else "input_invalid"
        headers = {"Retry-After": "30"} if kind == "clock_jump" else None
        return Problem(kind, counted(error.faults), errors=map(of_fault, error.faults), headers=headers)
    if isinstance(error, CommandConflict):
        return Problem("idempotency_key_reused")
    if isinstance(error, StoreError) and not isinstance(error, DamagedEvent):
        return Problem("store_unavailable", headers={"Retry-After": "5"})
    if isinstance(error, InfeasibleMarket):
        return Problem("conflict", str(error))
    if isinstance(error, SolverError):
        return Problem("conflict", "this problem has no answer")
    return Problem("internal_error")


def counted(faults: Iterable[object]) -> str:
    """Return how many faults there are, in words.

    >>> counted([1])
    '1 fault; nothing was done'
    """
    count = len(list(faults))
    return f"{count} fault{'' if count == 1 else 's'}; nothing was done"


def of_fault(fault: Fault) -> dict[str, Any]:
    """Return a fault of the market as the API tells it."""
    return entry(
        fault.place, value=fault.value, reason=fault.reason, fix=fault.fix, code=fault.code or "invalid"
    )


def entry(place: str, *, value: object = None, reason: str, fix: str, code: str) -> dict[str, Any]:
    """Return one fault as the API tells it; a secret's value is left out."""
    names = set(place.replace("[", ".").split("."))
    return {
        "place": place,
        "value": None if names & SECRET else plain(value),
        "reason": reason,
        "fix": fix,
        "code": code,
    }


def plain(value: object) -> Any:
    """Return a value that can be written as JSON and is short enough to be read."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and abs(value) < 1e15:
        return value
    if isinstance(value, dict | list | tuple):
        return f"{type(value).__name__} of {len(value)}"
    text = str(value).encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."


_FIXES = {
    "missing": "give it",
    "extra_forbidden": "leave it out; the API documentation lists what is taken",
    "json_invalid": "send JSON",
    "string_too_long": "shorten it",
    "string_too_short": "write more",
}


def of_validation(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return a fault that pydantic found as the API tells it."""
    place = ".".join(map(str, error["loc"]))
    fix = _FIXES.get(error["type"], "write what the API documentation says of this place")
    code, message = error["type"], str(error["msg"])
    context = error.get("ctx") or {}
    fix, wrong = context.get("fix", fix), context.get("error")
    if isinstance(wrong, InputError) and wrong.faults:
        first = wrong.faults[0]
        code, message, fix = first.code or code, first.reason, first.fix
    return entry(place, value=error.get("input"), reason=message, fix=fix, code=code)
