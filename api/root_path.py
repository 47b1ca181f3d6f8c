"""The API under a path of another server's, as `https://example.com/videocloud`."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

_SCHEMES: Final = ("http", "https")


def path_of(address: str | None) -> str:
    """Return the path of the address under which callers reach the API: `/videocloud`, or "" for the root.

    Raises ValueError unless it is an address of HTTP that paths can be appended to.
    """
    if not address:
        return ""
    parts = urlsplit(address)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it must be as https://analytics.example.com or https://example.com/videocloud")
    return parts.path.rstrip("/")


class RootPath:
    """ASGI middleware: tells an application under which path callers see it, so that its own links are right.

    ASGI has that path in `root_path` and at the beginning of `path`. Most proxies take it off, and servers
    behind them do not know it.
    """

    def __init__(self, app: ASGIApp, under: str) -> None:
        """Wrap an application that callers see `under` a path."""
        self._app = app
        self._under = under

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whether the path is still there or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = scope["path"]
        scope["root_path"] = self._under
        if not f"{asked}/".startswith(f"{self._under}/"):
            scope["path"] = self._under + asked
        try:
            await self._app(scope, receive, send)
        finally:
            # Counts and logs tell what was asked.
            scope["path"] = asked
