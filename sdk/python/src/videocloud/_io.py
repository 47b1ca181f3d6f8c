"""The only code that differs between the two clients: how bytes move and how time passes.

Everything above is written once, as coroutines against `IO`. The asynchronous client awaits them; the
synchronous one runs them with `finish`, which works because no coroutine of `SyncIO` ever suspends.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, ClassVar, Protocol, TypeVar

import anyio
import anyio.to_thread
import httpx2

T = TypeVar("T")


class IO(Protocol):
    """What a client needs of the world. Methods raise what httpx2 raises."""

    @property
    def http(self) -> httpx2.Client | httpx2.AsyncClient:
        """The client of httpx2, to build requests with."""
        ...

    async def send(self, request: httpx2.Request, *, redirects: bool = False) -> httpx2.Response:
        """Send a request; return when the head of the answer is there. `read` or `end` it."""
        ...

    async def read(self, response: httpx2.Response) -> None:
        """Read the rest of an answer, and end it."""
        ...

    def chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Read an answer piece by piece, decoded."""
        ...

    def events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Read an answer as server-sent events."""
        ...

    async def end(self, response: httpx2.Response) -> None:
        """Give the connection of an answer back; what was not read is lost."""
        ...

    async def run(self, function: Callable[[], T]) -> T:
        """Call what touches files or waits for other threads."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _Ready(AsyncIterator[T]):
    """An iterator as an asynchronous one that never suspends."""

    def __init__(self, iterator: Iterator[T]) -> None:
        self._iterator = iterator

    async def __anext__(self) -> T:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None


class SyncIO:
    """Blocks the thread."""

    blocking: ClassVar = True

    def __init__(self, http: httpx2.Client | None) -> None:
        """Take a client, or make one; close it in the end."""
        self.http = http or httpx2.Client()
        self._made = http is None

    def __del__(self) -> None:
        """Close the connections that nobody closed, once no part of a client can ask any more."""
        with suppress(AttributeError):
            if self._made:
                self.http.close()

    async def send(self, request: httpx2.Request, *, redirects: bool = False) -> httpx2.Response:
        """Send a request."""
        return self.http.send(request, stream=True, follow_redirects=redirects)

    async def read(self, response: httpx2.Response) -> None:
        """Read the rest of an answer."""
        response.read()

    def chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Read an answer piece by piece."""
        return _Ready(response.iter_bytes())

    def events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Read an answer as server-sent events."""
        return _Ready(iter(httpx2.EventSource(response)))

    async def end(self, response: httpx2.Response) -> None:
        """Give the connection back."""
        response.close()

    async def run(self, function: Callable[[], T]) -> T:
        """Call it."""
        return function()

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        time.sleep(seconds)

    async def close(self) -> None:
        """Close all connections."""
        self.http.close()


class AsyncIO:
    """Suspends the task."""

    blocking: ClassVar = False

    def __init__(self, http: httpx2.AsyncClient) -> None:
        """Take a client, and close it in the end."""
        self.http = http

    async def send(self, request: httpx2.Request, *, redirects: bool = False) -> httpx2.Response:
        """Send a request."""
        return await self.http.send(request, stream=True, follow_redirects=redirects)

    async def read(self, response: httpx2.Response) -> None:
        """Read the rest of an answer."""
        await response.aread()

    def chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Read an answer piece by piece."""
        return response.aiter_bytes()

    def events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Read an answer as server-sent events."""
        return aiter(httpx2.EventSource(response))

    async def end(self, response: httpx2.Response) -> None:
        """Give the connection back."""
        await response.aclose()

    async def run(self, function: Callable[[], T]) -> T:
        """Call it in a thread."""
        return await anyio.to_thread.run_sync(function)

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await anyio.sleep(seconds)

    async def close(self) -> None:
        """Close all connections."""
        await self.http.aclose()


def finish(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine over `SyncIO` to its end, without an event loop, and return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a coroutine over SyncIO must not suspend")
