"""A summary from Redis is read in two steps, between which events are counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sinks.redis.reader import RedisReader, minute_of
from sinks.redis.sizes import MOST_PARTITIONS
from streams.domain.errors import StoreUnavailableError
from streams.domain.metrics import SUMMARY_MEASURES
from streams.domain.windows import UTC_ZONE, named
from tests.readings.catalogs import LiveOnly

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
QUIET, LIVE = "quiet", "live"


class _Redis(RedisReader):
    """Two videos, one watched and one only liked; both are liked and completed between the steps."""

    minutes: Sequence[int] = (minute_of(NOW),)

    async def _run(
        self, script: str, now: datetime, *arguments: Any, more: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, Any]:
        if script == self._sizes:
            return {"log": [2, 0, 0, 0]}
        if script == self._totals:
            cells = [[minute, ["views", "1", "likes", "1"]] for minute in self.minutes]
            return {"log": [cells, [QUIET, "0", LIVE, "1"]]}
        later = dict.fromkeys(SUMMARY_MEASURES, 0) | {"likes": 2, "completions": 1, "views": 2}
        assert more is not None
        return {
            tag: [[later[name] for name in SUMMARY_MEASURES] for _ in videos] for tag, videos in more.items()
        }


async def test_what_came_in_between_makes_no_sum_negative() -> None:
    reading = await _Redis(None, LiveOnly([LIVE])).summary(named("1h", zone=UTC_ZONE, now=NOW), compare=False)
    assert min(reading.reactions.values()) >= 0
    assert reading.recorded is not None
    assert min(reading.recorded.values()) >= 0


async def test_the_minute_that_is_not_over_is_compared_with_nothing() -> None:
    redis, now = _Redis(None, LiveOnly([LIVE])), NOW + timedelta(seconds=30)
    redis.minutes = range(minute_of(NOW) - 119, minute_of(NOW) + 1)
    reading = await redis.summary(named("1h", zone=UTC_ZONE, now=now), compare=True)
    assert reading.before is not None
    assert (reading.total["views"], reading.elapsed["views"], reading.before["views"]) == (60, 59, 59)


class _Announced:
    """A Redis in which so many partitions are announced, and which counts the commands about them."""

    def __init__(self, partitions: int) -> None:
        self.partitions, self.commands = partitions, 0

    async def zrangebyscore(self, *_: Any) -> list[bytes]:
        return [f"cluster/playback.events/{number}".encode() for number in range(self.partitions)]

    def pipeline(self, *, transaction: bool) -> Any:
        return self

    def execute_command(self, *_: Any) -> None:
        self.commands += 1

    async def execute(self) -> list[Any]:
        return [None] * self.partitions


@pytest.mark.parametrize(
    ("partitions", "asked", "told"),
    [(MOST_PARTITIONS, 2 * MOST_PARTITIONS, "being rebuilt"), (MOST_PARTITIONS + 1, 0, "1,501 partitions")],
)
async def test_redis_is_not_asked_about_more_partitions_than_it_reads_quickly(
    partitions: int, asked: int, told: str
) -> None:
    redis = _Announced(partitions)
    with pytest.raises(StoreUnavailableError, match=told):
        await RedisReader(redis, LiveOnly([LIVE])).run_script("", NOW)
    assert redis.commands == asked
