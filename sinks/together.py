"""Questions together: those that are asked while another one is under way share the next request.

A worker asks ClickHouse the same about each partition that it takes over. One request about many of them
costs about as much as one about a single one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping
from typing import Any, Final, Generic, TypeVar

from sinks.single_flight import shared_result

K = TypeVar("K", bound=Hashable)
A = TypeVar("A")

#: A request without an answer for this long (in seconds) does not hold the next one up.
_PATIENCE: Final = 1.0


class Together(Generic[K, A]):
    """Asks for the answers to many keys at once.

    Each answer comes from a request that began after the call, so it is as new as if it were asked for alone.
    """

    def __init__(self, ask: Callable[[Collection[K]], Coroutine[Any, Any, Mapping[K, A]]]) -> None:
        """Put requests with `ask`, which returns the answers by key; keys without one may be missing."""
        self._ask = ask
        #: The keys of the next request, in the order of the calls, and the task that will put it.
        self._keys: dict[K, None] = {}
        self._next: asyncio.Task[Mapping[K, A]] | None = None
        self._latest: asyncio.Task[Mapping[K, A]] | None = None

    async def __call__(self, keys: Collection[K]) -> dict[K, A]:
        """Return the answers to these keys; raises what the request raises."""
        if not keys:
            return {}
        self._keys.update(dict.fromkeys(keys))
        if self._next is None:
            self._next = asyncio.create_task(self._put(self._latest))
        found = await shared_result(self._next)
        return {key: found[key] for key in keys if key in found}

    async def _put(self, before: asyncio.Task[Any] | None) -> Mapping[K, A]:
        if before is not None:
            await asyncio.wait({before}, timeout=_PATIENCE)
        keys, self._keys = list(self._keys), {}
        self._latest, self._next = self._next, None
        return await self._ask(keys)
