"""Exports over HTTP, to their end: what is in the files is what the API answers."""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import zipfile
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Literal
from urllib.parse import urljoin, urlsplit

import anyio
import httpx2
import orjson
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from api.exports.jobs import Job, Jobs, Status, new_id
from api.exports.orders import Order
from api.exports.queries import statement
from api.exports.runner import Runner
from api.exports.source import BrokenSourceError, Source
from api.exports.storage import Folder
from api.schemas_exports import ExportResponse
from sinks.base import Unavailable
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.queries import Query
from sinks.redis.key_store import RedisKeyStore
from streams.domain.access import Scope, digest_of, new_key, new_secret
from streams.domain.windows import named, zone_of
from tests.audience.landing import land
from tests.audience.world import now_of, people, services
from tests.faults.proxy import Proxy, http_is_whole
from tests.logs import captured
from tests.readings import rows as make
from tests.readings.pages import PAGE, hidden
from tests.readings.stores import Api, insert, serving

NOW = now_of("2050-11-20T08:07:41.250")
FAILED = ("videocloud_api_exports_total", {"outcome": "failed"})
#: A file whose disk is always full.
FULL = Path("/dev/full")
FORMULA = '=HYPERLINK("http://x")'


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class World:
    def __init__(self, api: Api, clock: Clock, settings: dict[str, Any]) -> None:
        self.api = api
        self.clock = clock
        self.settings = settings

    async def ask(self, **body: Any) -> httpx2.Response:
        return await self.api.client.post("/analytics/export", json=body)

    async def order(self, **body: Any) -> dict[str, Any]:
        response = await self.ask(**body)
        assert response.status_code == 202, response.text
        ExportResponse.model_validate(response.json())
        fields = ["exportId", "status", "downloadUrl", "expiresAt", "rows", "bytes"]
        assert list(response.json()["data"]) == fields
        return response.json()["data"]  # type: ignore[no-any-return]

    async def ended(self, export_id: str, seconds: float = 40) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while (told := await self.api.data(f"/analytics/export/{export_id}"))["status"] not in (
                "completed",
                "failed",
            ):
                await asyncio.sleep(0.05)
        return told

    async def download(self, url: str, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        parts = urlsplit(url)
        return await self.api.client.get(f"{parts.path}?{parts.query}", headers=headers)

    async def file(self, **body: Any) -> httpx2.Response:
        told = await self.ended((await self.order(**body))["exportId"])
        assert told["status"] == "completed", told
        answer = await self.download(told["downloadUrl"])
        assert answer.status_code == 200
        assert told["bytes"] == len(answer.content)
        return answer

    async def rows(self, **body: Any) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in (await self.file(**body, format="ndjson")).text.splitlines()]


@pytest.fixture(scope="module")
def landed(clickhouse_server: str, module_database: str) -> str:
    """Put what there is to export into ClickHouse, which no test changes; return its address."""
    url = f"{clickhouse_server}/{module_database}"
    migrate(url)
    rng, recent = Random(7), NOW - timedelta(hours=3)
    rows = [
        make.view("clip", recent, d_completions=1),
        make.view("clip", recent, user_id="other"),
        make.view("clip", recent - timedelta(days=2)),
        make.heartbeat("clip", recent, 12.5),
        make.reaction("clip", recent),
        make.listed("clip", FORMULA, NOW - timedelta(days=30)),
        make.view("untitled", recent),
        make.listed("untitled", "", NOW - timedelta(days=30)),
        make.view("unlisted", recent),
    ]

    async def fill() -> None:
        await land(url, people(rng, NOW, sessions=80) + services(rng, NOW, events=300), rng)
        await insert(url, rows)

    asyncio.run(fill())
    return url


@pytest_asyncio.fixture
async def world(landed: str, redis_server: str, tmp_path: Path) -> AsyncIterator[World]:
    clock = Clock()
    settings = {"clickhouse_url": landed, "redis_url": redis_server, "export_dir": str(tmp_path / "exports")}
    # Jobs of another test would be taken by this one's process.
    redis = Redis.from_url(redis_server)
    await redis.delete("vc:{exports}:open")
    await redis.aclose()
    async with serving(clock, **settings) as client:
        yield World(client, clock, settings)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Kolkata"])
