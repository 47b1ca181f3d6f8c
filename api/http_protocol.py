"""The server's HTTP protocol, with what uvicorn lacks: limits of size and time, and the API's error shape."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.errors import FRAMEWORK, body

#: Bytes of request line and headers: eight times what proxies allow.
MAX_HEAD_BYTES: Final = 65_536
#: Seconds within which a request must have come, its body included.
ARRIVAL_SECONDS: Final = 30.0


class _Flow(FlowControl):
    """Tells when a connection that was not read, because there was enough to do, is read again."""

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._resumed = resumed

    def resume_reading(self) -> None:
        if self.read_paused:
            self._resumed()
        super().resume_reading()


class LimitedHttpProtocol(HttpToolsProtocol):
    """Refuses more than `MAX_HEAD_BYTES`, and what came with them, of request line, headers and trailers.

    The parser keeps all of them in memory, and nobody needs a key to send them. For the same reason it closes
    a connection on which a request does not come within `arrival_seconds`: each takes a file descriptor.
    """

    arrival_seconds = ARRIVAL_SECONDS
    _moved = False
    _pending_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._wait_anew)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more, and tell the running request; uvicorn tells only the newest of several."""
        self._stop_waiting()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _await_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.arrival_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _wait_anew(self) -> None:
        """Begin to wait from now on, if a request is waited for: nobody could send while it was not read."""
        if self._deadline is not None:
            self._stop_waiting()
            self._await_request()

    def _give_up(self) -> None:
        self._deadline = None
        answering = self.cycle is not None and not (self.cycle.response_complete or self.cycle.more_body)
        if answering or self.flow.read_paused:
            # It is this side that takes its time.
            self._await_request()
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse bytes; those that neither complete headers nor belong to a body are pending."""
        self._await_request()
        self._moved = False
        super().data_received(data)
        self._pending_bytes = 0 if self._moved else self._pending_bytes + len(data)
        if self._pending_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The request line and headers are too long.")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP request with an error in the common shape, and close the connection."""
        content = body(FRAMEWORK[400], msg)
        head = [STATUS_LINE[400]]
        head += [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
        head += [
            b"content-type: application/json\r\n",
            b"content-length: %d\r\n" % len(content),
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join([*head, content]))
        self.transport.close()

    def on_message_begin(self) -> None:
        """Wait for the rest."""
        self._await_request()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Wait for nothing more, until bytes of another request come."""
        self._stop_waiting()
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._moved = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self._moved = True
        super().on_body(body)

    def _unsupported_upgrade_warning(self) -> None:
        """Do not log that somebody asked for another protocol: HTTP is answered."""
