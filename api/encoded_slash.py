"""Ids in paths may be any string, even with a slash, which callers send as `%2F`.

Servers decode a path before routing. Then such a slash would separate path segments, although RFC 3986 (2.2)
distinguishes the two. So paths are routed with `%2F` and `%25` as they were sent, and `VideoId` decodes them.
"""

from __future__ import annotations

import re
from typing import Annotated, Final
from urllib.parse import unquote

from fastapi import Depends, Path
from starlette.types import ASGIApp, Receive, Scope, Send

from streams.domain.errors import UnknownVideoError

_KEPT: Final = re.compile(rb"%(2[fF5])")
_DECODED: Final = re.compile("%2[fF5]")
#: As in the event contract.
_LONGEST_ID: Final = 128


class EncodedSlash:
    """ASGI middleware: keeps `%2F` and `%25` in the path that is routed."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            raw = scope.get("raw_path")
            # Without a raw path of the server, an encoded slash cannot be recognized.
            path = scope["path"].replace("%", "%25") if raw is None else unquote(_KEPT.sub(rb"%25\1", raw))
            scope["path"] = path
        await self._app(scope, receive, send)


async def _video_id(
    routed: Annotated[str, Path(alias="id", description="The id of the video, as its events have it.")],
) -> str:
    """Return the id; raise UnknownVideoError for one that is longer than events allow."""
    video_id = _DECODED.sub(lambda found: unquote(found[0]), routed)
    if len(video_id) > _LONGEST_ID:
        raise UnknownVideoError(video_id[:_LONGEST_ID])
    return video_id


VideoId = Annotated[str, Depends(_video_id)]
