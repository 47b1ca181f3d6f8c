"""The server's HTTP protocol, with what uvicorn lacks: a limit on headers, and the API's error shape."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.errors import FRAMEWORK, body

#: Bytes of request line and headers: eight times what proxies allow.
MAX_HEAD_BYTES: Final = 65_536


class LimitedHttpProtocol(HttpToolsProtocol):
    """Refuses more than `MAX_HEAD_BYTES`, and what came with them, of request line, headers and trailers.

    The parser keeps all of them in memory, and nobody needs a key to send them.
    """

    _moved = False
    _pending_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse bytes; those that neither complete headers nor belong to a body are pending."""
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

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._moved = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self._moved = True
        super().on_body(body)
