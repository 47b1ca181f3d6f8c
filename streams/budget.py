"""Back-pressure: the memory that rows of all partitions may take while they wait for ClickHouse."""

from __future__ import annotations

import asyncio


class Budget:
    """Bytes of buffered rows; a partition that would add more waits until some were inserted.

    One budget is shared, because a limit for each partition would multiply with their number. The batch that
    crosses the limit is still added, so up to one batch per topic comes on top.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` bytes."""
        self._limit = limit
        self._used = 0
        self._room = asyncio.Event()
        self._room.set()
        #: As keys, whose order is that of subscription: a simulated run can then be repeated exactly.
        self._listeners: dict[asyncio.Event, None] = {}

    @property
    def used(self) -> int:
        """Bytes in use now."""
        return self._used

    @property
    def is_exhausted(self) -> bool:
        """Whether no more may be added."""
        return self._used >= self._limit

    def subscribe(self, listener: asyncio.Event) -> None:
        """Set `listener` whenever the budget becomes exhausted, so that its writer inserts its rows."""
        self._listeners[listener] = None

    def unsubscribe(self, listener: asyncio.Event) -> None:
        """Do not set `listener` any more."""
        self._listeners.pop(listener, None)

    def reserve(self, size: int) -> None:
        """Use more bytes, even beyond the limit."""
        self._used += size
        if self.is_exhausted and self._room.is_set():
            self._room.clear()
            for listener in self._listeners:
                listener.set()

    def release(self, size: int) -> None:
        """Give bytes back."""
        self._used -= size
        if not self.is_exhausted:
            self._room.set()

    async def wait_for_room(self) -> None:
        """Wait until the budget is not exhausted."""
        await self._room.wait()
