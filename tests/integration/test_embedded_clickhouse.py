"""The stand-in ClickHouse, as clickhouse-connect, curl and drivers in other languages use it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import clickhouse_connect
import lz4.frame
import psutil
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers
from tests.servers.given import given

pytestmark = pytest.mark.skipif(bool(given("CLICKHOUSE_URL")), reason="about the stand-in")


class Http:
    """Plain requests, as curl makes them, in one database."""

    def __init__(self, session: aiohttp.ClientSession, url: str, database: str) -> None:
        self._session, self._url, self._database = session, url, database

    async def __call__(
        self,
        sql: str | bytes = b"",
        method: str = "POST",
        headers: dict[str, str] | None = None,
        **fields: str,
    ) -> tuple[int, bytes, dict[str, str]]:
        query = urlencode({"database": self._database, **fields})
        async with self._session.request(
            method, f"{self._url}/?{query}", data=sql, headers=headers
        ) as answer:
            return answer.status, await answer.read(), dict(answer.headers)

    async def pieces(self, sql: str) -> AsyncIterator[bytes]:
        async with self._session.post(f"{self._url}/", data=sql) as answer:
            async for piece in answer.content.iter_any():
                yield piece

    async def text(self, sql: str, **fields: str) -> str:
        status, body, _ = await self(sql, "POST", None, **fields)
        assert status == 200, body
        return body.decode()


@pytest.fixture
async def http(clickhouse_server: str, clickhouse_database: str) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield Http(session, clickhouse_server, clickhouse_database)


@pytest.fixture
async def client(clickhouse_server: str, clickhouse_database: str) -> AsyncIterator[AsyncClient]:
    connected = await clickhouse_connect.get_async_client(dsn=clickhouse_server, database=clickhouse_database)
    yield connected
    await connected.close()


TABLE = """CREATE TABLE t (n UInt64, s LowCardinality(String), at DateTime64(3, 'UTC'), list Array(UInt32),
maybe Nullable(Float64)) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100"""


async def test_ping_answers(http: Http, clickhouse_server: str) -> None:
    assert http_answers(f"{clickhouse_server}/ping")
    status, body, _ = await http("", method="GET")
    assert (status, body) == (200, b"Ok.\n")


async def test_native_inserts_and_typed_rows_round_trip(client: AsyncClient) -> None:
    await client.command(TABLE)
    at = datetime(2026, 3, 29, 0, 30, 0, 123000, tzinfo=UTC)
    rows = [[n, f"s{n % 3}", at, [n, n + 1], None if n % 2 else n / 2] for n in range(1000)]
    summary = await client.insert("t", rows, column_names=["n", "s", "at", "list", "maybe"])
    assert summary.written_rows == 1000
    found = await client.query("SELECT * FROM t ORDER BY n", settings={"max_threads": 1}, tz_mode="aware")
    assert [list(row) for row in found.result_rows] == rows


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
async def test_bodies_may_be_compressed(
    clickhouse_server: str, clickhouse_database: str, compress: Any
) -> None:
    client = await clickhouse_connect.get_async_client(
        dsn=clickhouse_server, database=clickhouse_database, compress=compress
    )
    await client.command("CREATE TABLE c (n UInt64) ENGINE = Memory")
    await client.insert("c", [[n] for n in range(10_000)], column_names=["n"])
    assert (await client.query("SELECT sum(n) FROM c")).first_row == (49_995_000,)
    await client.close()


@pytest.mark.parametrize("encode", [lz4.frame.compress, gzip.compress])
async def test_a_raw_insert_may_be_compressed_too(http: Http, encode: Any) -> None:
    await http("CREATE TABLE t (n UInt8) ENGINE = Memory")
    encoding = "gzip" if encode is gzip.compress else "lz4"
    body = encode(b'{"n":1}\n{"n":2}\n')
    status, _, headers = await http(
        body, query="INSERT INTO t FORMAT JSONEachRow", headers={"Content-Encoding": encoding}
    )
    assert status == 200
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert await http.text("SELECT sum(n) FROM t") == "3\n"


async def test_a_broken_body_is_an_error_and_inserts_nothing(http: Http) -> None:
    await http("CREATE TABLE t (n UInt8) ENGINE = Memory")
    status, body, _ = await http(
        b"no gzip", query="INSERT INTO t FORMAT CSV", headers={"Content-Encoding": "gzip"}
    )
    assert (status, body[:9]) == (400, b"Code: 36.")
    status, body, _ = await http(b"[1]\n[2]\nbroken\n", query="INSERT INTO t FORMAT JSONCompactEachRow")
    assert status == 400
    assert await http.text("SELECT count() FROM t") == "0\n"


@pytest.mark.parametrize(
    ("format", "data"),
    [
        ("JSONEachRow", b'{"n":1,"s":"x"}\n{"n":2,"s":"y"}\n'),
        ("JSONCompactEachRow", b'[1,"x",0,[],null]\n[2,"y",0,[1],0.5]\n'),
        ("CSV", b'1,x,2026-01-01 00:00:00,"[]",\\N\n2,y,2026-01-01 00:00:00,"[1]",0.5\n'),
    ],
)
async def test_an_insert_with_the_same_token_counts_once_in_the_table_and_its_view(
    http: Http, format: str, data: bytes
) -> None:
    await http(TABLE)
    await http(
        "CREATE TABLE sums (s String, n UInt64) ENGINE = SummingMergeTree ORDER BY s "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    await http("CREATE MATERIALIZED VIEW mv TO sums AS SELECT s, sum(n) AS n FROM t GROUP BY s")
    for token in ("a", "a", "b", "a"):
        status, body, _ = await http(
            data,
            query=f"INSERT INTO t FORMAT {format}",
            insert_deduplication_token=token,
            deduplicate_blocks_in_dependent_materialized_views="1",
        )
        assert status == 200, body
    assert await http.text("SELECT count(), sum(n) FROM t") == "4\t6\n"
    assert await http.text("SELECT s, sum(n) FROM sums GROUP BY s ORDER BY s") == "x\t2\ny\t4\n"


async def test_two_views_that_put_equal_rows_into_one_table_count_each_once_for_a_token(http: Http) -> None:
    # As the two views of `system_events` that fill `system_1m`.
    await http(TABLE)
    await http(
        "CREATE TABLE sums (s String, n UInt64) ENGINE = SummingMergeTree ORDER BY s "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    for view in ("one", "other"):
        await http(f"CREATE MATERIALIZED VIEW {view} TO sums AS SELECT s, sum(n) AS n FROM t GROUP BY s")
    for token in ("a", "a", "b", "a"):
        status, body, _ = await http(
            b'{"n":1,"s":"x"}\n{"n":2,"s":"y"}\n',
            query="INSERT INTO t FORMAT JSONEachRow",
            insert_deduplication_token=token,
            deduplicate_blocks_in_dependent_materialized_views="1",
        )
        assert status == 200, body
    assert await http.text("SELECT s, sum(n) FROM sums GROUP BY s ORDER BY s") == "x\t4\ny\t8\n"


@pytest.mark.parametrize("table", ["t", "target", "last"])
@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ("parts_to_throw_insert = 1", "252"),
        ("min_free_disk_bytes_to_perform_insert = 1000000000000000", "243"),
    ],
)
async def test_an_insert_that_a_table_refuses_is_an_error_and_the_same_token_heals_it(
    http: Http, table: str, setting: str, code: str
) -> None:
    window = "SETTINGS non_replicated_deduplication_window = 100"
    for name in ("t", "target", "last"):
        await http(f"CREATE TABLE {name} (n UInt64) ENGINE = MergeTree ORDER BY n {window}")
    await http("CREATE TABLE step (n UInt64) ENGINE = Null")
    await http("CREATE MATERIALIZED VIEW to_target TO target AS SELECT n FROM t")
    await http("CREATE MATERIALIZED VIEW to_step TO step AS SELECT n FROM t")
    await http("CREATE MATERIALIZED VIEW to_last TO last AS SELECT n FROM step")

    async def insert(token: str) -> tuple[int, Any, Any]:
        return await http(
            b"[1]\n[2]\n",
            query="INSERT INTO t FORMAT JSONCompactEachRow",
            insert_deduplication_token=token,
            deduplicate_blocks_in_dependent_materialized_views="1",
        )

    assert (await insert("first"))[0] == 200
    await http(f"ALTER TABLE {table} MODIFY SETTING {setting}")
    status, _, headers = await insert("second")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (500, code)
    await http(f"ALTER TABLE {table} RESET SETTING {setting.split()[0]}")
    for _ in range(2):
        assert (await insert("second"))[0] == 200
        for name in ("t", "target", "last"):
            assert (await http(f"SELECT count() FROM {name} FORMAT TSV"))[1].strip() == b"4"


async def test_an_insert_may_bring_settings_in_its_text(http: Http) -> None:
    await http("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
    text = "INSERT INTO t (n) SETTINGS async_insert = 0, max_threads = 1 FORMAT CSV\n7\n"
    assert (await http(text))[0] == 200
    assert await http.text("SELECT n FROM t FORMAT TSV") == "7\n"


async def test_a_large_insert_is_one_block(http: Http) -> None:
    await http(TABLE)
    body = b"".join(b'[%d,"x",0,[],null]\n' % n for n in range(200_000))
    assert (await http(body, query="INSERT INTO t FORMAT JSONCompactEachRow"))[0] == 200
    parts = "SELECT count(), sum(rows) FROM system.parts WHERE active AND database = currentDatabase()"
    assert await http.text(parts) == "1\t200000\n"


async def test_settings_database_and_read_only_belong_to_one_request(http: Http) -> None:
    assert await http.text("SELECT getSetting('max_block_size')", max_block_size="123") == "123\n"
    assert await http.text("SELECT getSetting('max_block_size')") != "123\n"
    status, body, _ = await http("CREATE TABLE t (n UInt8) ENGINE = Memory", readonly="1")
    assert b"READONLY" in body and status >= 400
    assert (await http("CREATE TABLE t (n UInt8) ENGINE = Memory"))[0] == 200
    assert await http.text("SELECT currentDatabase()", database="default") == "default\n"
    status, body, headers = await http("SELECT 1", no_such_setting="1")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "115"), body


async def test_a_get_may_read_and_not_write(http: Http) -> None:
    status, body, headers = await http(method="GET", query="SELECT 1 AS x", default_format="JSONEachRow")
    assert (status, body, headers["X-ClickHouse-Format"]) == (200, b'{"x":1}\n', "JSONEachRow")
    for query in ("CREATE TABLE t (n UInt8) ENGINE = Memory", "DROP DATABASE default"):
        status, body, _ = await http(method="GET", query=query, readonly="0")
        assert b"READONLY" in body and status >= 400


async def test_parameters_are_bound_as_values(http: Http) -> None:
    hostile = "'; DROP TABLE t; --"
    query = "SELECT {s:String} AS s, {a:Array(UInt8)} AS a FORMAT JSONEachRow"
    answer = json.loads(await http.text(query, param_s=hostile.replace("\\", "\\\\"), param_a="[1,2]"))
    assert answer == {"s": hostile, "a": [1, 2]}


@pytest.mark.parametrize(
    ("sql", "status", "code"),
    [
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELEC 1", 400, "62"),
        ("SELECT nothing", 404, "47"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT 1 INTO OUTFILE '/tmp/never'", 501, "48"),
        ("SELECT 1 FORMAT NoSuchFormat", 404, "73"),
        ("INSERT INTO nowhere FORMAT CSV\n1\n", 404, "60"),
        ("", 400, "62"),
    ],
)
async def test_errors_have_clickhouses_status_code_and_body(
    http: Http, sql: str, status: int, code: str
) -> None:
    found, body, headers = await http(sql)
    assert (found, headers.get("X-ClickHouse-Exception-Code")) == (status, code), body
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())


async def test_the_client_gets_the_code_of_an_error(client: AsyncClient) -> None:
    with pytest.raises(DatabaseError) as failure:
        await client.query("SELECT * FROM nowhere")
    assert failure.value.code == 60


HEADERS = {"CSVWithNames": 1, "TSVWithNamesAndTypes": 2, "JSONEachRow": 0}


@pytest.mark.parametrize("format", [*HEADERS, "JSONCompact", "Parquet"])
async def test_a_large_result_is_the_same_streamed_as_whole(http: Http, format: str) -> None:
    sql = "SELECT number AS n, toString(number) AS s FROM numbers(300000)"
    status, body, headers = await http(f"{sql} FORMAT {format}", max_block_size="50000", max_threads="1")
    assert (status, headers["X-ClickHouse-Format"]) == (200, format)
    if format == "Parquet":
        assert (body[:4], body[-4:]) == (b"PAR1", b"PAR1")
        return
    if format == "JSONCompact":
        assert len(json.loads(body)["data"]) == 300_000
        return
    lines = body.decode().splitlines()
    assert len(lines) == 300_000 + HEADERS[format]
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize(("format", "header"), [("CSVWithNames", b'"n"\n'), ("CSV", b""), ("Native", b"")])
async def test_a_result_without_rows_has_its_header(http: Http, format: str, header: bytes) -> None:
    _, body, _ = await http(f"SELECT number AS n FROM numbers(10) WHERE number > 10 FORMAT {format}")
    assert body == header


async def test_totals_are_part_of_the_result(http: Http) -> None:
    sql = "SELECT number % 2 AS k, count() FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k FORMAT CSV"
    assert (await http.text(sql)).split() == ["0,5", "1,5", "0,10"]


async def test_an_error_in_the_middle_of_a_result_reaches_the_client(client: AsyncClient, http: Http) -> None:
    sql = "SELECT number, throwIf(number = 2000000, 'too far') FROM numbers(3000000)"
    with pytest.raises(StreamFailureError):
        await client.query(sql)
    with pytest.raises(aiohttp.ClientPayloadError):
        await http(sql)
    received = b""
    with pytest.raises(aiohttp.ClientPayloadError):
        async for piece in http.pieces(sql):
            received = received[-2000:] + piece
    assert b"__exception__" in received
    assert b"Code: 395. DB::Exception: too far" in received


async def test_a_query_of_a_client_that_left_is_given_up(http: Http, clickhouse_server: str) -> None:
    sql = urlencode({"query": "SELECT number FROM numbers(100000000000)"})
    for _ in range(12):  # more than there are reader threads
        async with aiohttp.ClientSession() as session, session.get(f"{clickhouse_server}/?{sql}") as answer:
            await answer.content.readexactly(100_000)
    async with asyncio.timeout(30):
        assert await http.text("SELECT 1") == "1\n"


async def test_readers_do_not_wait_for_a_slow_insert(http: Http) -> None:
    await http("CREATE TABLE slow (n UInt64) ENGINE = Memory")
    sql = "INSERT INTO slow SELECT sleepEachRow(0.3) FROM numbers(6) SETTINGS max_block_size = 1"
    insert = asyncio.create_task(http(sql))
    await asyncio.sleep(0.2)
    read = 0
    while not insert.done():
        await http.text("SELECT count() FROM slow")
        read += 1
    assert read > 1, "the first one waited for the insert"
    assert (await insert)[0] == 200


async def test_a_web_page_cannot_make_the_browser_ask(http: Http) -> None:
    for headers in ({"Origin": "https://example.com"}, {"Host": "rebound.example.com"}):
        status, body, _ = await http("SELECT 1", headers=headers)
        assert (status, body[:10]) == (403, b"Code: 497.")


async def test_block_compression_is_refused_with_advice(http: Http) -> None:
    status, body, _ = await http("SELECT 1", compress="1")
    assert status == 501
    assert b"turn it off" in body


@pytest.mark.parametrize("violent", [True, False])
async def test_what_was_acknowledged_survives_the_end_of_the_server(tmp_path: Path, violent: bool) -> None:
    server = servers.clickhouse(free_port(), tmp_path / "data")
    child = servers.start(server, tmp_path)
    async with aiohttp.ClientSession() as session:
        http = Http(session, server.address, "default")
        await http(TABLE)
        for n in range(20):
            await http(b'[%d,"x",0,[],null]\n' % n, query="INSERT INTO t FORMAT JSONCompactEachRow")
        if violent:
            child.kill()
        else:
            endless = asyncio.create_task(http("SELECT number FROM numbers(1000000000000) FORMAT Null"))
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            child.stop(server.stop_grace)
            assert time.monotonic() - begun < server.stop_grace
            with contextlib.suppress(aiohttp.ClientError):
                assert (await endless)[0] == 500
    assert not psutil.pid_exists(child.pid)
    child = servers.start(server, tmp_path)
    try:
        async with aiohttp.ClientSession() as session:
            found = await Http(session, server.address, "default").text("SELECT count(), sum(n) FROM t")
        assert found == "20\t190\n"
    finally:
        child.stop(server.stop_grace)
