"""Connections: what is no HTTP is refused with a problem document, and no head of a request is endless."""

import json
from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gridagora.service.problems import MEDIA_TYPE, Problem

MOST_HEAD = 65_536
"""Bytes of a request before its body; one that comes in large pieces may be some pieces longer."""

HEAD_S = 30.0
"""So long the first head of a connection may take, s."""


class Line(HttpToolsProtocol):
    """One connection of a client."""

    head = 0
    in_head = True
    timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin; a client that says nothing is not waited for."""
        super().connection_made(transport)
        self.timer = self.loop.call_later(HEAD_S, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._heard()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came in; a head that is too long ends the connection."""
        self.head += len(data)
        super().data_received(data)
        if self.in_head and self.head > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response(f"the head of a request has at most {MOST_HEAD:,} bytes")

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._heard()
        self.in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self.in_head, self.head = True, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be read, and end the connection."""
        body = json.dumps(Problem("bad_request", msg).document()).encode()
        head = (
            "HTTP/1.1 400 Bad Request",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            "connection: close",
        )
        self.transport.write("\r\n".join((*head, "", "")).encode() + body)
        self.transport.close()

    def _heard(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
