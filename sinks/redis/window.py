"""A partition's live counters, for a comparison with a recount (`vca verify`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from sinks.base import Partition
from sinks.redis import keys
from sinks.redis.ledger import ledger_key
from sinks.redis.scripts import Script
from streams.domain.aggregate import Live


@dataclass(frozen=True, slots=True)
class LiveCounters:
    """Counters of a partition's minutes, which have every record before the offset `counted`."""

    counted: int
    #: Measures of all videos by minute, and views by minute and video; zeros are left out.
    totals: dict[tuple[int, str], int] = field(default_factory=dict)
    views: dict[tuple[int, str], int] = field(default_factory=dict)


class RedisWindow:
    """Reads live windows."""

    def __init__(self, redis: Redis) -> None:
        """Use a client that returns bytes."""
        self._read = Script(redis, "read_window")

    async def read(self, partition: Partition, first: int, end: int) -> LiveCounters | None:
        """Return the counters of minutes `first`..`end` (since the epoch); None without a ledger."""
        tag = keys.tag(partition.cluster, partition.topic, partition.number)
        answer: Any = await self._read(ledger_key(partition), keys.prefix_of_all(tag), first, end)
        if answer is None:
            return None
        read = LiveCounters(int(answer[0]))
        for minute, cell, top in answer[1]:
            for into, flat in ((read.totals, cell), (read.views, top)):
                for n in range(0, len(flat), 2):
                    if value := int(float(flat[n + 1])):
                        into[minute, flat[n].decode()] = value
        return read


def expected(live: Live, counted: int, first: int, end: int) -> LiveCounters:
    """Return the counters that a partition must have if exactly `live` was counted."""
    read = LiveCounters(counted)
    for (minute, video), measures in live.counters.items():
        if first <= minute < end:
            for name, value in measures.items():
                key = (minute, name)
                read.totals[key] = read.totals.get(key, 0) + value
            if views := measures.get("views", 0):
                read.views[minute, video] = read.views.get((minute, video), 0) + views
    for some in (read.totals, read.views):
        for key in [key for key, value in some.items() if not value]:
            del some[key]
    return read
