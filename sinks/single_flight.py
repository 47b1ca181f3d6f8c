"""Single flight: concurrent callers share one call, which goes on when one of them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

A = TypeVar("A")


async def shared_result(task: asyncio.Task[A]) -> A:
    """Await a task that others may await as well; return its result, or raise its error.

    Like `asyncio.shield`, but without Python 3.14's complaint about an error when no caller waits any more.
    """
    task.add_done_callback(_retrieve_error)
    await asyncio.wait({task})
    return task.result()


def let_go(task: asyncio.Task[Any]) -> None:
    """Cancel a task whose result nobody wants any more.

    It may fail at the same moment, as when it gathers others; then asyncio would log its error.
    """
    task.cancel()
    task.add_done_callback(_retrieve_error)


def _retrieve_error(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class SingleFlight(Generic[A]):
    """Calls in flight, by key. A call goes on when the caller that started it is cancelled."""

    def __init__(self) -> None:
        """Start without calls."""
        self._in_flight: dict[Hashable, asyncio.Task[A]] = {}

    async def run(self, key: Hashable, call: Callable[[], Coroutine[Any, Any, A]]) -> A:
        """Return the result of the call in flight under this key, or start one.

        If the call raises an error, all its callers raise it.
        """
        task = self._in_flight.get(key)
        if task is None:
            task = self._in_flight[key] = asyncio.create_task(call())
            task.add_done_callback(lambda _: self._in_flight.pop(key, None))
        return await shared_result(task)
