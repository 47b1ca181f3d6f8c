"""The live window in Redis: one script call per batch adds its counters and moves the ledger's cursor."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sinks.base import LiveBatch, Partition
from sinks.redis import keys
from sinks.redis.client import available
from sinks.redis.ledger import ledger_key
from sinks.redis.scripts import Script
from streams.domain.aggregate import Live

#: The only measure that is a product, whose sums may become too large: `apply.lua` ends them at `_MOST`, and
#: what is beyond 64 bits would not even fit into a message.
_WEIGHT, _MOST = "bitrate_weight", 1 << 62


def encode(live: Live) -> bytes:
    """Encode increments for the scripts (see `apply.lua`); empty for no increments."""
    if not live:
        return b""
    counters = live.counters
    for sums in counters.values():
        if _WEIGHT in sums and sums[_WEIGHT] > _MOST:
            sums[_WEIGHT] = _MOST
    # Hashes go as text: Lua's numbers are doubles and would round 64-bit integers.
    return msgspec.msgpack.encode(
        (
            [(minute, video, sums) for (minute, video), sums in counters.items()],
            [(minute, video, [str(u) for u in users]) for (minute, video), users in live.viewers.items()],
            [
                (
                    video,
                    max(views.values()),
                    [part for view, seen in views.items() for part in (seen, view)],
                )
                for video, views in live.watching.items()
            ],
        )
    )


class RedisLive:
    """`LiveSink` on Redis."""

    def __init__(self, redis: Redis, clock: Callable[[], float] = time.time) -> None:
        """Use a client that returns bytes; `clock` gives epoch seconds."""
        self._redis = redis
        self._clock = clock
        self._count, self._rebuild = (
            Script(redis, name, after=("owned", "apply")) for name in ("count", "rebuild")
        )
        self._announced: dict[Partition, float] = {}

    async def write(self, batch: LiveBatch) -> None:
        """Add a batch's increments and move `counted`, in one step."""
        partition, books, now = batch.partition, batch.books, self._clock()
        tag = keys.tag(partition.cluster, partition.topic, partition.number)
        await self._count.fenced(
            ledger_key(partition),
            *(batch.epoch, batch.start, batch.end, batch.mark, keys.prefix(tag, batch.generation)),
            *(encode(batch.live), keys.KEPT_SECONDS, int(now * 1000), keys.WATCHING_KEPT_MS),
            *(books.read, books.stored, books.repeated, books.late, books.rejected, batch.generation),
        )
        if now - self._announced.get(partition, 0.0) > keys.ANNOUNCE_SECONDS:
            # The batch is counted already, and a partition may be announced a minute late.
            with suppress(RedisError, OSError):
                await self._redis.zadd(keys.LOGS, {tag: now})
                self._announced[partition] = now

    async def rebuild(self, partition: Partition, epoch: int, generation: int, part: int, live: Live) -> None:
        """Add a part of the increments to a generation that no reader uses yet."""
        if live:
            tag = keys.tag(partition.cluster, partition.topic, partition.number)
            # At once, and whatever was announced before: Redis may have lost it, and the partition be idle.
            with available():
                await self._redis.zadd(keys.LOGS, {tag: self._clock()})
            await self._rebuild.fenced(
                ledger_key(partition),
                *(epoch, keys.prefix(tag, generation), encode(live)),
                *(keys.KEPT_SECONDS, int(self._clock() * 1000), keys.WATCHING_KEPT_MS, generation, part),
            )
