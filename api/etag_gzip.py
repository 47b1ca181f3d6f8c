"""Conditional requests with ETags, and gzip for long answers."""

from __future__ import annotations

import gzip
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Below this, the headers cost more than gzip saves.
MIN_GZIP_BYTES: Final = 1024
#: Above level 5, JSON gets hardly smaller, and takes much longer.
_LEVEL: Final = 5


class ETagGzip:
    """ASGI middleware for JSON bodies in one piece; other responses, also files of JSON, pass unchanged.

    An answer whose `ETag` the caller names in `If-None-Match` becomes a 304 without a body. One of at least
    `MIN_GZIP_BYTES` is compressed for callers that accept gzip. Tags are weak, because one tag stands for
    both forms (RFC 9110, 8.8.1).
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_headers = Headers(scope=scope)
        start: Message | None = None

        async def sending(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_answer(message):
                start = message
                return
            if start is not None and message["type"] == "http.response.body":
                held, start = start, None
                if not message.get("more_body", False):
                    message = _rewrite(request_headers, held, message)
                await send(held)
            await send(message)

        await self._app(scope, receive, sending)


def _is_answer(start: Message) -> bool:
    headers = Headers(scope=start)
    # A file can be asked for in pieces, whose places and strong ETag are those of its own bytes.
    return headers.get("content-type", "").startswith("application/json") and "accept-ranges" not in headers


def _rewrite(request_headers: Headers, start: Message, body: Message) -> Message:
    """Return the body to send, empty for a 304 or compressed; adapt the headers in `start`."""
    headers = MutableHeaders(scope=start)
    headers.add_vary_header("Accept-Encoding")
    tag = headers.get("etag")
    if tag is not None and start["status"] == 200 and _matches(request_headers.get("if-none-match", ""), tag):
        start["status"] = 304
        for name in ("content-length", "content-type"):
            del headers[name]
        return {**body, "body": b""}
    content = body.get("body", b"")
    if len(content) >= MIN_GZIP_BYTES and _takes_gzip(request_headers.get("accept-encoding", "")):
        content = gzip.compress(content, _LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(len(content))
    return {**body, "body": content}


def _matches(given: str, tag: str) -> bool:
    """Say whether an If-None-Match names a tag; weak and strong compare alike (RFC 9110, 13.1.2)."""
    named = {each.strip().removeprefix("W/") for each in given.split(",")}
    return "*" in named or tag.removeprefix("W/") in named


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        coding, _, quality = each.partition(";")
        if coding.strip() == "gzip":
            return quality.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
