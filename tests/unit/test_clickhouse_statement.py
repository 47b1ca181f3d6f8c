"""The stand-in ClickHouse tells statements apart without executing them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.clickhouse.errors import EngineError
from deploy.embedded.clickhouse.formats import split_header
from deploy.embedded.clickhouse.statement import Kind, parse


@pytest.mark.parametrize(
    ("sql", "kind", "format"),
    [
        ("SELECT 1", Kind.SELECT, None),
        ("  -- why\n/* x */ select 1 format JSON", Kind.SELECT, "JSON"),
        ("(SELECT 1) UNION ALL (SELECT 2) FORMAT CSV;", Kind.SELECT, "CSV"),
        ("WITH 1 AS x SELECT x FORMAT Native SETTINGS max_threads = 1", Kind.SELECT, "Native"),
        ("SELECT ' FORMAT JSON'", Kind.SELECT, None),
        ("SELECT 1 -- FORMAT JSON", Kind.SELECT, None),
        ("SELECT a AS format FROM t", Kind.SELECT, None),
        ("SELECT format FROM t FORMAT TSV", Kind.SELECT, "TSV"),
        ("SELECT * FROM (SELECT 1 FORMAT JSON)", Kind.SELECT, None),
        ("SELECT 'it''s', `a``b FORMAT x`, 'a\\' FORMAT y' FORMAT CSV", Kind.SELECT, "CSV"),
        ("SHOW TABLES FORMAT JSON", Kind.ROWS, "JSON"),
        ("describe table t", Kind.ROWS, None),
        ("EXISTS t", Kind.ROWS, None),
        ("CREATE TABLE t (a UInt8) ENGINE = Memory", Kind.COMMAND, None),
        ("INSERT INTO t SELECT * FROM u", Kind.COMMAND, None),
        ("INSERT INTO t (a) VALUES (1), (2)", Kind.COMMAND, None),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", Kind.COMMAND, None),
        ("INSERT INTO t (a) FORMAT CSV\n1\n", Kind.INSERT, "CSV"),
        ("INSERT INTO t SELECT a FROM input('a UInt8') FORMAT CSV\n1\n", Kind.INSERT, "CSV"),
        ("", Kind.COMMAND, None),
        ("'unclosed", Kind.COMMAND, None),
    ],
)
def test_kind_and_format(sql: str, kind: Kind, format: str | None) -> None:
    found = parse(sql.encode())
    assert (found.kind, found.format) == (kind, format)


def test_the_format_clause_is_taken_out_and_the_settings_stay() -> None:
    found = parse(b"SELECT 1 FORMAT JSON SETTINGS max_threads = 1")
    assert found.sql.split() == b"SELECT 1 SETTINGS max_threads = 1".split()


def test_the_data_of_an_insert_begins_on_the_next_line_and_may_be_any_bytes() -> None:
    data = bytes(range(256)) + b" FORMAT CSV 'unclosed"
    found = parse(b"INSERT INTO `a b`.t (x, `format`) SETTINGS async_insert = 0 FORMAT Native\r\n" + data)
    assert found.sql.rstrip() == b"INSERT INTO `a b`.t (x, `format`) SETTINGS async_insert = 0"
    assert found.format == "Native"
    assert found.data == data


@given(st.binary(max_size=200))
def test_the_data_of_an_insert_comes_through_unchanged(data: bytes) -> None:
    assert parse(b"insert into t format RowBinary\n" + data).data == data


@given(st.binary(max_size=200))
def test_no_text_breaks_the_parser(sql: bytes) -> None:
    assert parse(sql).kind in Kind


def test_a_result_with_totals_is_not_cut_into_chunks() -> None:
    assert parse(b"SELECT count() FROM t GROUP BY a WITH TOTALS FORMAT CSV").whole
    assert not parse(b"WITH totals AS (SELECT 1) SELECT * FROM totals").whole


@pytest.mark.parametrize(
    "sql", [b"SELECT 1 INTO OUTFILE '/tmp/x'", b"INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV"]
)
def test_files_of_the_client_are_noticed(sql: bytes) -> None:
    assert parse(sql).file_clause


def test_a_header_is_its_first_lines_or_all_there_is() -> None:
    assert split_header(b"a,b\nc,d\n1,2\n", 2) == b"a,b\nc,d\n"
    assert split_header(b"a,b", 1) == b"a,b"
    assert split_header(b"1\n", 0) == b""


@pytest.mark.parametrize(
    ("message", "code", "status", "body"),
    [
        ("Code: 60. DB::Exception: no table", 60, 404, "Code: 60. DB::Exception: no table"),
        ("Streaming query failed: Code: 62. DB::Exception: x", 62, 400, "Code: 62. DB::Exception: x"),
        (
            "Code: 159. DB::Exception: Code: 159. DB::Exception: slow",
            159,
            408,
            "Code: 159. DB::Exception: slow",
        ),
        ("Code: 241. DB::Exception: memory", 241, 500, "Code: 241. DB::Exception: memory"),
        ("no code at all", 1002, 500, "Code: 1002. DB::Exception: no code at all"),
    ],
)
def test_errors_get_clickhouses_code_status_and_body(message: str, code: int, status: int, body: str) -> None:
    error = EngineError.from_message(message)
    assert (error.code, error.status, str(error)) == (code, status, body)
