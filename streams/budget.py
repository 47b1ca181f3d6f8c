"""The memory that rows may take while they wait for ClickHouse, over all partitions of a worker."""

from __future__ import annotations

import asyncio


class Budget:
    """Bytes held by gathered rows; who would add more waits until some were written.

    A bound for each partition alone would multiply with their number. The one who goes over the limit
    has its batch in already, so up to a batch for each topic comes on top.
    """

    def __init__(self, limit: int) -> None:
        """Allow `limit` bytes."""
        self._limit = limit
        self._held = 0
        self._room = asyncio.Event()
        self._room.set()
        self._alarms: set[asyncio.Event] = set()

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    @property
    def is_spent(self) -> bool:
        """Say whether nobody may add any more."""
        return self._held >= self._limit

    def watch(self, alarm: asyncio.Event) -> None:
        """Set `alarm` whenever the budget is spent, so that its owner writes what it has."""
        self._alarms.add(alarm)

    def leave(self, alarm: asyncio.Event) -> None:
        """Set `alarm` no more."""
        self._alarms.discard(alarm)

    def take(self, size: int) -> None:
        """Hold more bytes, whatever is held already."""
        self._held += size
        if self.is_spent and self._room.is_set():
            self._room.clear()
            for alarm in self._alarms:
                alarm.set()

    def give(self, size: int) -> None:
        """Let go of bytes."""
        self._held -= size
        if not self.is_spent:
            self._room.set()

    async def room(self) -> None:
        """Wait until the budget is not spent."""
        await self._room.wait()
