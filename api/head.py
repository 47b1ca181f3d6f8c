"""HEAD for all GET endpoints: the same headers, and no body (RFC 9110, 9.3.2)."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """ASGI middleware: runs the application with GET, and sends only the headers of its answer.

    They include the length of the body that is not sent. The answer ends after the headers, so a file is not
    read to its end, and a stream ends before it begins.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            # The rest of the body is dropped.
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        asked = {**scope, "method": "GET"}
        try:
            await self._app(asked, receive, sending)
        finally:
            # Metrics and reports need the route.
            if "route" in asked:
                scope["route"] = asked["route"]
