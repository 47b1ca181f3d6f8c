"""Which headers of an answer a browser shows to a page of another origin."""

from __future__ import annotations

import httpx2

PAGE = "https://dash.example.com"
#: The Fetch standard's CORS-safelisted response-header names.
_SAFE = {
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
}
#: Headers for browsers, proxies and connections, which no page needs.
_NOT_FOR_PAGES = {"connection", "content-encoding", "date", "server", "transfer-encoding", "vary"}
_OF_PAGES = {"x-content-type-options", "access-control-allow-origin", "access-control-expose-headers"}


def hidden(answer: httpx2.Response) -> set[str]:
    """Return the headers of an answer that a page of `PAGE` may want to read, but cannot.

    Raises AssertionError if the page cannot read the answer at all.
    """
    assert answer.headers.get("access-control-allow-origin") in (PAGE, "*")
    exposed = answer.headers.get("access-control-expose-headers", "").lower().split(", ")
    return {name.lower() for name in answer.headers} - _SAFE - _NOT_FOR_PAGES - _OF_PAGES - set(exposed)
