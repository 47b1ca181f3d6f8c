"""Looking for trending videos may take Redis long, and is then done less often."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sinks.redis.live_reader import RedisLiveReader
from streams.domain.live import last_hour

NOW = datetime(2026, 11, 27, 12, 0, 10, tzinfo=UTC)


class _Reader:
    """One partition with a video that surges; each look for it takes a while, on a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.looks, self.now = seconds, 0, 0.0

    async def check_size(self, *_: Any, **__: Any) -> None:
        """Nothing is too much."""

    async def run_script(self, script: str, now: datetime, *arguments: Any) -> list[Any]:
        if "Adds up some videos' views" in script:
            self.looks += 1
            self.now += self.seconds
            return [[0]]
        return [[1, [], ["surge", "5"]]]


@pytest.mark.parametrize(
    ("seconds", "later", "looks"),
    [(0.0, 4.9, 1), (0.0, 5.1, 2), (0.4, 5.1, 1), (0.4, 7.9, 1), (0.4, 30, 2), (0.4, 50, 2)],
)
async def test_a_look_that_took_long_is_kept_for_longer(
    seconds: float, later: float, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader: Any = _Reader(seconds)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: reader.now)
    live = RedisLiveReader(reader)
    for now in (NOW, NOW + timedelta(seconds=later)):
        reading = await live.everything(last_hour(now))
        assert [candidate.id for candidate in reading.candidates] == ["surge"]
    assert reader.looks == looks
