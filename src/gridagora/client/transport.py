"""Requests of the client: tokens, retries with idempotency keys, pages, problem documents, streams."""

import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from gridagora.errors import GridAgoraError

if TYPE_CHECKING:
    import httpx

PREFIX = "/api/v1"
RETRIED = frozenset({429, 502, 503, 504})
"""Answers after which the same request is sent again: it was not carried out, or has a key of its own."""

TRIES = 6
FIRST_PAUSE_S = 0.2
EARLY_S = 30.0
"""A token is renewed so long before it ends, s."""

Model = TypeVar("Model", bound=BaseModel)


def span(begin: datetime | None, end: datetime | None) -> dict[str, str]:
    """Return the filters ``from`` and ``to`` of a list, without what is left open.

    >>> span(None, datetime(2026, 1, 1))
    {'to': '2026-01-01T00:00:00'}
    """
    told = {"from": begin, "to": end}
    return {name: moment.isoformat() for name, moment in told.items() if moment is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """One fault that a request was refused for; ``code`` is stable, the rest is for people."""

    place: str
    code: str
    reason: str
    fix: str
    value: object = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message of a stream: number of its event, topic, content."""

    id: int
    topic: str
    data: Any


class ApiError(GridAgoraError):
    """A request was refused: HTTP ``status``, stable ``code``, ``faults``, and the ``document`` itself.

    Examples
    --------
    >>> error = ApiError(409, {"code": "conflict", "detail": "1 fault", "errors": [{"code": "gate_closed"}]})
    >>> error.code, [fault.code for fault in error.faults]
    ('conflict', ['gate_closed'])
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status, self.document = status, document
        self.code = str(document.get("code", ""))
        names = ("place", "code", "reason", "fix")
        self.faults = tuple(
            Fault(value=told.get("value"), **{name: str(told.get(name, "")) for name in names})
            for told in document.get("errors", ())
        )
        lines = [f"{status} {self.code}: {document.get('detail', '')}"]
        lines += [f"{fault.place}: {fault.reason}; {fault.fix}" for fault in self.faults[:20]]
        super().__init__("\n  ".join(lines))


class Transport:
    """Sends requests for one machine client or one person.

    Parameters
    ----------
    url : of the platform
    client_id, secret : of a machine client; "" for one that only asks what is public
    token : an access token, instead of a machine client
    timeout_s : of one request, s
    http : an `httpx.Client` to send by; one is made when left out
    """

    def __init__(
        self,
        url: str,
        *,
        client_id: str = "",
        secret: str = "",
        token: str = "",
        timeout_s: float = 30.0,
        http: "httpx.Client | None" = None,
    ) -> None:
        import httpx

        self._own = http is None
        self._http = http or httpx.Client(base_url=url, timeout=timeout_s)
        self._lost = (httpx.TransportError,)
        machine = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        self._renewal = machine if client_id else {}
        self._token, self._ends = token, float("inf") if token else 0.0

    def close(self) -> None:
        """End the connections."""
        if self._own:
            self._http.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> "httpx.Response":
        """Send a request, again where that is safe, and return its answer.

        Every request that changes something has an idempotency key of its own, so that one that is sent
        again because its answer was lost is carried out once.

        Raises
        ------
        ApiError
            for a refusal.
        """
        told = dict(headers or {})
        if method != "GET":
            told.setdefault("Idempotency-Key", uuid.uuid4().hex)
        if isinstance(json, BaseModel):
            json = json.model_dump(mode="json", exclude_none=True)
        wanted = {name: value for name, value in (params or {}).items() if value is not None}
        pause, renewed = FIRST_PAUSE_S, False
        for tried in range(1, TRIES + 1):
            try:
                response = self._http.request(
                    method,
                    PREFIX + path,
                    json=json,
                    content=content,
                    params=wanted,
                    headers=told | self._authorization(),
                )
            except self._lost:
                if tried == TRIES:
                    raise
            else:
                if response.status_code == 401 and self._renewal and not renewed:
                    self._ends, renewed = 0.0, True
                    continue
                if response.status_code not in RETRIED or tried == TRIES:
                    return _checked(response)
                pause = max(pause, _wait_told(response))
            time.sleep(pause)
            pause = min(5.0, pause * 2)
        raise ApiError(503, {"code": "busy", "detail": "the platform did not answer"})

    def sign_in(self, email: str, password: str, *, totp: str = "") -> None:
        """Send as a person from now on; the token is renewed until the session ends."""
        form = {"grant_type": "password", "username": email, "password": password, "totp": totp}
        self._take(_checked(self._http.post("/oauth/token", data=form)).json())

    def sign_out(self) -> None:
        """End the session of the token."""
        if self._token:
            _checked(self._http.post("/oauth/revoke", data={"token": self._token}))
        self._token, self._renewal = "", {}

    def get(self, path: str, answer: type[Model], **params: Any) -> Model:
        """Read one thing."""
        return answer.model_validate_json(self.send("GET", path, params=params).content)

    def post(self, path: str, body: Any, answer: type[Model], **more: Any) -> Model:
        """Send a body and return the answer."""
        return answer.model_validate_json(self.send("POST", path, json=body, **more).content)

    def put(self, path: str, body: Any, answer: type[Model], *, version: int) -> Model:
        """Change what has a version; one that has changed since is refused (``version_conflict``)."""
        headers = {"If-Match": f'"{version}"'}
        return answer.model_validate_json(self.send("PUT", path, json=body, headers=headers).content)

    def pages(self, path: str, item: type[Model], **params: Any) -> Iterator[Model]:
        """Yield the entries of a list, page by page as they are asked for."""
        items, cursor = TypeAdapter(list[item]), None  # type: ignore[valid-type]
        while True:
            page = self.send("GET", path, params={**params, "cursor": cursor}).json()
            yield from items.validate_python(page["items"])
            cursor = page.get("next")
            if cursor is None:
                return

    def stream(self, path: str, *, params: Mapping[str, Any], last_id: int | None) -> Iterator[Message]:
        """Yield the messages of a stream; a connection that ends is made again from the last message."""
        while True:
            headers = self._authorization() | {"Accept": "text/event-stream"}
            headers |= {} if last_id is None else {"Last-Event-ID": str(last_id)}
            try:
                with self._http.stream(
                    "GET", PREFIX + path, params=params, headers=headers, timeout=60.0
                ) as told:
                    if told.status_code >= 400:
                        told.read()
                        if told.status_code in RETRIED:
                            time.sleep(max(FIRST_PAUSE_S, _wait_told(told)))
                            continue
                        _checked(told)
                    for message in _messages(told.iter_lines()):
                        last_id = message.id
                        yield message
            except self._lost:
                told = None
            if told is not None and "once" in params:
                return
            time.sleep(FIRST_PAUSE_S)

    def _authorization(self) -> dict[str, str]:
        if not self._renewal and not self._token:
            return {}
        if self._renewal and time.monotonic() >= self._ends - EARLY_S:
            self._take(_checked(self._http.post("/oauth/token", data=self._renewal)).json())
        return {"Authorization": f"Bearer {self._token}"}

    def _take(self, answer: Mapping[str, Any]) -> None:
        """Keep a token, and what brings the next one."""
        self._token, self._ends = answer["access_token"], time.monotonic() + answer["expires_in"]
        if "refresh_token" in answer:
            self._renewal = {"grant_type": "refresh_token", "refresh_token": answer["refresh_token"]}


def _checked(response: "httpx.Response") -> "httpx.Response":
    if response.status_code < 400:
        return response
    try:
        document = response.json()
    except ValueError:
        document = {"detail": response.text[:200]}
    raise ApiError(response.status_code, document if isinstance(document, dict) else {})


def _wait_told(response: "httpx.Response") -> float:
    """Return the seconds that a refusal asks to wait, at most a minute."""
    told = response.headers.get("Retry-After", "")
    return min(60.0, float(told)) if told.isdigit() else 0.0


def _messages(lines: Iterator[str]) -> Iterator[Message]:
    """Yield the messages of server-sent events.

    >>> lines = iter(["retry: 2000", "", "id: 7", "event: prices", 'data: {"period": 3}', ""])
    >>> [(one.id, one.topic, one.data) for one in _messages(lines)]
    [(7, 'prices', {'period': 3})]
    """
    from pydantic_core import from_json

    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if line and name:
            fields[name] = value.removeprefix(" ")
        if not line:
            if "data" in fields:
                number = int(fields.get("id", "0"))
                yield Message(id=number, topic=fields.get("event", ""), data=from_json(fields["data"]))
            fields = {}
