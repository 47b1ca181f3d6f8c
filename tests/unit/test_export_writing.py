"""Files of exports, however the stream that they are made of is cut."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import resource
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api.exports import orders, signed_links, writers
from api.exports.columns import metrics_of
from api.exports.errors import ExpiredExportError, ForbiddenLinkError
from api.exports.orders import CSV, JSON, NDJSON, XLSX, Order
from api.exports.storage import sweep
from streams.domain.errors import InvalidMetricsError
from streams.domain.windows import named, zone_of

NOW = datetime(2050, 11, 20, 8, 7, 41, tzinfo=UTC)
ROWS: list[dict[str, object]] = [
    {"title": 'a "quoted"\nline', "views": 3},
    {"title": "", "views": None},
    {"title": "ü,", "views": 0},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
TABLE = '"title","views"\n"a ""quoted""\nline",3\n"",\n"ü,",0\n'.encode()
COMPACT = "".join(
    json.dumps(row) + "\n" for row in [["title", "views"], *([*row.values()] for row in ROWS)]
).encode()


def written(form: str, data: bytes, step: int, path: Path) -> tuple[int | None, bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for begin in range(0, len(data), step):
            yield data[begin : begin + step]

    sink = writers.workbook(path) if form == XLSX else writers.sink_of(form, writers.LocalFile(path))
    asyncio.run(writers.write(pieces(), sink))
    content = path.read_bytes()
    assert sink.size == len(content)
    return sink.rows, content


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_PIECE", 1)


@pytest.mark.parametrize("step", [1, 2, 7, 30, 1000])
def test_a_file_is_the_same_however_the_stream_is_cut(tmp_path: Path, step: int) -> None:
    rows, content = written(NDJSON, LINES, step, tmp_path / "lines")
    assert (rows, content) == (3, LINES)
    rows, content = written(JSON, LINES, step, tmp_path / "array")
    assert (rows, json.loads(content)) == (3, ROWS)
    rows, content = written(CSV, TABLE, step, tmp_path / "table")
    assert (rows, content) == (3, TABLE)
    assert len(list(csv.reader(io.StringIO(content.decode(), newline="")))) == 4
    rows, _ = written(XLSX, COMPACT, step, tmp_path / "book.xlsx")
    assert rows == 3


def test_nothing_makes_an_empty_file_of_its_format(tmp_path: Path) -> None:
    assert written(JSON, b"", 1, tmp_path / "array") == (0, b"[]\n")
    assert written(NDJSON, b"", 1, tmp_path / "lines") == (0, b"")
    assert written(CSV, b'"title"\n', 3, tmp_path / "table")[0] == 0
    assert written(XLSX, b"", 1, tmp_path / "book.xlsx")[0] == 0


def test_a_full_sheet_goes_on_in_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "MAX_SHEET_ROWS", 3)
    assert written(XLSX, COMPACT, 10, tmp_path / "book.xlsx")[0] == 3
    sheets = [
        name for name in zipfile.ZipFile(tmp_path / "book.xlsx").namelist() if "worksheets/sheet" in name
    ]
    assert len(sheets) == 2
    assert os.listdir(tmp_path) == ["book.xlsx"]


def test_dates_and_times_of_a_workbook_are_those_of_spreadsheets(tmp_path: Path) -> None:
    days: list[list[Any]] = [["date", "title"], ["2050-11-20", "2050-11-20"]]
    times: list[list[Any]] = [["time", "requests"], ["2050-11-20T08:15:00.000Z", 3]]
    found = []
    for table, shown in ((days, "yyyy-mm-dd"), (times, "yyyy-mm-dd hh:mm")):
        path = tmp_path / f"{table[0][0]}.xlsx"
        written(XLSX, "".join(json.dumps(row) + "\n" for row in table).encode(), 10, path)
        book = zipfile.ZipFile(path)
        cells = re.findall(r"<c r=.([AB]2).(.*?)</c>", book.read("xl/worksheets/sheet1.xml").decode())
        found.append(dict(cells))
        assert f'formatCode="{shown}"' in book.read("xl/styles.xml").decode()
    # Spreadsheets count days from 1899-12-30.
    day = (NOW.date() - date(1899, 12, 30)).days
    assert f"<v>{day}</v>" in found[0]["A2"] and 's="' in found[0]["A2"]
    assert ">2050-11-20<" in found[0]["B2"]
    assert f"<v>{day + 0.34375}</v>" in found[1]["A2"]


def test_a_stream_that_breaks_leaves_no_workbook(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield COMPACT
        raise ConnectionError

    book: Any = writers.workbook(tmp_path / "book.xlsx")
    with pytest.raises(ConnectionError):
        asyncio.run(writers.write(pieces(), book))
    assert os.listdir(tmp_path) == []
    assert all(sheet.row_data_fh.closed for sheet in book._book.worksheets())


@pytest.mark.parametrize("form", [CSV, XLSX])
def test_a_stream_that_breaks_while_the_disk_is_full_leaves_nothing_on_it(tmp_path: Path, form: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield COMPACT
        raise ConnectionError

    path = tmp_path / "book"
    sink = writers.workbook(path) if form == XLSX else writers.sink_of(form, writers.LocalFile(path))
    most, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        # The outcome is that of the stream, not that of rows that still waited to be written.
        with pytest.raises(ConnectionError):
            asyncio.run(writers.write(pieces(), sink))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    assert not list(tmp_path.glob("book.*"))


def test_an_order_is_read_as_it_was_written() -> None:
    order = Order("user", ("growth",), CSV, named("7d", zone=zone_of("Asia/Kolkata"), now=NOW))
    read = orders.from_json(order.to_json())
    assert (read.kind, read.metrics, read.format) == (order.kind, order.metrics, order.format)
    assert (read.window.whole, read.window.zone, read.window.as_of) == (
        order.window.whole,
        order.window.zone,
        NOW,
    )


def test_metrics_are_those_of_the_type_in_their_own_order() -> None:
    assert metrics_of("video", ["performance, views"]) == ("views", "performance")
    assert metrics_of("system", None) == ("api", "processing", "storage", "uptime")
    with pytest.raises(InvalidMetricsError):
        metrics_of("video", ["growth"])


def test_a_link_opens_its_own_export_until_it_expires() -> None:
    until = NOW + timedelta(hours=1)
    token = signed_links.token("secret", "exp_a", until)
    signed_links.check("secret", "exp_a", token, NOW)
    for secret, export, given in (
        ("other", "exp_a", token),
        ("secret", "exp_b", token),
        ("secret", "exp_a", token[:-2]),
        ("secret", "exp_a", ""),
        ("secret", "exp_a", "é.é"),
    ):
        with pytest.raises(ForbiddenLinkError):
            signed_links.check(secret, export, given, NOW)
    with pytest.raises(ExpiredExportError):
        signed_links.check("secret", "exp_a", token, until)


def test_only_old_files_of_exports_are_swept(tmp_path: Path) -> None:
    for name, age in (("exp_old.csv", 100), ("exp_new.csv", 10), ("notes.txt", 100), ("exp_x.a.part", 100)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    sweep(tmp_path, 950)
    assert sorted(os.listdir(tmp_path)) == ["exp_new.csv", "notes.txt"]
    sweep(tmp_path / "not there", 950)
