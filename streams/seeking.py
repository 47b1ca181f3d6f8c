"""Seeks of one partition: what is fetched before one may come after it, and must not cause another each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

#: After this long, what comes was not fetched before a seek.
_SECONDS: Final = 1.0


class Seeking:
    """Knows whether what was sought has come, and seeks again when something else did."""

    def __init__(self, seek: Callable[[int], Awaitable[None]], clock: Callable[[], float]) -> None:
        """Move a partition's consumer with `seek`; `clock` gives seconds."""
        self._seek = seek
        self._clock = clock
        #: Nothing has come from where was sought yet; and something else did, that was dropped.
        self._waiting = self._astray = False
        self._sought_at = 0.0

    async def go_to(self, offset: int) -> None:
        """Seek. What was fetched before may still come and is dropped; it does not need another seek each."""
        self._waiting, self._astray, self._sought_at = True, False, self._clock()
        await self._seek(offset)

    def found(self) -> None:
        """Note that what must come next has come."""
        self._waiting = self._astray = False

    def put_off(self) -> None:
        """Note that what must come next has come, and was left for later."""
        self._waiting, self._astray, self._sought_at = True, True, self._clock()

    async def dropped(self, offset: int) -> None:
        """Note that something else came, and seek `offset` unless that may be on its way."""
        self._astray = True
        if not self._waiting or self._is_long_ago:
            await self.go_to(offset)

    async def again(self, offset: int) -> None:
        """Seek `offset` again if something else came long after the seek: nothing more may ever come."""
        if self._astray and self._is_long_ago:
            await self.go_to(offset)

    @property
    def _is_long_ago(self) -> bool:
        return self._clock() - self._sought_at > _SECONDS