async def test_rows_add_up_to_the_answers(world: World, zone: str) -> None:
    window = {"period": "30d", "timezone": zone}
    videos = [row for row in await world.rows(type="video", **window) if row["videoId"] == "clip"]
    video = await world.api.data("/analytics/videos/clip", **window)
    assert sum(row["views"] for row in videos) == video["views"]["total"] == 3
    assert {row["date"]: row["uniqueViewers"] for row in videos if row["views"]} == {
        point["date"]: point["unique"] for point in video["views"]["timeline"] if point["views"]
    }
    assert sum(row["watchTime"] for row in videos) == 12.5
    assert sum(row["likes"] for row in videos) == video["engagement"]["likes"] == 1
    assert {row["title"] for row in videos} == {FORMULA}

    days = await world.rows(type="user", **window)
    users = await world.api.data("/analytics/users", **window)
    assert len(days) == 30
    for row in days[-1:]:
        assert (
            row["activeUsers"]
            == (await world.api.data("/analytics/users", period="1d", timezone=zone))["activity"][
                "activeUsers"
            ]["daily"]
        )
    assert sum(row["sessions"] for row in days) == users["activity"]["sessions"]["total"] > 0
    assert sum(row["likes"] for row in days) == users["activity"]["actions"]["likes"] > 0
    assert sum(row["newUsers"] for row in days) == users["growth"]["newUsers"] > 0
    cohorts = {cohort["date"]: cohort for cohort in users["retention"]["cohorts"]}
    for row in days:
        if row["cohortUsers"]:
            for day in ("day1", "day7", "day30"):
                assert row[day] == cohorts[row["date"]][day], (row["date"], day)

    quarters = await world.rows(type="system", **window)
    done = await world.api.data("/analytics/system/performance", **window)
    assert sum(row["requests"] for row in quarters) == done["api"]["requests"]["total"] > 0
    assert sum(row["writes"] for row in quarters) == done["storage"]["operations"]["writes"] > 0
    assert quarters[-1]["time"] == "2050-11-20T08:00:00.000Z"


async def test_returning_users_are_never_negative_while_an_insert_is_under_way(
    clickhouse_server: str, clickhouse_database: str
) -> None:
    """The tables that an insert feeds get its rows one after the other: here, `users` has a user already."""
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    client = await connect(url)
    try:
        await client.command(f"INSERT INTO users VALUES (1, '{NOW:%Y-%m-%d} 01:00:00.000')")
        order = Order("user", ("growth",), "ndjson", named("1d", zone=zone_of("UTC"), now=NOW))
        query = statement(order)
        asked = await client.query(query.sql, parameters=query.parameters)
    finally:
        await client.close()
    (row,) = asked.named_results()
    assert (row["newUsers"], row["returningUsers"]) == (1, 0)


async def test_every_format_holds_the_same_rows(world: World) -> None:
    order = {"type": "video", "period": "30d", "metrics": ["views"]}
    rows = await world.rows(**order)
    assert list(rows[0]) == ["date", "videoId", "title", "views", "uniqueViewers"]
    assert (await world.file(**order, format="json")).json() == rows
    text = (await world.file(**order, format="csv")).text
    table = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["views"]) for row in table] == [row["views"] for row in rows]
    assert (await world.file(**order, format="parquet")).content[:4] == b"PAR1"
    assert zipfile.ZipFile(io.BytesIO((await world.file(**order, format="xlsx")).content)).testzip() is None


async def test_what_is_null_is_an_empty_field_of_csv(world: World) -> None:
    order = {"type": "user", "period": "30d", "metrics": ["retention"]}
    rows = await world.rows(**order)
    assert any(row["day30"] is None for row in rows) and any(row["day1"] is not None for row in rows)
    table = csv.DictReader(io.StringIO((await world.file(**order, format="csv")).text))
    assert [row["day30"] == "" for row in table] == [row["day30"] is None for row in rows]


