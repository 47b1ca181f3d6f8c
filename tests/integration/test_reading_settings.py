"""Settings that not every server has."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from api.exports.source import Source
from sinks.clickhouse.client import GROUPING, READING, connect
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain.errors import StoreUnavailableError


async def test_settings_are_sent_to_servers_that_know_them_and_kept_from_others(
    clickhouse_server: str,
) -> None:
    wanted = GROUPING | {"not_a_setting_of_any_server": "1"}
    client = await connect(f"{clickhouse_server}/default", where_known=wanted)
    try:
        sql = "SELECT name, value FROM system.settings WHERE name IN {names:Array(String)}"
        asked = await client.query(sql, parameters={"names": [*wanted]})
    finally:
        await client.close()
    known = dict(tuple(row) for row in asked.result_rows)
    assert known.items() <= GROUPING.items()


async def test_an_error_in_the_middle_of_an_answer_is_never_written_as_a_row(clickhouse_server: str) -> None:
    """ClickHouse from 23.9 to 25.10 does that by default for JSON, and then ends the answer as if whole."""
    as_before = {"compatibility": "25.8"}
    sql = "SELECT toUInt8(getSetting('http_write_exception_in_output_format'))"
    written = {}
    for name, settings in (("by default", {}), ("when we read", READING)):
        client = await connect(f"{clickhouse_server}/default", settings=as_before | settings)
        try:
            written[name] = (await client.query(sql)).result_rows[0][0]
        finally:
            await client.close()
    assert written == {"by default": 1, "when we read": 0}


async def test_no_server_remembers_what_an_earlier_result_of_a_subquery_did_not_select(
    clickhouse_server: str,
) -> None:
    """Answers ask for `IN (SELECT ...)` again and again, and ClickHouse 25.3 to 25.7 may err."""
    cached = "SELECT toUInt8(getSetting('use_query_condition_cache')) AS cached"
    client = await connect(f"{clickhouse_server}/default")
    reader = ClickHouseReader(f"{clickhouse_server}/default")
    try:
        if "use_query_condition_cache" not in client.server_settings:
            pytest.skip("This server has no such cache.")
        assert await reader.rows(Query(cached, {})) == [{"cached": 0}]
        assert (await client.query(cached)).result_rows == [(0,)]
    finally:
        await reader.close()
        await client.close()


async def test_a_query_that_nobody_waits_for_any_more_ends_on_the_server_too(clickhouse_server: str) -> None:
    # It looks as long as it takes, and does not wait long for an answer.
    looking, reader = (
        ClickHouseReader(f"{clickhouse_server}/default", ping_timeout=10, query_timeout=seconds)
        for seconds in (30, 0.4)
    )
    endless = "SELECT sum(sleepEachRow(0.1)) AS endless FROM numbers(600) SETTINGS max_block_size = 1"
    running = Query("SELECT count() AS n FROM system.processes WHERE query LIKE '%AS endless%'", {})
    try:
        assert reader._limits()["max_execution_time"] == "1"
        (row,) = await looking.rows(Query("SELECT getSetting('max_execution_time') AS seconds", {}))
        assert float(row["seconds"]) == 30
        with pytest.raises(StoreUnavailableError):
            await reader.rows(Query(endless, {}))
        async with asyncio.timeout(30):
            while (await looking.rows(running))[0]["n"] > 1:  # this query is one
                await asyncio.sleep(0.1)
    finally:
        await reader.close()
        await looking.close()


async def test_queries_of_the_api_may_only_read_or_servers_would_not_end_those_of_clients_that_have_gone(
    clickhouse_server: str,
) -> None:
    """ClickHouse heeds `cancel_http_readonly_queries_on_client_close` only where `readonly` is above 0."""
    asked = Query(
        "SELECT toUInt8(getSetting('readonly')) AS readonly,"
        " toUInt8(getSetting('cancel_http_readonly_queries_on_client_close')) AS cancelled",
        {},
    )
    reader, source = ClickHouseReader(f"{clickhouse_server}/default"), Source(f"{clickhouse_server}/default")
    try:
        (row,) = await reader.rows(asked)
        async with source.stream(asked, "JSONEachRow", {}) as pieces:
            exported = b"".join([piece async for piece in pieces])
    finally:
        await reader.close()
        await source.close()
    assert row == orjson.loads(exported) == {"readonly": 2, "cancelled": 1}
