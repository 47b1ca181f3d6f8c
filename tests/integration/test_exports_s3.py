"""Exports into a bucket, with a server that speaks S3: whole files, nothing held, links that end."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import boto3  # type: ignore[import-untyped]
import httpx2
import pytest
import pytest_asyncio
from pydantic import ValidationError
from redis.asyncio import Redis

from api.exports.bucket import Bucket, bucket_of
from api.exports.jobs import Job, Status, new_id
from api.exports.storage import StorageRefusedError, StorageUnavailableError
from api.settings import Settings
from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers
from deploy.embedded.process import Child, module_environment, wait_until
from sinks.clickhouse.migrator import migrate
from tests.readings import rows as make
from tests.readings.stores import Api, insert, serving

#: Links are signed with the real clock: the storage has no other.
NOW = datetime.now(UTC).replace(microsecond=0)
KEYS = {"export_s3_access_key": "key", "export_s3_secret_key": "secret"}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server that speaks S3."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = Child("moto", command, tmp_path_factory.mktemp("s3") / "moto.log", module_environment())
    address = f"http://127.0.0.1:{port}"
    try:
        assert wait_until(time.monotonic() + 30, lambda: http_answers(address), child), child.tail()
        yield address
    finally:
        child.kill()


class Storage:
    """A bucket of one's own."""

    def __init__(self, address: str) -> None:
        self.address, self.name = address, f"exports-{uuid4().hex[:8]}"
        self.client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        self.client.create_bucket(Bucket=self.name)
        self.settings = {
            **KEYS,
            "export_s3_url": f"s3://{self.name}/some/exports",
            "export_s3_endpoint": address,
        }

    def names(self) -> list[str]:
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=self.name).get("Contents", ())]

    def unfinished(self) -> int:
        return len(self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()))

    def parts(self, key: str) -> str:
        """Return the tag of an object; it ends in the number of its parts when there were some."""
        return str(self.client.head_object(Bucket=self.name, Key=key)["ETag"])


@pytest.fixture
def bucket(s3: str) -> Storage:
    return Storage(s3)


@pytest.fixture(scope="module")
def landed(clickhouse_server: str, module_database: str) -> str:
    """Put what there is to export into ClickHouse, which no test changes; return its address."""
    url = f"{clickhouse_server}/{module_database}"
    migrate(url)
    day = NOW - timedelta(days=2)
    asyncio.run(insert(url, [make.view(f"clip {n}", day, user_id=f"u{n}") for n in range(50)]))
    return url


@pytest_asyncio.fixture
async def api(bucket: Storage, landed: str, redis_server: str) -> AsyncIterator[Api]:
    redis = Redis.from_url(redis_server)
    await redis.delete("vc:{exports}:open")
    await redis.aclose()
    settings = {"clickhouse_url": landed, "redis_url": redis_server, **bucket.settings}
    async with serving(lambda: NOW, **settings) as client:
        yield client


async def exported(api: Api, **order: Any) -> dict[str, Any]:
    response = await api.client.post(
        "/analytics/export", json={"type": "video", "metrics": ["views"], **order}
    )
    assert response.status_code == 202, response.text
    export = response.json()["data"]["exportId"]
    async with asyncio.timeout(30):
        while (told := await api.data(f"/analytics/export/{export}"))["status"] in ("queued", "processing"):
            await asyncio.sleep(0.05)
    return told


async def downloaded(api: Api, told: dict[str, Any]) -> httpx2.Response:
    answer = await api.client.get(told["downloadUrl"])
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "private, no-store"
    async with httpx2.AsyncClient() as anybody:
        return await anybody.get(answer.headers["location"])


@pytest.mark.parametrize("form", ["csv", "json", "ndjson", "parquet", "xlsx"])
async def test_a_file_of_every_format_is_handed_out_by_the_bucket(
    api: Api, bucket: Storage, form: str
) -> None:
    told = await exported(api, format=form)
    assert told["status"] == "completed", told
    name = f"{told['exportId']}.{form}"
    assert bucket.names() == [f"some/exports/{name}"]
    file = await downloaded(api, told)
    assert file.status_code == 200
    assert len(file.content) == told["bytes"] > 0
    assert file.headers["content-disposition"] == f'attachment; filename="{name}"'
    if form in ("csv", "ndjson"):
        assert len(file.text.splitlines()) == 50 + (form == "csv")
        assert told["rows"] == 50


