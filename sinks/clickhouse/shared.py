"""One answer for all who ask the same while it is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Generic, TypeVar

A = TypeVar("A")


class Shared(Generic[A]):
    """Questions on their way, by what is asked. A question goes on when who asked it first is cancelled."""

    def __init__(self) -> None:
        """Start without any."""
        self._asking: dict[Hashable, asyncio.Task[A]] = {}

    async def ask(self, key: Hashable, question: Callable[[], Coroutine[object, object, A]]) -> A:
        """Return the answer to the question that is on its way under this key, or put it.

        What the question raises, all who wait for it raise.
        """
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(question())
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
            # Else asyncio warns of what it raised, once all who asked have been cancelled.
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(asking)
