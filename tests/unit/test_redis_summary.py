"""A summary from Redis is read in two steps, between which events are counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sinks.redis.reader import RedisReader, minute_of
from streams.domain.metrics import SUMMARY_MEASURES
from streams.domain.video_readings import CatalogEntry
from streams.domain.windows import UTC_ZONE, named

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
QUIET, LIVE = "quiet", "live"


class _Catalog:
    async def entry(self, video_id: str) -> CatalogEntry:
        raise NotImplementedError

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        raise NotImplementedError

    async def live(self) -> Collection[str]:
        return {"live"}

    async def first(self) -> datetime | None:
        raise NotImplementedError


class _Redis(RedisReader):
    """Two videos, one watched and one only liked; both are liked and completed between the steps."""

    async def _run(
        self, script: str, now: datetime, *arguments: Any, more: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, Any]:
        if script == self._sizes:
            return {"log": [2, 0, 0, 0]}
        if script == self._totals:
            cell = [minute_of(NOW), ["views", "1", "likes", "1"]]
            return {"log": [[cell], [QUIET, "0", LIVE, "1"]]}
        later = dict.fromkeys(SUMMARY_MEASURES, 0) | {"likes": 2, "completions": 1, "views": 2}
        assert more is not None
        return {
            tag: [[later[name] for name in SUMMARY_MEASURES] for _ in videos] for tag, videos in more.items()
        }


async def test_what_came_in_between_makes_no_sum_negative() -> None:
    reading = await _Redis(None, _Catalog()).summary(named("1h", zone=UTC_ZONE, now=NOW), compare=False)
    assert min(reading.reactions.values()) >= 0
    assert reading.recorded is not None
    assert min(reading.recorded.values()) >= 0
