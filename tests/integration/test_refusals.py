"""Stores that answer and refuse what they are asked, for now: they are waited for, and it is told why."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from clickhouse_connect.driver.exceptions import DatabaseError

from api.exports.jobs import Jobs
from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.operations import examining
from sinks.base import Partition, Unavailable
from sinks.clickhouse.client import PASSING, REFUSING, available
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.reader import ClickHouseReader
from sinks.redis.client import connect as connect_redis
from sinks.redis.ledger import RedisLedgers
from streams.domain.errors import StoreUnavailableError
from streams.settings import Settings

PARTITION = Partition("cluster", "playback.events", 0)


async def test_a_redis_that_cannot_save_is_waited_for_and_told_of(tmp_path: Path) -> None:
    server = servers.redis(free_port(), tmp_path / "data")
    child = servers.start(server, tmp_path)
    redis = connect_redis(server.address, ping_seconds=0)
    try:
        ledgers = RedisLedgers(redis)

        async def saved() -> str:
            await redis.bgsave()
            while (told := await redis.info("persistence"))["rdb_bgsave_in_progress"]:
                await asyncio.sleep(0.02)
            return str(told["rdb_last_bgsave_status"])

        async def told() -> dict[str, str]:
            return {
                each.name: each.verdict
                for each in await examining.redis(Settings(redis_url=server.address))
                if each.name in {"reachable", "last snapshot"}
            }

        await redis.config_set("save", "3600 1")
        in_its_way = tmp_path / "data" / "dump.rdb"
        in_its_way.mkdir()
        assert await saved() == "err"
        with pytest.raises(Unavailable, match="MISCONF"):
            await ledgers.claim(PARTITION)
        assert await told() == {"last snapshot": "FAIL"}
        in_its_way.rmdir()
        assert await saved() == "ok"
        assert (await ledgers.claim(PARTITION)).done
        assert await told() == {"last snapshot": "OK"}
    finally:
        await redis.aclose()
        child.stop(server.stop_grace)


async def test_links_to_exports_work_while_redis_is_full(tmp_path: Path) -> None:
    server = servers.redis(free_port(), tmp_path / "data")
    child = servers.start(server, tmp_path)
    redis = connect_redis(server.address)
    try:
        jobs = Jobs(redis)
        secret = await jobs.secret()
        await redis.config_set("maxmemory", 1)
        assert await jobs.secret() == secret
        await redis.config_set("maxmemory", 0)
        await redis.flushall()
        assert await jobs.secret() != secret
    finally:
        await redis.aclose()
        child.stop(server.stop_grace)


async def test_a_stand_in_that_cannot_write_says_so_as_clickhouse_does(tmp_path: Path) -> None:
    server = servers.clickhouse(free_port(), tmp_path / "data")
    child = servers.start(server, tmp_path)
    client = await connect_clickhouse(f"{server.address}/default")
    try:
        await client.command("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
        # What an insert brings is put there first.
        aside = (tmp_path / "data" / "spool").rename(tmp_path / "aside")
        with pytest.raises(Unavailable, match="CANNOT_WRITE_TO_FILE_DESCRIPTOR"), available():
            await client.raw_insert("t", insert_block=b"1\n", fmt="TSV")
        aside.rename(tmp_path / "data" / "spool")
        await client.raw_insert("t", insert_block=b"1\n", fmt="TSV")
        assert (await client.query("SELECT count() FROM t")).result_rows == [(1,)]
    finally:
        await client.close()
        child.stop(server.stop_grace)


@pytest.mark.parametrize(
    ("status", "passes"), [(500, True), (502, True), (503, True), (404, False), (413, False)]
)
async def test_a_proxy_that_cannot_reach_clickhouse_is_waited_for(status: int, passes: bool) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text="<html>nginx</html>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        with pytest.raises(Unavailable if passes else DatabaseError, match=str(status)):
            await connect_clickhouse(f"http://127.0.0.1:{port}/videocloud")
    finally:
        await runner.cleanup()


async def test_a_clickhouse_that_refuses_its_user_is_a_store_that_cannot_be_read_now() -> None:
    """Its password was changed, say: what the other store knows must still be answered."""

    async def refuse(_: web.Request) -> web.Response:
        text = "Code: 516. DB::Exception: reader: Authentication failed. (AUTHENTICATION_FAILED)"
        return web.Response(status=403, text=text, headers={"X-ClickHouse-Exception-Code": "516"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    runner, port = web.AppRunner(app), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    reader = ClickHouseReader(f"http://127.0.0.1:{port}/videocloud")
    try:
        with pytest.raises(StoreUnavailableError, match="AUTHENTICATION_FAILED"):
            await reader.titles(["v"])
        with pytest.raises(StoreUnavailableError):
            await reader.ready()
    finally:
        await reader.close()
        await runner.cleanup()


async def test_errors_have_the_names_that_the_server_gives_them(clickhouse_server: str) -> None:
    client, errors = await connect_clickhouse(f"{clickhouse_server}/default"), {**PASSING, **REFUSING}
    named = await client.query(
        "SELECT arrayMap(code -> errorCodeToName(code), {codes:Array(UInt32)})", {"codes": list(errors)}
    )
    assert named.result_rows[0][0] == list(errors.values())
    await client.close()
