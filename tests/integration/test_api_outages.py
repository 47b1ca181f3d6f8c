"""Stores that die, hang and come back: who stands in for whom, and how soon the API says that nobody can."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from api.limits import COOLDOWN_SECONDS, RateLimit
from api.settings import Settings
from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child
from sinks.clickhouse.migrator import migrate
from sinks.redis import keys
from sinks.redis.client import CircuitBreaker
from sinks.redis.key_store import RedisKeyStore
from streams.domain.access import Scope, digest_of, new_key, new_secret
from tests.readings import rows as make
from tests.readings.stores import Api, count, insert, serving

NOW = datetime(2050, 3, 30, 14, 5, 27, 312_000, UTC)
ROWS = [
    make.view("old", NOW - timedelta(days=2)),
    make.view("recent", NOW - timedelta(minutes=10), d_completions=1),
    make.view("recent", NOW - timedelta(minutes=20), user_id="other", country="GB"),
    make.heartbeat("recent", NOW - timedelta(minutes=9), 12.5),
    make.view("on air", NOW - timedelta(minutes=5), d_completions=1),
    make.reaction("recent", NOW - timedelta(minutes=1)),
    make.listed("recent", "A title", NOW - timedelta(days=3)),
    make.listed("on air", "Live!", NOW - timedelta(days=3), live=True),
    make.listed("listed", "Never watched", NOW - timedelta(days=3)),
    make.listed("gone", "Deleted", NOW - timedelta(days=3)),
    make.listed("gone", "", NOW - timedelta(days=2), deleted=True),
]


class Stores:
    """Both servers, with the same rows for every test, whatever the one before did to them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._redis = servers.redis(free_port(), folder / "redis")
        self._clickhouse = servers.clickhouse(free_port(), folder / "clickhouse")
        self.urls = {"redis_url": self._redis.address, "clickhouse_url": self._clickhouse.address}
        self.start()
        migrate(self._clickhouse.address)
        asyncio.run(insert(self._clickhouse.address, ROWS))

    def start(self) -> None:
        self.redis = servers.start(self._redis, self._folder)
        self.clickhouse = servers.start(self._clickhouse, self._folder)

    async def renew(self) -> None:
        """Start what has ended. ClickHouse has its rows on disk, Redis gets them again."""
        if self.redis.exit_code is not None:
            self.redis = servers.start(self._redis, self._folder)
        if self.clickhouse.exit_code is not None:
            self.clickhouse = servers.start(self._clickhouse, self._folder)
        redis = Redis.from_url(self._redis.address)
        await redis.flushall()
        await redis.aclose()
        await count(self._redis.address, ROWS, NOW)

    def stop(self) -> None:
        self.redis.kill()
        self.clickhouse.kill()


class World:
    """The API and its two servers, which may be stopped."""

    def __init__(self, api: Api, stores: Stores) -> None:
        self.api = api
        self.start, self.urls = stores.start, stores.urls
        self._stores = stores

    @property
    def redis(self) -> Child:
        return self._stores.redis

    @property
    def clickhouse(self) -> Child:
        return self._stores.clickhouse


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    stores = Stores(tmp_path_factory.mktemp("outages"))
    yield stores
    stores.stop()


@pytest_asyncio.fixture
async def world(stores: Stores) -> AsyncIterator[World]:
    await stores.renew()
    async with serving(lambda: NOW, **stores.urls, **DEFAULT) as api:
        yield World(api, stores)


