"""Seeks of one partition: batches fetched before a seek may arrive after it, and must cause no other seek."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

#: A batch that arrives this long after a seek was not fetched before it.
_OVERDUE_SECONDS: Final = 1.0


class SeekTracker:
    """Knows whether the batch at the sought offset has arrived, and seeks again when another one did."""

    def __init__(self, seek: Callable[[int], Awaitable[None]], clock: Callable[[], float]) -> None:
        """Move a partition's consumer with `seek`; `clock` gives seconds."""
        self._seek = seek
        self._clock = clock
        #: A seek is under way: its batch has not arrived. Another batch arrived, and was dropped.
        self._pending = self._unexpected = False
        self._sought_at = 0.0

    async def seek(self, offset: int) -> None:
        """Seek. Batches fetched before may still arrive; they are dropped without another seek."""
        self._pending, self._unexpected, self._sought_at = True, False, self._clock()
        await self._seek(offset)

    def note_expected(self) -> None:
        """Note that the expected batch has arrived."""
        self._pending = self._unexpected = False

    def note_deferred(self) -> None:
        """Note that the expected batch has arrived and was dropped, to be fetched again later."""
        self._pending, self._unexpected, self._sought_at = True, True, self._clock()

    async def note_unexpected(self, offset: int) -> None:
        """Note that another batch arrived, and seek `offset` unless its batch may be on its way."""
        self._unexpected = True
        if not self._pending or self._is_overdue:
            await self.seek(offset)

    async def seek_again_if_lost(self, offset: int) -> None:
        """Seek `offset` again if another batch arrived and the seek is long ago: it may have been lost."""
        if self._unexpected and self._is_overdue:
            await self.seek(offset)

    @property
    def _is_overdue(self) -> bool:
        return self._clock() - self._sought_at > _OVERDUE_SECONDS
