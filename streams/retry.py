"""Retries: operations are repeated with a growing pause until they succeed or the partition is given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from math import inf
from typing import Any, Final, TypeVar

import structlog

from sinks.base import Unavailable
from streams.loop_time import loop_time
from streams.metrics import METRICS

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
#: How often a failure is logged once the pauses are the longest, in seconds. Each partition retries: during
#: an outage of hours, a line for each attempt would fill disks and hide everything else.
_TELL_SECONDS: Final = 60.0
#: An operation without an answer for this long counts as waiting for its store, even before it fails.
_SILENCE_SECONDS: Final = 5.0

#: What a log line shows of an error; one of several brokers, or about several rights, is long.
_LONGEST_TEXT: Final = 800

log = structlog.get_logger(__name__)


class Released(Exception):
    """The partition was given up while an operation waited; its next owner recovers."""


class Retry:
    """Repeats operations of one partition until they succeed or the partition is released."""

    def __init__(self, **coordinates: Any) -> None:
        """Bind `coordinates` to the log; they name the partition."""
        self.log = log.bind(**coordinates)
        self._released = asyncio.Event()
        #: Operations whose last attempt failed; one that succeeds says nothing about another store.
        self._failing: set[object] = set()
        #: When the attempt that is under way began (the loop's time).
        self._began_at: dict[object, float] = {}
        #: Retries of other owners, whose operations this partition waits for.
        self._shared: set[Retry] = set()

    def is_waiting(self, now: float) -> bool:
        """Say whether a store fails, or has not answered for long (`now` is the loop's time)."""
        silent = any(now - began > _SILENCE_SECONDS for began in self._began_at.values())
        return bool(self._failing) or silent or any(other.is_waiting(now) for other in self._shared)

    async def wait_through(self, other: Retry, end: Awaitable[T]) -> T:
        """Await an operation that another `Retry` repeats; `is_waiting` then includes that one."""
        if other is self:
            return await end
        self._shared.add(other)
        try:
            return await end
        finally:
            self._shared.discard(other)

    @property
    def is_released(self) -> bool:
        """Whether the partition was given up."""
        return self._released.is_set()

    def release(self) -> None:
        """End every wait with `Released`."""
        self._released.set()

    async def forever(self, operation: Callable[[], Awaitable[T]], what: str, **coordinates: Any) -> T:
        """Repeat an operation while it raises `Unavailable`; return its result.

        Raises `Released` once the partition is released. `what` names the operation in the log and in
        metrics, `coordinates` are for the log.
        """
        pause, silent_until = _FIRST_PAUSE, -inf
        call = object()
        try:
            while True:
                self._began_at[call] = loop_time()
                try:
                    return await operation()
                except Unavailable as error:
                    self._failing.add(call)
                    METRICS.retries.labels(error.store, what).inc()
                    if (now := loop_time()) >= silent_until:
                        if pause >= _LONGEST_PAUSE:
                            silent_until = now + _TELL_SECONDS
                        self.log.warning(
                            "retrying", operation=what, error=str(error)[:_LONGEST_TEXT], **coordinates
                        )
                finally:
                    del self._began_at[call]
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                        await self._released.wait()
                if self._released.is_set():
                    raise Released(what)
                pause = min(_LONGEST_PAUSE, pause * 2)
        finally:
            self._failing.discard(call)

    async def wait_for(self, wait: Coroutine[Any, Any, Any]) -> None:
        """Await something; raises `Released` as soon as the partition is released."""
        waiting, released = asyncio.ensure_future(wait), asyncio.ensure_future(self._released.wait())
        try:
            await asyncio.wait({waiting, released}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            released.cancel()
        if self._released.is_set():
            raise Released("wait")
