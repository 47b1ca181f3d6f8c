"""The last hour of a platform with very many videos: Redis does little, and ClickHouse answers instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from sinks.redis import sizes
from sinks.redis.client import connect
from sinks.redis.live_reader import RedisLiveReader
from sinks.redis.reader import RedisReader
from streams.domain.live import last_hour
from streams.domain.rows import Row
from tests.readings import rows as make
from tests.readings.stores import fill, serving

#: In the future, since Redis forgets minutes by its own clock.
NOW = datetime(2050, 3, 30, 14, 5, 27, 312_000, UTC)
SUMMARY, LIVE = "/analytics/videos/summary", "/analytics/live"
LIKED = 60


@pytest_asyncio.fixture
async def filled(urls: dict[str, str]) -> dict[str, str]:
    """Both stores with 200 videos that are watched, all now and then, and `LIKED` that are only liked."""
    random, made = Random(1), list[Row]()
    for number in range(1000):
        start = NOW - timedelta(seconds=3000 * random.random())
        made.append(make.view(f"v{number % 200}", start, view_id=f"view-{number}", user_id=f"u{number % 90}"))
        made.append(make.heartbeat(f"v{number % 200}", start, random.random() * 10, view_id=f"view-{number}"))
    made += [make.heartbeat(f"v{number}", NOW, 1, view_id=f"view-{number}") for number in range(50)]
    made += [make.reaction(f"liked{number}", NOW - timedelta(minutes=5)) for number in range(LIKED)]
    made += [make.reaction(f"v{number}", NOW - timedelta(minutes=7)) for number in range(30)]
    await fill(urls, NOW, made)
    return urls


async def _asked(
    urls: dict[str, str], path: str, video: str = "v1", **parameters: Any
) -> list[dict[str, Any]]:
    """Ask twice, then for a video, whose answer shows that the API did not give Redis up."""
    async with serving(lambda: NOW, **urls) as api:
        answers = [await api.answer(path, **parameters) for _ in range(2)]
        assert (await api.answer(f"/analytics/videos/{video}", period="1h"))["meta"]["source"] == "redis"
    return answers


async def _hmgets(url: str) -> int:
    redis = Redis.from_url(url)
    calls = (await redis.info("commandstats"))["cmdstat_hmget"]["calls"]
    await redis.aclose()
    return int(calls)


async def test_a_video_costs_nothing_in_minutes_without_it(filled: dict[str, str]) -> None:
    before = await _hmgets(filled["redis_url"])
    answers = await _asked(filled, SUMMARY, period="1h")
    assert [answer["meta"]["source"] for answer in answers] == ["redis"] * 2
    # Sixty minutes in four partitions would be 240 calls for each of the videos that are only liked.
    assert await _hmgets(filled["redis_url"]) - before < 60 * LIKED


@pytest.mark.parametrize(
    ("path", "parameters", "limits"),
    [
        (SUMMARY, {"period": "1h"}, {"MOST_PAIRS": 300, "FEW_CELLS": 100}),
        (SUMMARY, {"period": "1h"}, {"MOST_SUMS": LIKED}),
        (LIVE, {}, {"MOST_PAIRS": 100, "FEW_CELLS": 50}),
        (LIVE, {}, {"MOST_WATCHED": 49}),
    ],
)
async def test_clickhouse_gives_the_same_answer_when_redis_would_have_too_much_to_read(
    filled: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    parameters: dict[str, str],
    limits: dict[str, int],
) -> None:
    usual = await _asked(filled, path, **parameters)
    for name, limit in limits.items():
        monkeypatch.setattr(sizes, name, limit)
    instead = await _asked(filled, path, **parameters)
    assert [answer["meta"]["source"] for answer in usual + instead] == ["redis"] * 2 + ["clickhouse"] * 2
    assert instead[0]["data"] == instead[1]["data"] == usual[0]["data"]


async def test_few_videos_in_many_minutes_are_not_too_much(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [(video, minute) for video in "abc" for minute in range(55)] * 2
    times = [(video, NOW - timedelta(minutes=minute)) for video, minute in views]
    await fill(
        urls, NOW, [make.view(video, at, view_id=f"w{number}") for number, (video, at) in enumerate(times)]
    )
    # There are six pairs of video and partition, in more than 160 cells.
    monkeypatch.setattr(sizes, "FEW_CELLS", 100)
    monkeypatch.setattr(sizes, "MOST_PAIRS", 60)
    answers = await _asked(urls, SUMMARY, period="1h", video="a")
    assert [answer["meta"]["source"] for answer in answers] == ["redis"] * 2


async def test_views_are_the_same_whether_a_video_is_looked_up_alone_or_with_all_others(
    filled: dict[str, str],
) -> None:
    client = connect(filled["redis_url"])
    reader, window = RedisLiveReader(RedisReader(client, None)), last_hour(NOW)  # type: ignore[arg-type]
    videos = [f"v{number}" for number in range(200)] + ["liked1", "unknown"]
    together = await reader._before(videos, window)
    alone = [(await reader._before([video], window))[0] for video in videos]
    await client.aclose()
    assert together == alone
    assert sum(together) > 700
    assert together[-2:] == [0, 0]
