"""Holds on inserts into ClickHouse, for operations during which no block may be begun (`vca rebuild`).

A hold is stored in the ledger and checked by the script that begins a block, so check and beginning are one
atomic step. It expires by itself, so that a holder that died blocks nobody; a holder that was too slow gets
`HoldLost` at its next step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, Self

from redis.asyncio import Redis

from sinks.base import Partition, Unavailable
from sinks.redis.ledger import ledger_key
from sinks.redis.scripts import Script

#: A hold expires after this long without a step of its holder.
HOLD_SECONDS: Final = 60.0
#: Partitions that are held at a time: the Redis client has a limited number of connections.
_AT_ONCE: Final = 16


class HeldByAnother(Exception):
    """Another holder holds the inserts."""


class HoldLost(Exception):
    """The hold expired before its holder was done: blocks, or another's turn, may have begun since."""


class TurnTaken(Exception):
    """It is another's turn."""


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


class Turn:
    """A turn at something that only one process may do at a time: `async with Turn(...)`.

    It is kept in the background. A process that was frozen for longer than that notices it with `keep`.
    """

    def __init__(self, redis: Redis, key: str, holder: str, seconds: float = HOLD_SECONDS) -> None:
        """Take turns by a key, under a unique name; `redis` returns bytes."""
        self._script, self._key = Script(redis, "hold"), key
        self._holder, self._seconds = holder, seconds

    async def __aenter__(self) -> Self:
        """Begin the turn. Raises `TurnTaken`, `Unavailable`."""
        await self._step(self._seconds, held=False)
        self._keeping = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it; if it was lost, or Redis is away, it has ended or will."""
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        with suppress(TurnTaken, Unavailable):
            await self._step(0, held=False)

    async def keep(self) -> None:
        """Extend the turn, from now. Raises `HoldLost` or `TurnTaken` if it had expired."""
        await self._step(self._seconds, held=True)

    async def _keep(self) -> None:
        with suppress(TurnTaken, HoldLost):
            while True:
                await asyncio.sleep(self._seconds / 3)
                with suppress(Unavailable):
                    await self.keep()

    async def _step(self, seconds: float, *, held: bool) -> None:
        answer = await self._script(self._key, self._holder, int(seconds * 1000), int(held))
        verdict, detail = (part.decode() for part in answer)
        if verdict == "BUSY":
            raise TurnTaken(f"it is the turn of {detail}")
        if verdict == "LOST":
            raise HoldLost("the turn was lost")
