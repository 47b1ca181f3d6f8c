"""What is going on now: both stores say the same of the same rows, and so do the streams."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
import uvicorn
from redis.asyncio import Redis

from api import schemas_live
from api.app import create_app
from api.deps import Stores
from api.settings import Settings
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child, module_environment
from sinks.base import Books, Ledger, LiveBatch, Partition
from sinks.redis import keys
from sinks.redis.client import connect as connect_redis
from sinks.redis.key_store import RedisKeyStore
from sinks.redis.ledger import RedisLedgers
from sinks.redis.sink import RedisLive
from streams.domain.access import Scope, digest_of, new_key, new_secret
from streams.domain.aggregate import Live, fold_playback
from streams.domain.live import Candidate, last_hour, trend
from tests.readings import rows as make
from tests.readings.stores import PATIENCE, count, fill, serving
from tests.waiting import until

NOW = datetime(2050, 3, 30, 14, 5, 27, 312_000, UTC)
LIVE = "/analytics/live"
HOUR = datetime(2050, 3, 30, 13, 6, tzinfo=UTC)


def rows(seed: int) -> list[Any]:
    """Views all over two hours, and heartbeats around the thirty seconds, some of both from the future."""
    random = Random(seed)
    ages = (-3600, -300.001, -300, -20, 29.999, 30, 30.001, 80)
    made: list[Any] = [make.listed(f"v{n}", f"Title {n}", NOW - timedelta(days=3)) for n in range(20)]
    for _ in range(400):
        video = f"v{min(int(random.expovariate(0.3)), 24)}"
        start = NOW - timedelta(seconds=random.choice((200, 900, 7000)) * random.random())
        made.append(make.view(video, start, view_id=f"view-{len(made)}"))
        if random.random() < 0.7:
            seen = max(start, NOW - timedelta(seconds=random.choice(ages)))
            made.append(make.heartbeat(video, seen, random.random() * 10, view_id=made[-1].view_id))
        if random.random() < 0.2:
            made.append(make.reaction(video, start, random.choice(("video.like", "video.share"))))
    return made


def expected(made: list[Any], video: str | None = None) -> dict[str, Any]:
    """Compute the answer by hand, a row at a time."""
    since = make.epoch_ms(NOW) - 30_000
    playing = [row for row in made if hasattr(row, "view_id") and video in (None, row.video_id)]
    facts = make.Facts.of(made)
    points = []
    for minute in range(60):
        start = HOUR + timedelta(minutes=minute)
        sums = facts.sums(start, start + timedelta(minutes=1), video)
        points.append(
            {
                "minute": start.isoformat().replace("+00:00", "Z"),
                "views": sums["views"],
                "watchTime": pytest.approx(sums["watched_ms"] / 1000),
                "likes": sums["likes"],
            }
        )
    newest: dict[tuple[str, str], int] = {}
    for row in playing:
        view = (row.video_id, row.view_id)
        newest[view] = max(row.occurred_at, newest.get(view, 0))
    watching = sum(since < at <= since + 330_000 for at in newest.values())
    return {"concurrentViewers": watching, "timeline": points}


def trending(made: list[Any]) -> list[tuple[str, int, int]]:
    facts, turn = make.Facts.of(made), HOUR + timedelta(minutes=50)
    recent = Counter(row.video_id for row in facts.started(turn, HOUR + timedelta(hours=1)))
    before = Counter(row.video_id for row in facts.started(HOUR, turn))
    found = [(video, views, before[video]) for video, views in recent.items() if views >= 3]
    elapsed = (NOW - turn).total_seconds()

    def score(views: int, earlier: int) -> float:
        usual = earlier * elapsed / 3000
        return float((views - usual) / (usual + 1) ** 0.5)

    rising = [each for each in found if score(*each[1:]) > 0]
    return sorted(rising, key=lambda each: (-score(*each[1:]), -each[1], each[0]))[:10]


@pytest.mark.parametrize("seed", range(3))
async def test_both_stores_say_what_the_rows_say(urls: dict[str, str], seed: int) -> None:
    made = rows(seed)
    await fill(urls, NOW, made)
    async with serving(lambda: NOW, **urls) as api:
        answers = {path: await api.answer(path) for path in (LIVE, "/analytics/videos/v1/live")}
        redis = Redis.from_url(urls["redis_url"])
        await redis.flushall()
        await redis.aclose()
        for path, answer in answers.items():
            assert answer["meta"]["source"] == "redis"
            stand_in = await api.answer(path)
            assert stand_in["meta"]["source"] == "clickhouse"
            assert stand_in["data"] == answer["data"]
    everything, video = (answer["data"] for answer in answers.values())
    schemas_live.Live.model_validate(everything)
    schemas_live.VideoLive.model_validate(video)
    wanted = expected(made)
    assert wanted["concurrentViewers"] > 0
    assert {name: everything[name] for name in wanted} == wanted
    wanted = expected(made, "v1")
    assert {name: video[name] for name in wanted} == wanted
    assert (video["id"], video["title"]) == ("v1", "Title 1")
    found = [(each["id"], each["views"], each["viewsBefore"]) for each in everything["trending"]]
    assert found == trending(made)
    assert found
    for each in everything["trending"]:
        candidate = Candidate(each["id"], each["views"], each["viewsBefore"])
        assert each["trend"] == pytest.approx(trend(candidate, last_hour(NOW)), abs=1e-6)
        assert each["title"] == (f"Title {each['id'][1:]}" if int(each["id"][1:]) < 20 else None)


async def test_many_candidates_are_ranked_as_if_all_were_looked_up(urls: dict[str, str]) -> None:
    random = Random(7)
    made: list[Any] = []
    for number in range(250):
        for _ in range(random.randrange(3, 8)):
            made.append(make.view(f"v{number}", NOW - timedelta(seconds=random.random() * 500)))
        for _ in range(random.randrange(12)):
            made.append(make.view(f"v{number}", NOW - timedelta(seconds=1000 + random.random() * 2000)))
    await count(urls["redis_url"], made, NOW, partitions=3)
    async with serving(lambda: NOW, **urls) as api:
        found = (await api.data(LIVE))["trending"]
    assert [(each["id"], each["views"], each["viewsBefore"]) for each in found] == trending(made)


async def test_what_is_trending_is_looked_up_anew_after_five_seconds(urls: dict[str, str]) -> None:
    seconds = iter((0, 4, 5))
    await count(urls["redis_url"], [make.view("first", NOW) for _ in range(3)], NOW)
    async with serving(lambda: NOW + timedelta(seconds=next(seconds)), **urls) as api:
        assert [each["id"] for each in (await api.data(LIVE))["trending"]] == ["first"]
        await count(urls["redis_url"], [make.view("second", NOW) for _ in range(9)], NOW)
        data = await api.data(LIVE)
        assert data["concurrentViewers"] == 12
        assert [each["id"] for each in data["trending"]] == ["first"]
        assert [each["id"] for each in (await api.data(LIVE))["trending"]] == ["second", "first"]


async def test_what_is_trending_is_looked_up_anew_when_the_minute_turns(urls: dict[str, str]) -> None:
    turn = NOW.replace(second=0, microsecond=0)
    # In the ten minutes up to the turn, in the fifty before them afterwards.
    edge = turn - timedelta(minutes=9, seconds=30)
    made = [make.view("v", turn - timedelta(seconds=30)) for _ in range(4)] + [make.view("v", edge)]
    await count(urls["redis_url"], made, turn)
    moments = iter((turn - timedelta(seconds=1), turn))
    async with serving(lambda: next(moments), **urls) as api:
        found = [(await api.data(LIVE))["trending"] for _ in range(2)]
    assert [[(each["views"], each["viewsBefore"]) for each in answer] for answer in found] == [
        [(5, 0)],
        [(4, 1)],
    ]
    assert found[1][0]["trend"] == pytest.approx(trend(Candidate("v", 4, 1), last_hour(turn)), abs=1e-6)


async def test_a_video_that_nobody_heard_of_is_not_found_and_one_that_is_listed_is_quiet(
    urls: dict[str, str],
) -> None:
    await fill(urls, NOW, [make.view("v", NOW), make.listed("listed", "Quiet", NOW - timedelta(days=3))])
    async with serving(lambda: NOW, **urls) as api:
        for path in ("never/live", "never/live/stream", f"{'x' * 200}/live"):
            assert (await api.get(f"/analytics/videos/{path}")).status_code == 404
        quiet = await api.data("/analytics/videos/listed/live")
        assert (quiet["title"], quiet["concurrentViewers"], len(quiet["timeline"])) == ("Quiet", 0, 60)
        for path in (LIVE, f"{LIVE}/stream", "/analytics/videos/v/live", "/analytics/videos/v/live/stream"):
            assert (await api.get(path, period="1h")).status_code == 400
        # Its first events are in Redis alone.
        await count(urls["redis_url"], [make.view("new", NOW)], NOW, partitions=1)
        assert (await api.data("/analytics/videos/new/live"))["concurrentViewers"] == 1


async def test_a_quiet_partition_is_read_as_long_as_the_hour_before_has_something_of_it(
    urls: dict[str, str],
) -> None:
    """It is announced once a minute at most, so its last events may come almost a minute later."""
    begin = datetime(2050, 3, 30, 12, tzinfo=UTC)
    now = begin
    redis = connect_redis(urls["redis_url"])
    ledgers, counters = RedisLedgers(redis), RedisLive(redis, lambda: now.timestamp())

    async def view(number: int, at: timedelta, offset: int = 0) -> None:
        nonlocal now
        now = begin + at
        partition = Partition("test", "playback.events", number)
        epoch = (await ledgers.claim(partition)).epoch
        await ledgers.rewrite(partition, Ledger(epoch=epoch, counted=offset))
        live = fold_playback([make.view("v", now)], 0)
        await counters.write(LiveBatch(partition, epoch, 0, offset, offset + 1, "", live, Books(1, 1)))

    try:
        await view(0, timedelta(seconds=30))
        await view(0, timedelta(minutes=1, seconds=29), offset=1)
        await view(1, timedelta(minutes=90))
        await view(1, timedelta(minutes=91), offset=1)
        # The hour before begins at 12:01.
        now = begin + timedelta(hours=2, seconds=45)
        async with serving(lambda: now, **urls) as api:
            answer = await api.answer("/analytics/videos/summary", period="1h")
        assert answer["meta"]["source"] == "redis"
        assert answer["data"]["trends"]["views"] == (2 - 1) / 1
    finally:
        await redis.aclose()


@asynccontextmanager
async def listening(settings: dict[str, Any]) -> AsyncIterator[tuple[httpx2.AsyncClient, Stores]]:
    """Serve the API on a real socket, as streams need it."""
    app = create_app(Settings(log_level="ERROR", store_patience=PATIENCE, **settings), clock=lambda: NOW)
    with socket.socket() as at:
        at.bind(("127.0.0.1", 0))
        config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve([at]))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{at.getsockname()[1]}") as client:
                yield client, app.state.stores
        finally:
            app.state.stores.feeds.end()
            server.should_exit = True
            await task


async def events(response: httpx2.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event = ""
    async for line in response.aiter_lines():
        name, _, text = line.partition(": ")
        if name == "event":
            event = text
        elif name == "data":
            yield event, json.loads(text)


async def test_streams_of_one_question_share_one_poll_and_end_with_their_clients(
    urls: dict[str, str],
) -> None:
    await fill(urls, NOW, rows(1))
    async with listening(urls | {"live_streams": 3}) as (client, stores):
        once = (await client.get(LIVE)).json()
        async with (
            client.stream("GET", f"{LIVE}/stream") as one,
            client.stream("GET", f"{LIVE}/stream") as two,
        ):
            assert one.headers["content-type"].startswith("text/event-stream")
            # A generator that is thrown away closes its response.
            streams = [events(response) for response in (one, two)]
            for stream in streams:
                for _ in range(2):
                    event, answer = await anext(stream)
                    assert event == "live"
                    assert answer == once
            assert (stores.feeds.streams, stores.feeds.polls) == (2, 1)
            async with client.stream("GET", "/analytics/videos/v1/live/stream") as three:
                streams.append(events(three))
                assert (await anext(streams[-1]))[1]["data"]["id"] == "v1"
                assert (stores.feeds.streams, stores.feeds.polls) == (3, 2)
                async with asyncio.timeout(30):
                    refused = await client.get(f"{LIVE}/stream")
                assert refused.status_code == 503
                assert refused.json()["error"]["code"] == "ANALYTICS_TOO_MANY_STREAMS"
                assert int(refused.headers["retry-after"]) >= 1
        await until(lambda: (stores.feeds.streams, stores.feeds.polls) == (0, 0))


async def test_a_stream_goes_on_after_an_outage(urls: dict[str, str]) -> None:
    await fill(urls, NOW, rows(2))
    async with listening(urls | {"clickhouse_url": "http://127.0.0.1:9/none"}) as (client, _):
        response = await client.send(client.build_request("GET", f"{LIVE}/stream"), stream=True)
        stream = events(response)
        assert (await anext(stream))[0] == "live"
        redis = Redis.from_url(urls["redis_url"])
        await redis.rename(keys.LOGS, "aside")
        while (said := await anext(stream))[0] == "live":
            pass
        assert said[0] == "error"
        assert said[1]["error"]["code"] == "ANALYTICS_DATA_UNAVAILABLE"
        await redis.rename("aside", keys.LOGS)
        await redis.aclose()
        while (await anext(stream))[0] == "error":
            pass
        await response.aclose()


async def test_a_stream_ends_when_its_key_is_revoked(
    urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is known of a key is asked for again sooner.
    monkeypatch.setattr("api.keys.TTL_SECONDS", 0.5)
    redis = connect_redis(urls["redis_url"])
    store = RedisKeyStore(redis)
    secret = new_secret()
    key = new_key(digest_of(secret), "leaves", [Scope.READ], NOW)
    await store.add(digest_of(secret), key)
    async with (
        listening(urls | {"require_key": True}) as (client, stores),
        client.stream("GET", f"{LIVE}/stream", headers={"X-API-Key": secret}) as response,
    ):
        stream = events(response)
        assert (await anext(stream))[0] == "live"
        assert await store.remove(key.id)
        async with asyncio.timeout(30):
            said = [each async for each in stream]
        assert [event for event, _ in said[:-1]] == ["live"] * (len(said) - 1)
        assert (said[-1][0], said[-1][1]["error"]["code"]) == ("error", "ANALYTICS_UNAUTHORIZED")
        await until(lambda: (stores.feeds.streams, stores.feeds.polls) == (0, 0))
    await redis.aclose()


async def test_one_key_cannot_take_all_streams(urls: dict[str, str]) -> None:
    await fill(urls, NOW, rows(1))
    redis = connect_redis(urls["redis_url"])
    store = RedisKeyStore(redis)
    greedy, other = new_secret(), new_secret()
    for secret in (greedy, other):
        await store.add(digest_of(secret), new_key(digest_of(secret), "watches", [Scope.READ], NOW))
    async with listening(urls | {"require_key": True, "live_streams": 4}) as (client, stores):

        def ask(secret: str) -> Any:
            return client.stream("GET", f"{LIVE}/stream", headers={"X-API-Key": secret})

        async with ask(greedy), ask(greedy):
            async with ask(greedy), ask(greedy) as refused:
                assert refused.status_code == 503
                body = json.loads(await refused.aread())
                assert body["error"]["code"] == "ANALYTICS_TOO_MANY_STREAMS"
                assert "This key has 3 streams" in body["error"]["message"]
                async with ask(other) as answered:
                    assert answered.status_code == 200
            await until(lambda: stores.feeds.streams == 2)
            async with ask(greedy) as answered:
                assert answered.status_code == 200
    await redis.aclose()


async def test_a_stream_does_not_keep_the_server_from_stopping(urls: dict[str, str], tmp_path: Path) -> None:
    await count(urls["redis_url"], [make.view("v", datetime.now(UTC))], datetime.now(UTC))
    port = free_port()
    environment = {name.upper(): value for name, value in urls.items()}
    command = [sys.executable, "-m", "deploy.cli", "api", "--port", str(port)]
    child = Child("api", command, tmp_path / "api.log", {**module_environment(), **environment})
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            for _ in range(300):
                with suppress(httpx2.TransportError):
                    await client.get("/healthz")
                    break
                await asyncio.sleep(0.1)
            async with client.stream("GET", f"{LIVE}/stream") as response:
                stream = events(response)
                assert (await anext(stream))[0] == "live"
                os.kill(child.pid, signal.SIGTERM)
                async with asyncio.timeout(30):
                    assert [event async for event, _ in stream if event != "live"] == []
        await until(lambda: child.exit_code is not None)
        assert "Traceback" not in (tmp_path / "api.log").read_text()
    finally:
        child.stop(0)


async def test_a_rebuilt_partition_without_new_events_is_read_although_redis_forgot_that_there_is_one(
    urls: dict[str, str],
) -> None:
    client = connect_redis(urls["redis_url"])
    ledgers = RedisLedgers(client)
    idle, busy = (Partition("cluster", "playback.events", number) for number in range(2))

    def views(name: str) -> Live:
        made = [make.view("v", NOW - timedelta(seconds=60), view_id=f"{name}{n}") for n in range(5)]
        return fold_playback(made, int(NOW.timestamp()) // 60 - 120)

    async def write(partition: Partition) -> None:
        epoch = (await ledgers.claim(partition)).epoch
        await ledgers.rewrite(partition, Ledger(epoch=epoch, counted=0))
        name = str(partition.number)
        live = RedisLive(client, NOW.timestamp)
        await live.write(LiveBatch(partition, epoch, 0, 0, 5, "", views(name), Books(5, 5)))

    try:
        for partition in (idle, busy):
            await write(partition)
        await client.flushall()
        epoch = (await ledgers.claim(idle)).epoch
        await RedisLive(client, NOW.timestamp).rebuild(idle, epoch, 1, 1, views("0"))
        await ledgers.rewrite(idle, Ledger(epoch=epoch, counted=5, generation=1, parts=1))
        await write(busy)
        async with serving(lambda: NOW, **urls) as api:
            (newest,) = [point for point in (await api.data(LIVE))["timeline"] if point["views"]]
        assert newest["views"] == 10
    finally:
        await client.aclose()
