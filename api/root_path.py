"""The API under a path of another server, as `https://example.com/videocloud`."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

_SCHEMES: Final = ("http", "https")
#: What paths of the application begin with.
OWN: Final = frozenset(
    {"analytics", "dashboard", "docs", "docs-files", "healthz", "metrics", "openapi.json", "readyz"}
)


def path_of(address: str | None) -> str:
    """Return the path of the address under which callers reach the API: `/videocloud`, or "" for the root.

    Raises ValueError unless it is an HTTP URL that paths can be appended to.
    """
    if not address:
        return ""
    parts = urlsplit(address)
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it must be as https://analytics.example.com or https://example.com/videocloud")
    return parts.path.rstrip("/")


class RootPath:
    """ASGI middleware: sets the path under which callers see the application, so that its links are right.

    In ASGI, `root_path` has that path, and `path` begins with it. Most proxies strip it, and servers behind
    them do not know it.
    """

    def __init__(self, app: ASGIApp, under: str) -> None:
        """Wrap an application that callers see `under` a path."""
        self._app = app
        self._under = under

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whether the proxy stripped the path or not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = scope["path"]
        scope["root_path"] = self._under
        if not self._is_kept(asked):
            scope["path"] = self._under + asked
        try:
            await self._app(scope, receive, send)
        finally:
            # Metrics and logs show the requested path.
            scope["path"] = asked

    def _is_kept(self, asked: str) -> bool:
        """Say whether the proxy kept the path before that of an endpoint."""
        if not f"{asked}/".startswith(f"{self._under}/"):
            return False
        # Under `/analytics`, where endpoints begin alike, the endpoint behind it decides.
        first, behind = (f"{path}/".split("/")[1] for path in (asked, asked.removeprefix(self._under)))
        return first not in OWN or behind in {*OWN, ""}
