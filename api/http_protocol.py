"""The server's HTTP protocol, with a limit that uvicorn lacks: on the length of requests' headers."""

from __future__ import annotations

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._moved = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self._moved = True
        super().on_body(body)
