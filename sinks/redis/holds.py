"""Holds on inserts into ClickHouse, and turns at what only one process may do (`vca rebuild`, `vca forget`).

A hold on inserts is stored in the ledger and checked by the script that begins a block, so check and
beginning are one atomic step. A turn is a hold on a key of its own. Both expire by themselves, so that a
holder that died blocks nobody; a holder that was too slow gets `HoldLost` at its next step.
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


class _Hold:
    """The script `hold` for one holder, whose name is unique."""

    def __init__(self, redis: Redis, holder: str) -> None:
        self._script, self._holder = Script(redis, "hold"), holder

    async def step(self, key: str, seconds: float, *, held: bool) -> tuple[str, str]:
        """Hold a key for so long, 0 to end it; `held` if it must be held already. Return the verdict."""
        verdict, detail = await self._script(key, self._holder, int(seconds * 1000), int(held))
        return verdict.decode(), detail.decode()


class Holds:
    """One holder's hold on some partitions."""

    def __init__(self, redis: Redis, holder: str, seconds: float = HOLD_SECONDS) -> None:
        """Hold under a unique name; `redis` returns bytes."""
        self._hold, self._seconds = _Hold(redis, holder), seconds

    async def take(self, partitions: Iterable[Partition]) -> None:
        """Hold the partitions' inserts. Raises `HeldByAnother`, `Unavailable`."""
        await self._each(partitions, self._seconds, held=False)

    async def keep(self, partitions: Iterable[Partition]) -> None:
        """Extend the hold, from now. Raises `HoldLost` if it had expired."""
        await self._each(partitions, self._seconds, held=True)

    async def release(self, partitions: Iterable[Partition], *, checked: bool) -> None:
        """End the hold. When `checked`, raises `HoldLost` if a partition's hold had expired."""
        await self._each(partitions, 0, held=checked)

    async def _each(self, partitions: Iterable[Partition], seconds: float, *, held: bool) -> None:
        lost, every = [], list(partitions)
        for begin in range(0, len(every), _AT_ONCE):
            some = every[begin : begin + _AT_ONCE]
            answers = await asyncio.gather(
                *(self._hold.step(ledger_key(each), seconds, held=held) for each in some)
            )
            for partition, (verdict, detail) in zip(some, answers, strict=True):
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
        self._hold, self._key, self._seconds = _Hold(redis, holder), key, seconds

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
        verdict, detail = await self._hold.step(self._key, seconds, held=held)
        if verdict == "BUSY":
            raise TurnTaken(f"it is the turn of {detail}")
        if verdict == "LOST":
            raise HoldLost("the turn was lost")
