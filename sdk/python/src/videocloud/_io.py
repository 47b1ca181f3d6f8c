"""The only code that differs between the two clients: I/O and sleeping.

Everything above is written once, as coroutines against `IO`. The asynchronous client awaits them; the
synchronous one runs them with `finish`, which works because no coroutine of `SyncIO` ever suspends.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any, ClassVar, Final, Protocol, TypeVar

import anyio
import anyio.to_thread
import httpx2

T = TypeVar("T")

#: Of a client made here. Each live stream has a connection, and httpx2's hundred would be too few for them.
LIMITS: Final = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)


class IO(Protocol):
    """The I/O that a client needs. Methods raise httpx2's errors."""

    @property
    def http(self) -> httpx2.Client | httpx2.AsyncClient:
        """The httpx2 client, to build requests with."""
        ...

    async def send(self, request: httpx2.Request, *, redirects: bool = False) -> httpx2.Response:
        """Send a request; return when the headers of the response arrived. `read` or `end` the response."""
        ...

    async def read(self, response: httpx2.Response) -> None:
        """Read the rest of a response, and end it."""
        ...

    def chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Read a response in chunks, decoded."""
        ...

    def events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Read a response as server-sent events."""
        ...

    async def end(self, response: httpx2.Response) -> None:
        """Release the connection of a response; data that was not read is lost."""
        ...

    async def run(self, function: Callable[[], T]) -> T:
        """Call a function that does file I/O or waits for other threads."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class _Ready(AsyncIterator[T]):
    """Adapts an iterator to an asynchronous one that never suspends."""

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
        """Take a client, or create one; `close` closes it."""
        self.http = http or httpx2.Client(limits=LIMITS)
        self._made = http is None

    def __del__(self) -> None:
        """Close connections that were left open, once nothing refers to the client any more."""
        with suppress(AttributeError):
            if self._made:
                self.http.close()

    async def send(self, request: httpx2.Request, *, redirects: bool = False) -> httpx2.Response:
        """Send a request."""
        return self.http.send(request, stream=True, follow_redirects=redirects)

    async def read(self, response: httpx2.Response) -> None:
        """Read the rest of a response."""
        response.read()

    def chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Read a response in chunks."""
        return _Ready(response.iter_bytes())

    def events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Read a response as server-sent events."""
        return _Ready(iter(httpx2.EventSource(response)))

    async def end(self, response: httpx2.Response) -> None:
        """Release the connection."""
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

    def __init__(self, http: httpx2.AsyncClient | None) -> None:
        """Take a client, or create one; `close` closes it."""
        self.http = http or httpx2.AsyncClient(limits=LIMITS)

    async def send(self, request: httpx2.Request, *, redirects: bool = False) -> httpx2.Response:
        """Send a request."""
        return await self.http.send(request, stream=True, follow_redirects=redirects)

    async def read(self, response: httpx2.Response) -> None:
        """Read the rest of a response."""
        await response.aread()

    def chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """Read a response in chunks."""
        return response.aiter_bytes()

    def events(self, response: httpx2.Response) -> AsyncIterator[httpx2.ServerSentEvent]:
        """Read a response as server-sent events."""
        return aiter(httpx2.EventSource(response))

    async def end(self, response: httpx2.Response) -> None:
        """Release the connection."""
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
