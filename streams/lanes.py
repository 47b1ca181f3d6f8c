"""Lanes: a partition's batches one after the other, those of several partitions at once.

A batch waits for Redis about a third as long as it takes to fold. Meanwhile another partition's is folded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: Batches at work: one is folded while another waits. More would only fill memory.
_AT_ONCE: Final = 2


class Lanes(Generic[K, V]):
    """Hands batches to `process`, in order for each key, a few keys at once."""

    def __init__(self, process: Callable[[K, V], Coroutine[Any, Any, None]]) -> None:
        """Start with nothing at work."""
        self._process = process
        self._at_work: dict[K, asyncio.Task[None]] = {}

    async def take(self, key: K, batch: V) -> None:
        """Begin with a batch as soon as its turn comes; raises what an earlier one ended with."""
        while key in self._at_work or len(self._at_work) >= _AT_ONCE:
            await self._settle(asyncio.FIRST_COMPLETED)
        self._at_work[key] = asyncio.create_task(self._process(key, batch), name=f"take {key}")

    async def _settle(self, when: str) -> None:
        """Wait for those at work, and let go of those that have ended."""
        await asyncio.wait(self._at_work.values(), return_when=when)
        for key, task in list(self._at_work.items()):
            if task.done():
                del self._at_work[key]
                task.result()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is at work, or cut it short when its owner is."""
        if error is not None:
            for task in self._at_work.values():
                task.cancel()
            await asyncio.gather(*self._at_work.values(), return_exceptions=True)
        while self._at_work:
            await self._settle(asyncio.ALL_COMPLETED)