async def test_a_page_sees_where_its_file_is_and_what_it_is_called(world: World) -> None:
    told = await world.ended((await world.order(type="video", metrics=["views"]))["exportId"])
    link = told["downloadUrl"].removeprefix("http://api")
    async with serving(world.clock, **world.settings, cors_origins=PAGE) as api:
        page = {"Origin": PAGE}
        ordered = await api.client.post("/analytics/export", json={"type": "video"}, headers=page)
        file = await api.client.get(link, headers=page)
        piece = await api.client.get(link, headers=page | {"Range": "bytes=0-9"})
    assert [answer.status_code for answer in (ordered, file, piece)] == [202, 200, 206]
    assert [hidden(answer) for answer in (ordered, file, piece)] == [set()] * 3
    assert "location" in ordered.headers
    assert "content-disposition" in file.headers


async def test_a_piece_of_a_file_can_be_asked_for_and_a_wrong_one_is_an_error_in_the_common_shape(
    world: World,
) -> None:
    told = await world.ended((await world.order(type="video", metrics=["views"]))["exportId"])
    link = told["downloadUrl"].removeprefix("http://api")
    async with serving(world.clock, **world.settings) as api:
        whole = await api.client.get(link)
        size = len(whole.content)
        last = await api.client.get(link, headers={"Range": f"bytes={size - 5}-"})
        assert (last.status_code, last.content) == (206, whole.content[-5:])
        for wrong in (f"bytes={size}-", "bytes=a-b", "lines=1-2", "bytes=9-2"):
            answer = await api.client.get(link, headers={"Range": wrong})
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                416,
                "ANALYTICS_INVALID_PARAMETER",
            )
            assert answer.json()["error"]["details"]["requestId"]
        beyond = await api.client.get(link, headers={"Range": f"bytes={size}-"})
        assert beyond.headers["content-range"] == f"bytes */{size}"


async def test_a_file_of_json_is_sent_as_its_bytes_and_pieces_of_it_as_theirs(world: World) -> None:
    """Sizes, ranges and the strong ETag of a file count its own bytes, which compressed ones are not."""
    told = await world.ended((await world.order(type="user", format="json"))["exportId"])
    link = told["downloadUrl"].removeprefix("http://api")
    accepting = {"Accept-Encoding": "gzip"}
    whole = await world.api.client.get(link, headers=accepting)
    piece = await world.api.client.get(link, headers=accepting | {"Range": "bytes=100-1999"})
    assert (whole.status_code, piece.status_code) == (200, 206)
    assert (whole.headers.get("content-encoding"), piece.headers.get("content-encoding")) == (None, None)
    assert whole.headers["content-length"] == str(told["bytes"])
    assert piece.headers["content-length"] == "1900"
    assert piece.content == whole.content[100:2000]


async def test_a_title_cannot_become_a_formula(world: World) -> None:
    order = {"type": "video", "metrics": ["views"]}
    text = (await world.file(**order, format="csv")).text
    assert {row["title"] for row in csv.DictReader(io.StringIO(text)) if row["videoId"] == "clip"} == {
        f"'{FORMULA}"
    }
    book = zipfile.ZipFile(io.BytesIO((await world.file(**order, format="xlsx")).content))
    sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "'=HYPERLINK" in sheet
    assert "<f>" not in sheet


async def test_a_title_may_be_empty_and_is_null_only_where_none_is_known(world: World) -> None:
    titles = {row["videoId"]: row["title"] for row in await world.rows(type="video", metrics=["views"])}
    assert (titles["untitled"], titles["unlisted"]) == ("", None)


