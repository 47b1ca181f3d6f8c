"""The files of the dashboard. They hold no numbers: the page asks the API for those, with a reader's key."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

PATH: Final = "/dashboard"
STATIC: Final = Path(__file__).with_name("static")

#: Titles and ids on the page come from events, so from anybody: nothing but these files may run or be loaded,
#: nothing may be sent anywhere else, and no other page may show this one.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Another version's files must not be mixed with this one's: browsers ask each time, mostly for a 304.
    "Cache-Control": "no-cache",
}


class Dashboard(StaticFiles):
    """Serves the page at `PATH`/, and what it loads beside it."""

    #: What metrics and reports call it, as they do the path of a route.
    path: Final = PATH

    def __init__(self) -> None:
        """Serve the files that are installed with this module."""
        super().__init__(directory=STATIC, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["route"] = self
        await super().__call__(scope, receive, send)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, a 304, or a redirect to the page. Raises `HTTPException` for what is not there."""
        response = await super().get_response(path, scope)
        for name, value in _HEADERS.items():
            response.headers[name] = value
        return response
