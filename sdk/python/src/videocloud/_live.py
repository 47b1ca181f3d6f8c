"""Live streams: server-sent events over a connection that is reopened when it is lost."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, overload

import httpx2
from pydantic import ValidationError

from videocloud import _answers, _retry
from videocloud._calls import Call
from videocloud._io import AsyncIO, SyncIO, finish
from videocloud._operation import Resource
from videocloud._sending import Sender
from videocloud.errors import (
    APIConnectionError,
    APIError,
    APIResponseError,
    UnavailableError,
)
from videocloud.models.base import Answer, ErrorResponse

A = TypeVar("A", bound=Answer)
P = ParamSpec("P")

#: The API sends data every second, or else a comment every 15: after this many silent seconds, the
#: connection counts as lost.
SILENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Watch(Generic[A]):
    """A stream to open, and how to handle interruptions."""

    sender: Sender
    call: Call
    model: type[A]
    on_interruption: Callable[[APIError], object] | None = None
    max_reconnects: int | None = None


class _Stream(Generic[A]):
    """The part that both kinds of streams share: responses across reconnections."""

    def __init__(self, watch: Watch[A]) -> None:
        self._watch = watch
        self._sender = watch.sender
        # The stream itself decides about reconnections, so this sender does no retries.
        self._again = Sender(watch.sender.io, replace(watch.sender.options, max_retries=0))
        self._io = watch.sender.io
        self._response: httpx2.Response | None = None
        self._events: AsyncIterator[httpx2.ServerSentEvent] | None = None
        self._last_id = ""
        #: Connections in a row that delivered nothing, and the minimum pause that the API asked for.
        self._failures = 0
        self._least_pause = 0.0
        self._over = False

    async def _next(self) -> A:
        while not self._over:
            if self._events is None:
                await self._connect()
            assert self._events is not None
            try:
                event = await anext(self._events)
            except StopAsyncIteration:
                await self._lost(APIConnectionError("The API ended the stream."))
            except httpx2.RequestError as error:
                await self._lost(self._sender.lost(self._watch.call, error))
            else:
                self._last_id = event.id
                if event.retry is not None:
                    self._least_pause = event.retry / 1000
                if event.event == "live":
                    self._failures = 0
                    return self._answer(event.data)
                if event.event == "error":
                    self._tell(_told(event.data))
        raise StopAsyncIteration

    async def _connect(self) -> None:
        limits = self._sender.options.timeout
        patient = httpx2.Timeout(connect=limits.connect, read=SILENCE, write=limits.write, pool=limits.pool)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last_id:
            headers["Last-Event-ID"] = self._last_id
        call = Call("GET", self._watch.call.path, headers=headers)
        while self._response is None:
            try:
                sender = self._again if self._failures else self._sender
                self._response = await sender.send(call, timeout=patient)
            except APIError as error:
                # A failure of the first connection is raised; a later connection is reopened.
                if not self._failures or not _retry.passes(error):
                    raise
                await self._lost(error)
        self._events = self._io.events(self._response)

    async def _lost(self, error: APIError) -> None:
        await self._end()
        most = self._watch.max_reconnects
        pause = _retry.wait_to_reconnect(error, self._failures, most, random.random())
        if pause is None:
            raise error
        self._tell(error)
        self._failures += 1
        await self._io.sleep(max(self._least_pause, pause))

    async def _end(self) -> None:
        response, self._response, self._events = self._response, None, None
        if response is not None:
            with suppress(httpx2.RequestError):
                await self._io.end(response)

    async def _close(self) -> None:
        self._over = True
        await self._end()

    def _tell(self, error: APIError) -> None:
        if self._watch.on_interruption is not None:
            self._watch.on_interruption(error)

    def _answer(self, data: str) -> A:
        try:
            return _answers.data(data, self._watch.model)
        except ValidationError as error:
            assert self._response is not None
            raise _answers.unexpected(self._watch.call, self._response, error) from error


def _told(data: str) -> APIError:
    try:
        told = ErrorResponse.model_validate_json(data).error
    except ValidationError:
        return APIResponseError(f"The stream reported an error in an unknown format: {data[:200]}")
    return UnavailableError(told.message, status=503, code=told.code, details=told.details)


class LiveStream(_Stream[A], Iterator[A]):
    """Iterates over responses as they arrive, about one per second, endlessly.

    A lost connection is reopened after 0.5 to 8 seconds, or as many as `Retry-After` says; if that is more
    than a minute, the error is raised. Leave the loop whenever you like; `with`, or `close`, releases the
    connection at once.
    """

    def __next__(self) -> A:
        """Wait for the next response."""
        try:
            return finish(self._next())
        except StopAsyncIteration:
            raise StopIteration from None

    def close(self) -> None:
        """End the stream."""
        finish(self._close())

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the stream."""
        self.close()

    def __del__(self) -> None:
        """End a stream whose loop was left."""
        if self._response is not None:
            self.close()


class AsyncLiveStream(_Stream[A], AsyncIterator[A]):
    """Iterates over responses as they arrive, about one per second, endlessly.

    A lost connection is reopened after 0.5 to 8 seconds, or as many as `Retry-After` says; if that is more
    than a minute, the error is raised. Use `async with`, or `close`, so that the connection is released when
    you leave the loop.
    """

    def __anext__(self) -> Awaitable[A]:
        """Wait for the next response."""
        return self._next()

    async def close(self) -> None:
        """End the stream."""
        await self._close()

    async def __aenter__(self) -> Self:
        """Return the stream."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the stream."""
        await self.close()


class watching(Generic[P, A]):  # noqa: N801 - read as a decorator
    """A method that returns a `LiveStream` on one client and an `AsyncLiveStream` on the other."""

    def __init__(self, method: Callable[Concatenate[Any, P], Watch[A]]) -> None:
        """Take the method that returns the stream to open."""
        self.method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: Resource[SyncIO], owner: type) -> Callable[P, LiveStream[A]]: ...

    @overload
    def __get__(self, instance: Resource[AsyncIO], owner: type) -> Callable[P, AsyncLiveStream[A]]: ...

    def __get__(self, instance: Any, owner: type) -> Any:
        """Bind the method to a resource."""
        if instance is None:
            return self
        bound = self.method.__get__(instance, owner)
        kind: Any = LiveStream if instance._io.blocking else AsyncLiveStream

        def stream(*args: P.args, **kwargs: P.kwargs) -> Any:
            return kind(bound(*args, **kwargs))

        return update_wrapper(stream, bound)
