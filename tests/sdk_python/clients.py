"""The synchronous and the asynchronous client behind one interface: results are awaited where necessary."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from videocloud import AsyncVideoCloud, VideoCloud

#: Neither client's type, because each test runs with both.
Client = Any
Kind = type[VideoCloud] | type[AsyncVideoCloud]
KINDS: tuple[Kind, ...] = (VideoCloud, AsyncVideoCloud)


async def done(result: Any) -> Any:
    """Return the result of a method call, of either client."""
    return await result if inspect.isawaitable(result) else result


async def following(stream: Any) -> Any:
    """Return the next answer of a stream, of either client."""
    return await anext(stream) if hasattr(stream, "__anext__") else next(stream)


@asynccontextmanager
async def open_client(kind: Kind, **options: Any) -> AsyncIterator[Client]:
    """Yield a client, and close it in the end."""
    client = kind(**options)
    try:
        yield client
    finally:
        await done(client.close())


def answering(kind: Kind, handler: Callable[[httpx2.Request], httpx2.Response], **options: Any) -> Client:
    """Return a client whose requests a function answers."""
    transport = httpx2.MockTransport(handler)
    http: Any = (httpx2.Client if kind is VideoCloud else httpx2.AsyncClient)(transport=transport)
    return kind(http_client=http, **{"api_key": "vca_test", "base_url": "http://api.test", **options})
