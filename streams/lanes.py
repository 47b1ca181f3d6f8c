"""Lanes: batches of one partition run in order, batches of several partitions concurrently.

A batch waits for Redis about a third as long as folding takes. Meanwhile a batch of another partition is
folded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: Batches that run at once: one is folded while another waits. More would only fill memory.
_MAX_RUNNING: Final = 2


class Lanes(Generic[K, V]):
    """Runs `process` for each batch: in order per key, for a few keys at once."""

    def __init__(self, process: Callable[[K, V], Coroutine[Any, Any, None]]) -> None:
        """Start with nothing running."""
        self._process = process
        self._running: dict[K, asyncio.Task[None]] = {}

    async def submit(self, key: K, batch: V) -> None:
        """Start a batch when its key and a slot are free; raises the error of an earlier batch."""
        while key in self._running or len(self._running) >= _MAX_RUNNING:
            await self._reap(asyncio.FIRST_COMPLETED)
        self._running[key] = asyncio.create_task(self._process(key, batch), name=f"take {key}")

    async def _reap(self, when: str) -> None:
        """Wait for running batches, and remove the finished ones; raises the error of one that failed."""
        await asyncio.wait(self._running.values(), return_when=when)
        for key, task in list(self._running.items()):
            if task.done():
                del self._running[key]
                task.result()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the running batches; cancel them if the context ends with an error."""
        if error is not None:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)
        while self._running:
            await self._reap(asyncio.ALL_COMPLETED)
