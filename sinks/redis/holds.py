"""A hold on inserts into ClickHouse: for the moment in which something else must know what is in.

It is kept in the ledgers and checked by the same script that begins a block, so there is nothing between
the check and the writing down. It ends by itself, so that a holder who died holds up nobody; a holder
learns at its next step that it was too slow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from redis.asyncio import Redis

from sinks.base import Partition
from sinks.redis.ledger import ledger_key
from sinks.redis.scripts import Script

#: A hold ends after this long without a step of its holder.
HOLD_SECONDS: Final = 60.0


class HeldByAnother(Exception):
    """Somebody else holds inserts."""


class HoldLost(Exception):
    """The hold ended before its holder was done: blocks may have been begun since."""


class Holds:
    """One holder's hold on some partitions."""

    def __init__(self, redis: Redis, holder: str, seconds: float = HOLD_SECONDS) -> None:
        """Hold under a name that nobody else uses; `redis` answers bytes."""
        self._script = Script(redis, "hold")
        self._holder, self._ms = holder, int(seconds * 1000)

    async def take(self, partitions: Iterable[Partition]) -> None:
        """Hold the partitions' inserts. Raises `HeldByAnother`, `Unavailable`."""
        await self._each(partitions, self._ms, False)

    async def keep(self, partitions: Iterable[Partition]) -> None:
        """Hold on for the whole time from now. Raises `HoldLost` when the hold had ended."""
        await self._each(partitions, self._ms, True)

    async def release(self, partitions: Iterable[Partition], *, checked: bool) -> None:
        """Let inserts go on. When `checked`, raises `HoldLost` if one was not held until now."""
        await self._each(partitions, 0, checked)

    async def _each(self, partitions: Iterable[Partition], ms: int, held: bool) -> None:
        lost = []
        for partition in partitions:
            verdict, detail = (
                part.decode()
                for part in await self._script(ledger_key(partition), self._holder, ms, int(held))
            )
            if verdict == "BUSY":
                raise HeldByAnother(f"{detail} holds the inserts of {partition}")
            if verdict == "LOST":
                lost.append(partition)
        if lost:
            raise HoldLost(f"inserts of {', '.join(map(str, lost))} were not held all the time")
