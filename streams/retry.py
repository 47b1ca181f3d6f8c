"""Retrying what may pass: for ever, with a growing pause, until the partition is given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog

from sinks.base import Unavailable
from streams.metrics import METRICS

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 5.0
#: A store that has not answered for this long is waited for, even if it has not failed yet.
_PATIENCE: Final = 5.0

log = structlog.get_logger(__name__)


class Released(Exception):
    """The partition was given up while something waited: whoever owns it next recovers."""


class Retry:
    """Repeats operations of one partition until they succeed or the partition is released."""

    def __init__(self, **coordinates: Any) -> None:
        """Take what the log says of the partition."""
        self.log = log.bind(**coordinates)
        self._released = asyncio.Event()
        #: Tries that failed since the last success; 0 when the stores answer.
        self.failures = 0
        self._asked_at: dict[object, float] = {}
        #: Of what this partition has a share in.
        self._shared: set[Retry] = set()

    def is_waiting(self, now: float) -> bool:
        """Say whether a store is failing, or was asked long ago and is silent (`now` is monotonic)."""
        silent = any(now - asked > _PATIENCE for asked in self._asked_at.values())
        return bool(self.failures) or silent or any(other.is_waiting(now) for other in self._shared)

    async def along(self, other: Retry, end: Awaitable[T]) -> T:
        """Return what something ends with that repeats through another `Retry`, and wait as it waits."""
        if other is self:
            return await end
        self._shared.add(other)
        try:
            return await end
        finally:
            self._shared.discard(other)

    def release(self) -> None:
        """End every wait with `Released`."""
        self._released.set()

    async def forever(self, operation: Callable[[], Awaitable[T]], what: str, **coordinates: Any) -> T:
        """Run an operation until it does not raise `Unavailable`; `coordinates` are for the log."""
        pause = _FIRST_PAUSE
        call = object()
        while True:
            self._asked_at[call] = asyncio.get_running_loop().time()
            try:
                result = await operation()
            except Unavailable as error:
                self.failures += 1
                METRICS.retries.labels(error.store, what).inc()
                self.log.warning("retrying", operation=what, error=str(error)[:300], **coordinates)
            else:
                self.failures = 0
                return result
            finally:
                del self._asked_at[call]
            with suppress(TimeoutError):
                async with asyncio.timeout(pause * random.uniform(0.5, 1.0)):
                    await self._released.wait()
            if self._released.is_set():
                raise Released(what)
            pause = min(_LONGEST_PAUSE, pause * 2)

    async def until(self, wait: Coroutine[Any, Any, Any]) -> None:
        """Wait for something, but no longer than the partition is held."""
        waiting, released = asyncio.ensure_future(wait), asyncio.ensure_future(self._released.wait())
        try:
            await asyncio.wait({waiting, released}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            released.cancel()
        if self._released.is_set():
            raise Released("wait")
