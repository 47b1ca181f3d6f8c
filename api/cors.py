"""CORS: which origins' pages may call the API from a browser, and which headers they can read.

A page of another origin cannot read the API's answers unless the API allows that origin (CORS, in the Fetch
standard). Keys are sent in headers and never in cookies, so an allowed page can do nothing that the owner of
a key could not do anyway.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from api import errors

EVERY: Final = "*"
METHODS: Final = ("GET", "HEAD", "POST")
#: Response headers that pages may read besides the always readable ones (a test checks all answers).
EXPOSED: Final = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
#: Scheme, host and port (RFC 6454, section 6.2), serialised as browsers do.
_ORIGIN: Final = re.compile(
    r"(https(?!.*:443$)|http(?!.*:80$))://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?", re.ASCII
)
#: Seconds for which browsers cache a preflight answer; some limit it to less.
_REMEMBERED_SECONDS: Final = 7200


def parse_origins(text: str) -> tuple[str, ...]:
    """Parse origins, comma-separated, or `*` for all; raise ValueError for what no browser would send."""
    origins = tuple(filter(None, map(str.strip, text.split(","))))
    for origin in origins:
        if origin != EVERY and not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"{origin!r} is no origin as browsers send it: write https://host or https://host:port, in "
                "lower case, without a path, a slash behind it or a port that is meant anyway; or * for all"
            )
    return origins


class Cors(CORSMiddleware):
    """ASGI middleware for CORS; the outermost one, because pages must be able to read errors, too."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        """Wrap an application; `origins` are the allowed ones, or `*`."""
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            # Any header: clients send their own ones, for example for traces.
            allow_headers=("*",),
            expose_headers=EXPOSED,
            max_age=_REMEMBERED_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request; a refusal has the shape of all errors."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refusal = errors.response(
            uuid4().hex,
            answer.status_code,
            errors.FRAMEWORK[400],
            "Pages of this origin may not ask that: see CORS_ORIGINS.",
        )
        for name in ("Vary", "Access-Control-Allow-Origin"):
            if name in answer.headers:
                refusal.headers[name] = answer.headers[name]
        return refusal