async def test_a_link_of_the_bucket_opens_one_file_for_an_hour_at_most(api: Api, bucket: Storage) -> None:
    told = await exported(api)
    link = (await api.client.get(told["downloadUrl"])).headers["location"]
    assert "X-Amz-Expires=3600" in link
    assert (await api.client.get(told["downloadUrl"].partition("?")[0])).status_code == 403
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.names()[0])
    gone = await api.client.get(told["downloadUrl"])
    assert (gone.status_code, gone.json()["error"]["code"]) == (500, "ANALYTICS_EXPORT_FAILED")


def _job(form: str = "ndjson") -> Job:
    return Job(new_id(), "{}", form, Status.PROCESSING, NOW, NOW + timedelta(minutes=10))


def _bucket(settings: dict[str, Any]) -> Bucket:
    return bucket_of(Settings(**settings))


async def test_a_long_file_goes_in_parts_and_is_there_only_when_it_is_whole(bucket: Storage) -> None:
    storage, job, piece = _bucket(bucket.settings), _job(), b"x" * (1 << 20)
    draft = await storage.draft(job, "me")
    for _ in range(40):
        await asyncio.to_thread(draft.sink.write, piece)
    assert bucket.names() == []
    assert bucket.unfinished() == 1
    assert await storage.find(job, NOW) is None
    await asyncio.to_thread(draft.sink.close)
    await draft.publish()
    assert (bucket.unfinished(), draft.sink.size) == (0, 40 << 20)
    (key,) = bucket.names()
    assert bucket.parts(key).strip('"').endswith("-5")
    link = await storage.find(job, NOW)
    # No longer than the export itself.
    assert link is not None
    assert "X-Amz-Expires=600" in link


async def test_a_file_that_is_given_up_is_never_there(bucket: Storage) -> None:
    storage, job = _bucket(bucket.settings), _job()
    draft = await storage.draft(job, "me")
    for _ in range(20):
        await asyncio.to_thread(draft.sink.write, b"x" * (1 << 20))
    draft.sink.abandon()
    draft.discard()
    assert await storage.find(job, NOW) is None
    assert bucket.names() == []


async def test_only_old_files_of_exports_are_removed(bucket: Storage) -> None:
    storage = _bucket(bucket.settings)
    for key in ("some/exports/exp_a.csv", "some/exports/notes.txt", "some/exp_b.csv"):
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"x")
    await storage.sweep(time.time() - 60)
    assert len(bucket.names()) == 3
    await storage.sweep(time.time() + 60)
    assert bucket.names() == ["some/exp_b.csv", "some/exports/notes.txt"]


async def test_links_name_the_address_that_callers_reach(bucket: Storage) -> None:
    public = "https://files.example.com"
    storage, job = _bucket({**bucket.settings, "export_s3_public_endpoint": public}), _job()
    draft = await storage.draft(job, "me")
    await asyncio.to_thread(draft.sink.write, b"{}\n")
    await asyncio.to_thread(draft.sink.close)
    link = await storage.find(job, NOW)
    assert link is not None
    assert link.startswith(f"{public}/{bucket.name}/some/exports/{job.id}.ndjson?")


async def test_a_bucket_that_is_away_or_refuses_is_told_apart(bucket: Storage) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = _bucket(
            bucket.settings | {"export_s3_endpoint": f"http://127.0.0.1:{nobody.getsockname()[1]}"}
        )
        with pytest.raises(StorageUnavailableError):
            await away.find(_job(), NOW)
        # A small file goes as one, at its end; a large one, and a spreadsheet, in other ways.
        for form, pieces in (("csv", 1), ("csv", 40), ("xlsx", 0)):
            draft = await away.draft(_job(form), "me")
            with pytest.raises(StorageUnavailableError) as told:
                for _ in range(pieces):
                    await asyncio.to_thread(draft.sink.write, b"x" * (1 << 20))
                await asyncio.to_thread(draft.sink.close)
                await draft.publish()
            assert "\n" not in str(told.value)
            draft.discard()
    missing = _bucket(bucket.settings | {"export_s3_url": "s3://not-there"})
    draft = await missing.draft(_job(), "me")
    await asyncio.to_thread(draft.sink.write, b"{}\n")
    with pytest.raises(StorageRefusedError):
        await asyncio.to_thread(draft.sink.close)
    with pytest.raises(StorageRefusedError, match="NoSuchBucket"):
        await missing.sweep(time.time())


def test_settings_that_make_no_sense_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError, match="s3://bucket"):
        Settings(export_s3_url="https://bucket")
    monkeypatch.setattr("api.settings.find_spec", lambda name: None)
    with pytest.raises(ValidationError, match="pip install"):
        Settings(export_s3_url="s3://bucket")
