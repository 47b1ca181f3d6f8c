"""What several wait for: it is done once, and goes on when one of them no longer waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

A = TypeVar("A")


async def outcome(task: asyncio.Task[A]) -> A:
    """Wait for a task that others may wait for as well; return its result, or raise what it raises.

    As `asyncio.shield`, but what it raises when nobody waits any more is not complained of, which Python
    3.14 does.
    """
    task.add_done_callback(_heard)
    await asyncio.wait({task})
    return task.result()


def _heard(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class SingleFlight(Generic[A]):
    """Questions on their way, by what is asked. A question goes on when who asked it first is cancelled."""

    def __init__(self) -> None:
        """Start without any."""
        self._asking: dict[Hashable, asyncio.Task[A]] = {}

    async def ask(self, key: Hashable, question: Callable[[], Coroutine[Any, Any, A]]) -> A:
        """Return the answer to the question that is on its way under this key, or put it.

        What the question raises, all who wait for it raise.
        """
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(question())
            asking.add_done_callback(lambda _: self._asking.pop(key, None))
        return await outcome(asking)
