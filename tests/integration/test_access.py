"""Keys, scopes and the rate limit, with a real Redis: from `vca keys create` to a 429."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from api import schemas
from api.telemetry import configure_logging
from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child
from sinks.clickhouse.migrator import migrate
from sinks.redis import keys
from sinks.redis.client import connect
from sinks.redis.key_store import RedisKeyStore
from streams.domain.access import Scope, digest_of, is_secret, new_key, new_secret
from tests.commands import invoke
from tests.readings import rows as make
from tests.readings.pages import PAGE, hidden
from tests.readings.stores import Api, count, insert, serving

NOW = datetime(2024, 3, 30, 14, 5, 27, 312_000, UTC)
SUMMARY, HEALTH = "/analytics/videos/summary?period=1h", "/analytics/system/health"


class Server:
    """A Redis of one's own, which may be stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = servers.redis(free_port(), folder / "redis")
        self.url = self._server.address
        self.start()

    def start(self) -> None:
        self.child: Child = servers.start(self._server, self._folder)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("access"))
    asyncio.run(count(server.url, [make.view("v", NOW - timedelta(minutes=5))], NOW))
    yield server
    server.child.kill()


@pytest.fixture
def settings(redis: Server) -> dict[str, Any]:
    return {"redis_url": redis.url, "clickhouse_url": "http://127.0.0.1:9/none", "require_key": True}