async def test_links_are_signed_and_expire(world: World) -> None:
    told = await world.order(type="system", period="1h")
    url = told["downloadUrl"]
    export = told["exportId"]
    told = await world.ended(export)
    assert told["downloadUrl"] == url
    # Not the last character of the signature: two of its bits are padding, which every reader ignores.
    forged = url[:-2] + ("A" if url[-2] != "A" else "B") + url[-1]
    for wrong in (forged, url.partition("?")[0]):
        answer = await world.download(wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "ANALYTICS_FORBIDDEN")
    world.clock.now += timedelta(hours=25)
    for answer in (await world.download(url), await world.api.get(f"/analytics/export/{export}")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (410, "ANALYTICS_EXPORT_EXPIRED")


async def test_links_of_all_processes_are_valid_after_redis_lost_its_data(
    world: World, redis_server: str
) -> None:
    await world.order(type="system", period="1h")
    redis = Redis.from_url(redis_server)
    await redis.delete("vc:{exports}:secret")
    await redis.aclose()
    async with serving(world.clock, **world.settings) as other:
        # The first process that signs after the loss makes the new secret; the one before it must use it.
        ordered = (await other.client.post("/analytics/export", json={"type": "system"})).json()["data"]
        told = await world.order(type="system", period="1h")
        for export in (ordered, told):
            await world.ended(export["exportId"])
            parts = urlsplit(export["downloadUrl"])
            for api in (world.api, other):
                answer = await api.client.get(f"{parts.path}?{parts.query}")
                assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("kept", ["", "/video/cloud"], ids=["taken off by the proxy", "with its path"])
async def test_under_a_path_an_export_is_found_where_it_is_said_to_be(world: World, kept: str) -> None:
    public = "https://example.com/video/cloud"
    async with serving(world.clock, **world.settings, public_url=public) as api:
        ordered = await api.client.post(f"{kept}/analytics/export", json={"type": "system"})
        export = ordered.json()["data"]["exportId"]
        where = urljoin(f"{public}/analytics/export", ordered.headers["location"])
        assert where == f"{public}/analytics/export/{export}"
        assert (await api.client.get(where.replace(public, kept))).status_code == 200


async def test_an_unknown_id_is_not_found(world: World) -> None:
    for export in ("exp_nope", f"exp_{'0' * 24}", "..%2F..%2Fetc%2Fpasswd", "exp_*"):
        assert (await world.api.get(f"/analytics/export/{export}")).status_code == 404


async def test_what_cannot_be_exported_is_refused(world: World) -> None:
    bodies: list[tuple[dict[str, Any], str]] = [
        ({"type": "video", "period": "2d"}, "ANALYTICS_INVALID_PERIOD"),
        ({"type": "video", "period": "7d", "start": "2050-01-01T00:00:00Z"}, "ANALYTICS_INVALID_PERIOD"),
        ({"type": "user", "timezone": "Mars"}, "ANALYTICS_INVALID_PERIOD"),
        ({"type": "user", "metrics": ["views"]}, "ANALYTICS_INVALID_METRICS"),
        ({"type": "user", "metrics": []}, "ANALYTICS_INVALID_METRICS"),
        ({"type": "people"}, "ANALYTICS_INVALID_PARAMETER"),
        ({"type": "video", "format": "pdf"}, "ANALYTICS_INVALID_PARAMETER"),
        ({"type": "video", "perod": "7d"}, "ANALYTICS_INVALID_PARAMETER"),
        ({}, "ANALYTICS_INVALID_PARAMETER"),
    ]
    for body, code in bodies:
        answer = await world.ask(**body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), body


async def test_a_process_that_died_leaves_nothing_processing(world: World, redis_server: str) -> None:
    redis = Redis.from_url(redis_server)
    try:
        dead = Jobs(redis)
        order = Order("system", ("api",), "csv", named("1h", zone=zone_of("UTC"), now=NOW))
        job = Job(new_id(), order.to_json(), "csv", Status.QUEUED, NOW, NOW + timedelta(hours=1))
        # Taken by a process of which nothing is heard again, two tries ago.
        await redis.zadd("vc:{exports}:open", {"exp_other": 2**40})
        await dead.add(job)
        await redis.hset(f"vc:{{exports}}:job:{job.id}", mapping={"status": "processing", "owner": "dead"})
        # Had the API just taken it, half a minute would pass until the job is anybody's again.
        await redis.zadd("vc:{exports}:open", {job.id: 0})
        assert (await world.ended(job.id))["status"] == "completed"
        assert not await dead.renew(job.id, 1, 1)

        failed = REGISTRY.get_sample_value(*FAILED) or 0
        await redis.hset(f"vc:{{exports}}:job:{job.id}", mapping={"status": "processing", "tries": 3})
        await redis.zadd("vc:{exports}:open", {job.id: 0})
        told = await world.ended(job.id)
        assert told["status"] == "failed"
        assert told["error"]["code"] == "ANALYTICS_EXPORT_FAILED"
        answer = await world.download(told["downloadUrl"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ANALYTICS_EXPORT_FAILED")
        # Whoever watches hears of it as of any other that failed.
        assert REGISTRY.get_sample_value(*FAILED) == failed + 1
    finally:
        await redis.aclose()


async def test_a_result_that_breaks_off_is_never_taken_for_a_whole_one(clickhouse_server: str) -> None:
    source = Source(f"{clickhouse_server}/default")
    rows = "SELECT throwIf(number = 3000000) AS n, repeat('x', 50) FROM numbers({count:UInt64})"
    try:
        for encoding in ("CSVWithNames", "JSONEachRow", "Parquet"):
            read = 0
            with pytest.raises(BrokenSourceError):
                async with source.stream(Query(rows, {"count": 4_000_000}), encoding, {}) as pieces:
                    async for piece in pieces:
                        read += len(piece)
            assert read > 0 or encoding == "Parquet"
        async with source.stream(Query(rows, {"count": 10}), "CSVWithNames", {}) as pieces:
            assert b"".join([piece async for piece in pieces]).count(b"\n") == 11
    finally:
        await source.close()


@pytest.mark.parametrize("encoding", ["CSVWithNames", "Parquet"])
async def test_when_the_connection_breaks_off_clickhouse_is_away_and_is_asked_again(
    clickhouse_server: str, encoding: str
) -> None:
    proxy = Proxy(urlsplit(clickhouse_server).port or 8123, http_is_whole)
    source = Source(f"http://127.0.0.1:{proxy.port}/default")
    rows = "SELECT number, randomPrintableASCII(1000) AS text FROM numbers({count:UInt64})"
    try:
        with pytest.raises(Unavailable):
            async with source.stream(Query(rows, {"count": 50_000}), encoding, {}) as pieces:
                async for _ in pieces:
                    proxy.cut()
        async with source.stream(Query(rows, {"count": 10}), encoding, {}) as pieces:
            assert len(b"".join([piece async for piece in pieces])) > 10_000
    finally:
        await source.close()
        proxy.close()


@pytest.mark.skipif(not FULL.exists(), reason="this machine has no /dev/full")
@pytest.mark.parametrize("form", ["csv", "xlsx"])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_full_disk_fails_an_export_at_once_and_is_not_taken_for_clickhouse_away(
    landed: str, redis_server: str, tmp_path: Path, form: str
) -> None:
    redis, source = Redis.from_url(redis_server), Source(landed)
    jobs = Jobs(redis)
    await redis.delete("vc:{exports}:open")
    order = Order("system", ("api",), form, named("1h", zone=zone_of("UTC"), now=NOW))
    job = Job(new_id(), order.to_json(), form, Status.QUEUED, NOW, NOW + timedelta(hours=1))
    (tmp_path / f"{job.id}.{jobs.owner}.part").symlink_to(FULL)
    await jobs.add(job)
    running = asyncio.create_task(Runner(jobs, source, Folder(tmp_path), float("inf")).run())
    try:
        async with asyncio.timeout(20):
            # One that waits for a store would be tried again half a minute later.
            while (found := await jobs.find(job.id)) is None or found.status is not Status.FAILED:
                await asyncio.sleep(0.02)
        assert "could not be written on the server" in found.reason
        assert list(tmp_path.iterdir()) == []
    finally:
        running.cancel()
        await asyncio.wait({running})
        await source.close()
        await redis.aclose()
        # xlsxwriter's archive, which zipfile then tries to write once more.
        gc.collect()


async def test_a_job_given_back_is_taken_up_by_another_process(redis_server: str) -> None:
    redis = Redis.from_url(redis_server)
    try:
        await redis.delete("vc:{exports}:open")
        first, second = Jobs(redis), Jobs(redis)
        job = Job(new_id(), "{}", "csv", Status.QUEUED, NOW, NOW + timedelta(hours=1))
        await first.add(job)
        taken = await first.take()
        assert taken is not None
        assert (taken.id, taken.status) == (job.id, Status.PROCESSING)
        assert await second.take() is None
        assert await first.renew(job.id, 7, 70)
        await first.release(job.id)
        again = await second.take()
        assert again is not None
        assert (again.id, again.rows) == (job.id, 0)
        assert not await first.renew(job.id, 8, 80)
        assert not await first.complete(job.id, 8, 80)
        assert await second.complete(job.id, 9, 90)
        assert await second.take() is None
        done = await first.find(job.id)
        assert done is not None
        assert (done.status, done.rows, done.bytes) == (Status.COMPLETED, 9, 90)
    finally:
        await redis.aclose()


async def test_a_key_for_exports_does_not_open_the_system(world: World, redis_server: str) -> None:
    redis = Redis.from_url(redis_server)
    keep = RedisKeyStore(redis)
    secrets = {}
    for scopes in ((Scope.EXPORT,), (Scope.EXPORT, Scope.SYSTEM), (Scope.READ,)):
        secret = new_secret()
        digest = digest_of(secret)
        await keep.add(digest, new_key(digest, "test", scopes, NOW))
        secrets[scopes] = secret
    await redis.aclose()
    async with serving(world.clock, **world.settings, require_key=True) as api:
        statuses = {}
        for scopes, secret in secrets.items():
            headers = {"Authorization": f"Bearer {secret}"}
            statuses[scopes] = [
                (await api.client.post("/analytics/export", json={"type": kind}, headers=headers)).status_code
                for kind in ("video", "system")
            ]
        assert list(statuses.values()) == [[202, 403], [202, 202], [403, 403]]
        assert (await api.client.post("/analytics/export", json={"type": "video"})).status_code == 401


async def test_a_file_that_is_gone_is_a_failed_export(world: World) -> None:
    told = await world.ended((await world.order(type="system", period="1h"))["exportId"])
    (path,) = Path(world.settings["export_dir"]).iterdir()
    path.unlink()
    answer = await world.download(told["downloadUrl"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ANALYTICS_EXPORT_FAILED")
    assert "Ask for a new export" in answer.json()["error"]["message"]


@pytest.mark.parametrize("removed", ["after it was found", "after its size was read"])
@pytest.mark.parametrize("asked", [{}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-1,4-5"}])
async def test_a_file_that_goes_while_it_is_downloaded_is_a_failed_export(
    world: World, monkeypatch: pytest.MonkeyPatch, removed: str, asked: dict[str, str]
) -> None:
    told = await world.ended((await world.order(type="system", period="1h"))["exportId"])
    find, open_file = Folder.find, anyio.open_file

    async def finding(folder: Folder, job: Job, now: datetime) -> Path | None:
        path = await find(folder, job, now)
        assert path is not None
        path.unlink()
        return path

    async def opening(path: Path, *, mode: Literal["rb"]) -> Any:
        path.unlink()
        return await open_file(path, mode=mode)

    if removed == "after it was found":
        monkeypatch.setattr(Folder, "find", finding)
    else:
        monkeypatch.setattr(anyio, "open_file", opening)
    lines = captured(monkeypatch, "api.exports.service._log")
    answer = await world.download(told["downloadUrl"], asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "ANALYTICS_EXPORT_FAILED")
    assert "Ask for a new export" in answer.json()["error"]["message"]
    assert answer.headers["Content-Type"] == "application/json"
    assert [line["export"] for line in lines] == [told["exportId"]]


async def test_before_it_is_there_the_file_is_a_conflict(world: World, redis_server: str) -> None:
    redis = Redis.from_url(redis_server)
    try:
        told = await world.ended((await world.order(type="system", period="1h"))["exportId"])
        await redis.hset(f"vc:{{exports}}:job:{told['exportId']}", "status", "processing")
        answer = await world.download(told["downloadUrl"])
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ANALYTICS_EXPORT_NOT_READY")
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        await redis.aclose()