@contextmanager
def hanging(child: Child) -> Iterator[None]:
    os.kill(child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(child.pid, signal.SIGCONT)


@contextmanager
def dead(child: Child) -> Iterator[None]:
    child.kill()
    yield


Outage = Callable[[Child], Any]
SUMMARY, RECENT, ON_AIR = "/analytics/videos/summary", "/analytics/videos/recent", "/analytics/videos/on air"

#: How long the API waits for a store unless it is told otherwise.
DEFAULT = {"store_patience": Settings.model_fields["store_patience"].default}
PERIODS = ("7d", "1h", "all")
#: What every endpoint is asked for.
EVERY = {
    SUMMARY: PERIODS,
    RECENT: PERIODS,
    "/analytics/users": PERIODS,
    "/analytics/users/engagement": PERIODS,
    "/analytics/system/health": PERIODS,
    "/analytics/system/performance": PERIODS,
    "/analytics/live": ("",),
    "/analytics/videos/recent/live": ("",),
    "/analytics/live/stream": ("",),
    f"/analytics/export/exp_{'0' * 24}": ("",),
}


def without_meta(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "meta"}


@pytest.mark.parametrize("outage", [dead, hanging])
async def test_clickhouse_answers_the_last_hour_while_redis_is_down(world: World, outage: Outage) -> None:
    paths = (SUMMARY, RECENT, ON_AIR)
    before = {path: await world.api.answer(path, period="1h") for path in paths}
    assert {answer["meta"]["source"] for answer in before.values()} == {"redis"}
    with outage(world.redis):
        for path in paths:
            after = await world.api.answer(path, period="1h")
            assert after["meta"]["source"] == "clickhouse"
            assert without_meta(after) == without_meta(before[path])
        assert (await world.api.get("/readyz")).json()["status"] == "degraded"


@pytest.mark.parametrize("outage", [dead, hanging])
async def test_redis_answers_the_last_hour_while_clickhouse_is_down(world: World, outage: Outage) -> None:
    before = {path: await world.api.answer(path, period="1h") for path in (SUMMARY, RECENT, ON_AIR)}
    with outage(world.clickhouse):
        for path, answer in before.items():
            after = await world.api.answer(path, period="1h")
            assert after["meta"]["source"] == "redis"
            # Titles and what is live are remembered.
            assert without_meta(after) == without_meta(answer)
        assert (await world.api.get("/readyz")).json()["status"] == "degraded"
        began = time.monotonic()
        response = await world.api.get(RECENT, period="7d")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "2"
        assert time.monotonic() - began < 3


async def test_without_a_memory_what_is_not_known_is_null_and_never_wrong(world: World) -> None:
    world.clickhouse.kill()
    data = await world.api.data(RECENT, period="1h")
    assert data["views"]["total"] == 2
    assert data["engagement"]["completionRate"] is None
    data = await world.api.data(SUMMARY, period="1h")
    assert data["totalViews"] == 3
    assert data["averageEngagement"]["completionRate"] is None
    assert {top["title"] for top in data["topVideos"]} == {None}
    # Nothing in the last hour, and nobody to ask whether it exists.
    assert (await world.api.get("/analytics/videos/old", period="1h")).status_code == 503


@pytest.mark.parametrize("outage", [dead, hanging])
async def test_when_both_are_down_it_is_said_within_three_seconds(world: World, outage: Outage) -> None:
    await world.api.answer(RECENT, period="1h")
    await world.api.answer(RECENT, period="7d")

    async def asked(method: str, path: str, **arguments: Any) -> None:
        began = time.monotonic()
        response = await world.api.client.request(method, path, **arguments)
        assert time.monotonic() - began < 3, (path, arguments)
        assert response.status_code == 503, (path, arguments)
        assert response.json()["error"]["code"] == "ANALYTICS_DATA_UNAVAILABLE"
        assert int(response.headers["retry-after"]) > 0

    with outage(world.redis), outage(world.clickhouse):
        await asked("GET", RECENT, params={"period": "1h"})
        questions = [
            asked("GET", path, params={"period": period} if period else None)
            for path, periods in EVERY.items()
            for period in periods
        ]
        await asyncio.gather(*questions, asked("POST", "/analytics/export", json={"type": "video"}))


async def test_a_request_waits_for_a_silent_redis_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its key, its allowance and its answer are all there."""
    redis = Redis.from_url(world.urls["redis_url"])
    secret = new_secret()
    digest = digest_of(secret)
    await RedisKeyStore(redis).add(digest, new_key(digest, "test", (Scope.READ, Scope.EXPORT), NOW))
    await redis.aclose()
    headers = {"X-API-Key": secret}
    async with serving(lambda: NOW, **world.urls, **DEFAULT, require_key=True) as api:
        assert (await api.client.get(f"{RECENT}?period=1h", headers=headers)).status_code == 200
        # What is known of the key must be old enough to be asked for again.
        monkeypatch.setattr("api.keys.TTL_SECONDS", -1.0)
        with hanging(world.redis), hanging(world.clickhouse):
            for path in (f"{RECENT}?period=1h", "/analytics/users"):
                began = time.monotonic()
                response = await api.client.get(path, headers=headers)
                assert response.status_code == 503
                assert time.monotonic() - began < 3, path


async def test_a_silent_redis_limits_nobody_and_is_counted_in_again_once_it_answers(world: World) -> None:
    now = 100.0
    breaker = CircuitBreaker(0.5, lambda: now)
    limit = RateLimit(
        world.urls["redis_url"], "2/minute", prefix="vc:test", breaker=breaker, clock=lambda: now
    )
    try:
        passed, allowance = await limit.hit("a")
        assert passed and allowance is not None and allowance.remaining == 1
        with hanging(world.redis):
            assert await limit.hit("a") == (True, None)
            assert breaker.is_open
            async with asyncio.timeout(10):
                for _ in range(100):
                    assert await limit.hit("a") == (True, None)
            now += COOLDOWN_SECONDS
            assert await limit.hit("a") == (True, None)
        now += COOLDOWN_SECONDS
        # No answer to a question from before comes as that to one of now.
        passed, allowance = await limit.hit("b")
        assert passed and allowance is not None and allowance.remaining == 1
        assert (await limit.hit("b"))[0]
        passed, allowance = await limit.hit("b")
        assert not passed and allowance is not None and allowance.remaining == 0
        # Another part of the API met a silent Redis.
        breaker.trip()
        assert await limit.hit("b") == (True, None)
    finally:
        await limit.close()


async def test_stores_that_come_back_are_used_again(world: World) -> None:
    with hanging(world.redis), hanging(world.clickhouse):
        assert (await world.api.get(SUMMARY)).status_code == 503
    assert (await world.api.answer(SUMMARY))["meta"]["source"] == "clickhouse"
    # Whatever of the API met a silent Redis meanwhile, it is asked again two seconds later.
    async with asyncio.timeout(30):
        while (await world.api.answer(RECENT, period="1h"))["meta"]["source"] != "redis":
            await asyncio.sleep(0.1)


async def test_stores_that_are_started_anew_are_used_again(world: World) -> None:
    before = {path: await world.api.data(path, period="1h") for path in (SUMMARY, RECENT)}
    week = await world.api.data(RECENT, period="7d")
    # In order: Redis writes to its file what is not there yet.
    world.redis.stop(30)
    world.clickhouse.stop(10)
    assert (await world.api.get(RECENT, period="7d")).status_code == 503
    world.start()
    assert await world.api.data(RECENT, period="7d") == week
    for path, data in before.items():
        assert await world.api.data(path, period="1h") == data


async def test_a_redis_that_lost_everything_is_not_believed(world: World) -> None:
    redis = Redis.from_url(world.urls["redis_url"])
    await redis.flushall()
    await redis.aclose()
    answer = await world.api.answer(SUMMARY, period="1h")
    assert answer["meta"]["source"] == "clickhouse"
    assert answer["data"]["totalViews"] == 3


async def test_a_partition_without_its_ledger_is_not_believed(world: World) -> None:
    redis = Redis.from_url(world.urls["redis_url"])
    await redis.delete(keys.ledger(keys.tag("test", "playback.events", 1)))
    await redis.aclose()
    answer = await world.api.answer(SUMMARY, period="1h")
    assert answer["meta"]["source"] == "clickhouse"


async def test_which_videos_are_known(world: World) -> None:
    statuses = {
        video: {
            period: (await world.api.get(f"/analytics/videos/{video}", period=period)).status_code
            for period in ("1h", "7d", "all")
        }
        for video in ("recent", "old", "listed", "gone", "never")
    }
    found, lost = dict.fromkeys(("1h", "7d", "all"), 200), dict.fromkeys(("1h", "7d", "all"), 404)
    assert statuses == {"recent": found, "old": found, "listed": found, "gone": lost, "never": lost}
    error = (await world.api.get("/analytics/videos/never")).json()["error"]
    assert error["code"] == "ANALYTICS_DATA_UNAVAILABLE"
    assert error["details"]["video"] == "never"


async def test_a_video_that_was_only_listed_is_all_zeros(world: World) -> None:
    data = await world.api.data("/analytics/videos/listed", period="all")
    assert data["views"]["total"] == 0
    assert data["engagement"]["averageWatchTime"] is None
    assert data["period"] == {
        "start": "2050-03-30T00:00:00Z",
        "end": "2050-03-31T00:00:00Z",
        "previous": None,
    }


async def test_without_its_schema_clickhouse_is_not_ready(tmp_path: Path, redis_server: str) -> None:
    at = servers.clickhouse(free_port(), tmp_path / "bare")
    async with serving(lambda: NOW, clickhouse_url=at.address, redis_url=redis_server) as api:
        # The API is there before its store is.
        child = servers.start(at, tmp_path)
        try:
            assert (await api.get("/readyz")).json()["stores"]["clickhouse"] is False
            assert (await api.get(SUMMARY)).status_code == 503
            migrate(at.address)
            assert (await api.get("/readyz")).json()["stores"]["clickhouse"] is True
            assert (await api.get(SUMMARY)).status_code == 200
        finally:
            child.kill()
