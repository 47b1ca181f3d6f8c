"""Worker, API and commands as the Redis user of docs/security.md, who may do no more than that page says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.operations import examining
from sinks.base import Partition
from sinks.clickhouse.migrator import migrate
from sinks.redis.bundles import RedisBundles
from sinks.redis.client import connect
from sinks.redis.ledger import RedisLedgers, read_ledgers, request_recount
from streams.settings import Settings
from tests.commands import invoke
from tests.readings import rows as make
from tests.readings.stores import count, insert, serving

ROOT = Path(__file__).parents[2]
NOW = datetime(2024, 3, 30, 14, 5, 27, tzinfo=UTC)
USER, PASSWORD = "videocloud", "of-the-test"


def rule() -> list[str]:
    """Return the words of the documented rule, with a password."""
    page = (ROOT / "docs/security.md").read_text("utf-8")
    found = re.search(rf"^user {USER} (on >PASSWORD .+)$", page, re.MULTILINE)
    assert found
    return found[1].replace("PASSWORD", PASSWORD).split()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield `host:port` of a Redis of its own."""
    folder = tmp_path_factory.mktemp("rights")
    child = servers.start(servers.redis(port := free_port(), folder / "redis"), folder)
    yield f"127.0.0.1:{port}"
    child.kill()


@pytest.fixture
async def owner(address: str) -> AsyncIterator[Any]:
    """Yield a client that may do everything, on a Redis that knows the documented user."""
    client: Any = Redis.from_url(f"redis://{address}/0", decode_responses=True)
    await client.execute_command("ACL", "SETUSER", USER, "reset", *rule())
    await client.execute_command("ACL", "LOG", "RESET")
    yield client
    await client.aclose()


@pytest.fixture
def url(address: str, owner: Any) -> str:
    """Return the URL with the documented user."""
    return f"redis://{USER}:{PASSWORD}@{address}/0"


async def watched(redis: str, clickhouse_server: str, database: str) -> str:
    """Put a view of the video `v` into both stores; return ClickHouse's URL."""
    clickhouse = f"{clickhouse_server.rstrip('/')}/{database}"
    await asyncio.to_thread(migrate, clickhouse)
    views = [make.view("v", NOW - timedelta(minutes=5))]
    await insert(clickhouse, views)
    await count(redis, views, NOW)
    return clickhouse


async def test_worker_api_and_commands_need_no_more_than_the_documented_rule(
    url: str, owner: Any, clickhouse_server: str, clickhouse_database: str, tmp_path: Path
) -> None:
    clickhouse = await watched(url, clickhouse_server, clickhouse_database)
    client, partition = connect(url), Partition("test", "playback.events", 0)
    ledgers = RedisLedgers(client)
    try:
        await ledgers.rewrite(partition, await ledgers.claim(partition))
        await request_recount(client, [partition], "of-the-test")
        assert await ledgers.requested_recounts([partition]) == {partition: "of-the-test"}
        bundles = RedisBundles(client)
        await bundles.settle("bundle:none")
        await bundles.drop("bundle:none")
        assert partition in await read_ledgers(client)
    finally:
        await client.aclose()

    def keys(*arguments: str) -> str:
        done = invoke({"REDIS_URL": url}, "keys", *arguments)
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    key = await asyncio.to_thread(keys, "create", "all", "--scope", "read", "--scope", "export")
    assert "all" in await asyncio.to_thread(keys, "list")
    settings = {
        "redis_url": url,
        "clickhouse_url": clickhouse,
        "require_key": True,
        "rate_limit": "50/minute",
    }
    async with serving(lambda: NOW, **settings, export_dir=str(tmp_path)) as api:
        header = {"X-API-Key": key}
        for path in ("/analytics/live", "/analytics/videos/v/live", "/analytics/videos/summary?period=1h"):
            answer = await api.client.get(path, headers=header)
            assert answer.status_code == 200, answer.text
            assert answer.json().get("meta", {}).get("source", "redis") == "redis"
            assert "ratelimit-remaining" in answer.headers
        wish = {"type": "video", "format": "csv", "period": "1h"}
        made = await api.client.post("/analytics/export", json=wish, headers=header)
        assert made.status_code in (200, 202), made.text
    findings = await examining.redis(Settings(redis_url=url))
    assert [each for each in findings if each.name == "reachable"] == []
    # The client names itself where it may, which is not needed: Redis 6 has one right for all of CLIENT.
    denied = [each["object"] for each in await owner.execute_command("ACL", "LOG")]
    assert [name for name in denied if not name.startswith("client")] == []


async def test_doctor_and_keys_name_a_wrong_password_and_a_missing_right(url: str, owner: Any) -> None:
    (rights,) = [each for each in await examining.redis(Settings(redis_url=url)) if each.name == "rights"]
    assert rights.verdict == "OK"
    wrong = url.replace(PASSWORD, "wrong-one")
    (reachable,) = await examining.redis(Settings(redis_url=wrong))
    assert "user and password in REDIS_URL" in reachable.advice
    done = await asyncio.to_thread(invoke, {"REDIS_URL": wrong}, "keys", "list")
    assert "user and password in REDIS_URL" in str(done.exception) and "wrong-one" not in str(done.exception)
    await owner.execute_command("ACL", "SETUSER", USER, "resetkeys", "~other:*")
    (rights,) = [each for each in await examining.redis(Settings(redis_url=url)) if each.name == "rights"]
    assert rights.verdict == "FAIL" and "HGETALL" in rights.found


async def test_every_command_of_the_scripts_is_allowed(owner: Any) -> None:
    """By their categories: not every branch of a script runs in the test above."""
    text = "".join(each.read_text("utf-8") for each in (ROOT / "sinks/redis/scripts").glob("*.lua"))
    used = sorted(set(re.findall(r"redis\.call\(\s*['\"](\w+)", text)))
    assert len(used) > 10
    allowed: set[str] = set()
    for word in rule():
        if word.startswith(("+", "-")) and word != "-@all":
            names = (
                await owner.execute_command("ACL", "CAT", word[2:])
                if word[1] == "@"
                else [word[1:].split("|")[0]]
            )
            allowed = allowed | set(names) if word[0] == "+" else allowed - set(names)
    assert {name.lower() for name in used} - allowed == set()


@pytest.mark.parametrize(
    "command",
    [("FLUSHALL",), ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"), ("GET", "others"), ("KEYS", "*")],
)
async def test_the_user_can_neither_empty_nor_change_the_server_nor_read_others(
    url: str, command: tuple[str, ...]
) -> None:
    client = connect(url)
    try:
        with pytest.raises(Exception, match=r"(?i)permission|NOPERM"):
            await client.execute_command(*command)
    finally:
        await client.aclose()


@pytest.mark.parametrize("right", ["eval", "hmget"])
async def test_the_api_answers_from_clickhouse_while_redis_refuses_its_user(
    url: str, owner: Any, clickhouse_server: str, clickhouse_database: str, tmp_path: Path, right: str
) -> None:
    clickhouse = await watched(url, clickhouse_server, clickhouse_database)
    await owner.execute_command("ACL", "SETUSER", USER, f"-{right}")
    settings = {"redis_url": url, "clickhouse_url": clickhouse, "export_dir": str(tmp_path)}
    async with serving(lambda: NOW, **settings) as api:
        for path in ("/analytics/live", "/analytics/videos/v/live", "/analytics/videos/summary?period=1h"):
            answer = await api.get(path)
            assert (answer.status_code, answer.json()["meta"]["source"]) == (200, "clickhouse")
