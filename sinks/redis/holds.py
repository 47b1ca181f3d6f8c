"""Holds on inserts into ClickHouse, for operations during which no block may be begun (`vca rebuild`).

A hold is stored in the ledger and checked by the script that begins a block, so check and beginning are one
atomic step. It expires by itself, so that a holder that died blocks nobody; a holder that was too slow gets
`HoldLost` at its next step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from redis.asyncio import Redis

from sinks.base import Partition
from sinks.redis.ledger import ledger_key
from sinks.redis.scripts import Script

#: A hold expires after this long without a step of its holder.
HOLD_SECONDS: Final = 60.0
#: Partitions that are held at a time: the Redis client has a limited number of connections.
_AT_ONCE: Final = 16


class HeldByAnother(Exception):
    """Another holder holds the inserts."""


class HoldLost(Exception):
    """The hold expired before its holder was done: blocks may have been begun since."""


class Holds:
    """One holder's hold on some partitions."""

    def __init__(self, redis: Redis, holder: str, seconds: float = HOLD_SECONDS) -> None:
        """Hold under a unique name; `redis` returns bytes."""
        self._script = Script(redis, "hold")
        self._holder, self._ms = holder, int(seconds * 1000)

    async def take(self, partitions: Iterable[Partition]) -> None:
        """Hold the partitions' inserts. Raises `HeldByAnother`, `Unavailable`."""
        await self._each(partitions, self._ms, False)

    async def keep(self, partitions: Iterable[Partition]) -> None:
        """Extend the hold, from now. Raises `HoldLost` if it had expired."""
        await self._each(partitions, self._ms, True)

    async def release(self, partitions: Iterable[Partition], *, checked: bool) -> None:
        """End the hold. When `checked`, raises `HoldLost` if a partition's hold had expired."""
        await self._each(partitions, 0, checked)

    async def _each(self, partitions: Iterable[Partition], ms: int, held: bool) -> None:
        lost, every = [], list(partitions)
        for begin in range(0, len(every), _AT_ONCE):
            some = every[begin : begin + _AT_ONCE]
            answers = await asyncio.gather(
                *(self._script(ledger_key(each), self._holder, ms, int(held)) for each in some)
            )
            for partition, answer in zip(some, answers, strict=True):
                verdict, detail = (part.decode() for part in answer)
                if verdict == "BUSY":
                    raise HeldByAnother(f"{detail} already holds the inserts of {partition}")
                if verdict == "LOST":
                    lost.append(partition)
        if lost:
            raise HoldLost(f"the hold on inserts of {', '.join(map(str, lost))} was lost")