def vca(redis: Server, *arguments: str) -> str:
    result = invoke({"REDIS_URL": redis.url}, "keys", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def make_key(redis: Server, *arguments: str) -> str:
    return vca(redis, "create", *arguments).strip()


async def created(redis: Server, *arguments: str) -> str:
    return await asyncio.to_thread(make_key, redis, *arguments)


async def status(api: Api, path: str, key: str) -> int:
    response = await api.client.get(path, headers={"X-API-Key": key})
    if response.status_code >= 400:
        schemas.ErrorResponse.model_validate(response.json())
    return response.status_code


async def test_a_key_opens_what_its_scopes_say(redis: Server, settings: dict[str, Any]) -> None:
    reader = await created(redis, "dashboards")
    operator = await created(redis, "operators", "--scope", "system")
    async with serving(lambda: NOW, **settings) as api:
        assert await status(api, SUMMARY, reader) == 200
        assert await status(api, HEALTH, reader) == 403
        # Allowed, and ClickHouse is not there.
        assert await status(api, HEALTH, operator) == 503
        assert await status(api, SUMMARY, operator) == 403
        assert await status(api, SUMMARY, reader[:-1] + ("A" if reader[-1] != "A" else "B")) == 401
        assert (await api.get(SUMMARY)).status_code == 401
        bearer = await api.client.get(SUMMARY, headers={"Authorization": f"Bearer {reader}"})
        assert bearer.status_code == 200
        refused = await api.client.get(HEALTH, headers={"X-API-Key": reader})
        assert refused.json()["error"]["code"] == "ANALYTICS_FORBIDDEN"
        assert "system" in refused.json()["error"]["message"]


async def test_keys_are_listed_and_revoked_and_only_their_hashes_are_kept(
    redis: Server, settings: dict[str, Any]
) -> None:
    secret = await created(redis, "for a while", "--scope", "read", "--scope", "export")
    async with serving(lambda: NOW, **settings) as api:
        assert await status(api, SUMMARY, secret) == 200
    (line,) = (
        each for each in (await asyncio.to_thread(vca, redis, "list")).splitlines() if "for a w" in each
    )
    assert "read, export" in line
    assert "2024-03-30 14:05 UTC" in line
    key_id = line.split()[0]
    assert key_id in await asyncio.to_thread(vca, redis, "revoke", key_id)
    async with serving(lambda: NOW, **settings) as api:
        assert await status(api, SUMMARY, secret) == 401
    gone = await asyncio.to_thread(invoke, {"REDIS_URL": redis.url}, "keys", "revoke", key_id)
    assert gone.exit_code == 1
    assert f"there is no key {key_id}" in gone.stderr


async def test_keys_that_come_and_go_leave_nothing_behind(redis: Server) -> None:
    client = connect(redis.url)
    store, before = RedisKeyStore(client), await client.hlen(keys.API_KEYS_USED)
    for _ in range(20):
        digest = digest_of(new_secret())
        key = new_key(digest, "for a while", [Scope.READ], NOW)
        await store.add(digest, key)
        assert await store.remove(key.id)
        # An API that accepts it for some seconds more.
        await store.use(digest, NOW)
    assert await client.hlen(keys.API_KEYS_USED) == before + 1
    await client.aclose()


def test_a_name_is_shown_literally_and_cannot_keep_a_key_from_its_owner(redis: Server) -> None:
    name = "team [a/b] [/c] \x1b[2Jcleared"
    made = invoke({"REDIS_URL": redis.url}, "keys", "create", name)
    assert made.exit_code == 0
    assert is_secret(made.stdout.strip())
    assert r"team [a/b] [/c] \x1b[2Jcleared" in made.stderr
    listed = vca(redis, "list")
    (line,) = (each for each in listed.splitlines() if r"team [a/b] [/c] \x1b[2Jcleared" in each)
    assert r"team [a/b] [/c] \x1b[2Jcleared" in vca(redis, "revoke", line.split()[0])
    gone = invoke({"REDIS_URL": redis.url}, "keys", "revoke", "[/c]")
    assert gone.exit_code == 1
    assert "there is no key [/c]" in gone.stderr


async def test_the_limit_is_shared_by_processes_and_told_in_headers(
    redis: Server, settings: dict[str, Any]
) -> None:
    secret, other = await created(redis, "eager"), await created(redis, "another")
    settings |= {"rate_limit": "5/minute", "cors_origins": PAGE}
    async with serving(lambda: NOW, **settings) as one, serving(lambda: NOW, **settings) as two:
        left = []
        for api in (one, two, one, two, one):
            response = await api.client.get(SUMMARY, headers={"X-API-Key": secret, "Origin": PAGE})
            assert response.status_code == 200
            assert hidden(response) == set()
            assert response.headers["ratelimit-limit"] == "5"
            left.append(int(response.headers["ratelimit-remaining"]))
        assert left == [4, 3, 2, 1, 0]
        refused = await two.client.get(SUMMARY, headers={"X-API-Key": secret, "Origin": PAGE})
        assert refused.status_code == 429
        assert hidden(refused) == set()
        assert refused.json()["error"]["code"] == "ANALYTICS_RATE_LIMIT"
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit-remaining"] == "0"
        assert await status(two, SUMMARY, other) == 200
        for path in ("/healthz", "/metrics", "/openapi.json"):
            assert (await two.client.get(path, headers={"X-API-Key": secret})).status_code == 200


async def test_requests_at_once_wait_for_a_connection_and_are_all_counted(
    redis: Server, settings: dict[str, Any]
) -> None:
    secret = await created(redis, "a busy page")
    settings |= {"rate_limit": "100/hour", "redis_connections": 2}
    async with serving(lambda: NOW, **settings) as api:
        asked = (status(api, "/analytics/users?period=x", secret) for _ in range(110))
        statuses = await asyncio.gather(*asked)
        assert Counter(statuses) == {400: 100, 429: 10}


async def test_while_redis_is_down_known_keys_go_on_unlimited(
    redis: Server, settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    known, unknown = await created(redis, "known"), await created(redis, "unknown")
    settings |= {"rate_limit": "2/minute", "api_key": "the key of the environment"}
    async with serving(lambda: NOW, **settings) as api:
        configure_logging("WARNING")
        assert await status(api, SUMMARY, known) == 200
        # In order: Redis writes to its file what is not there yet.
        redis.child.stop(30)
        try:
            # 503: the answer needs a store, and there is none.
            statuses = [await status(api, SUMMARY, known) for _ in range(5)]
            assert statuses == [503] * 5
            environment = await api.client.get(HEALTH, headers={"X-API-Key": "the key of the environment"})
            assert environment.status_code == 503
            assert await status(api, SUMMARY, unknown) == 503
            assert await status(api, SUMMARY, "wrong") == 401
        finally:
            redis.start()
        said = [
            line for line in capsys.readouterr().err.splitlines() if "rate limits are not applied" in line
        ]
        assert len(said) == 1
        assert orjson.loads(said[0])["level"] == "warning"
        async with asyncio.timeout(30):
            while await status(api, SUMMARY, unknown) != 200:
                await asyncio.sleep(0.05)


async def test_an_answer_that_did_not_change_is_not_sent_again(
    redis_server: str, clickhouse_server: str, clickhouse_database: str
) -> None:
    url = f"{clickhouse_server.rstrip('/')}/{clickhouse_database}"
    await asyncio.to_thread(migrate, url)
    await insert(url, [make.view("v", NOW - timedelta(days=2))])
    clock = iter(NOW + timedelta(seconds=second) for second in range(10))
    path = "/analytics/videos/v?period=30d"
    async with serving(lambda: next(clock), clickhouse_url=url, redis_url=redis_server) as api:
        first = await api.get(path)
        assert first.headers["cache-control"] == "private, no-cache"
        assert first.headers["content-encoding"] == "gzip"
        tag = first.headers["etag"]
        again = await api.client.get(path, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        plain = await api.client.get(path, headers={"Accept-Encoding": "gzip;q=0, identity"})
        assert "content-encoding" not in plain.headers
        assert plain.json()["data"] == first.json()["data"]
        assert plain.json()["meta"]["asOf"] != first.json()["meta"]["asOf"]
        await insert(url, [make.view("v", NOW - timedelta(days=1))])
        changed = await api.client.get(path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
