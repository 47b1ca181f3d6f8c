"""Writers of export files, piece by piece: an export is never held in memory as a whole.

ClickHouse encodes CSV, JSON lines and Parquet by itself. A JSON array is made of JSON lines, and a
spreadsheet is written row by row by xlsxwriter, which keeps one row in memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from typing import Any, Final, Protocol

import orjson

from api.exports.orders import CSV, JSON, NDJSON, PARQUET, XLSX

#: ClickHouse's output format, by format of the export.
ENCODINGS: Final = {
    CSV: "CSVWithNames",
    JSON: "JSONEachRow",
    NDJSON: "JSONEachRow",
    PARQUET: "Parquet",
    XLSX: "JSONCompactEachRowWithNames",
}
SETTINGS: Final = {
    "output_format_json_quote_64bit_integers": 0,
    "date_time_output_format": "iso",
    # For csv: by default null is \N, which makes spreadsheets and data frames read a numeric column as text.
    # An empty text is "", so the two are distinct.
    "format_csv_null_representation": "",
}
#: Rows of a sheet, its heading among them: no spreadsheet program takes more.
MAX_SHEET_ROWS: Final = 1_048_576
#: By column of any export: how a spreadsheet shows it, and the width that this needs. Times are UTC.
_MOMENTS: Final = {"date": ("yyyy-mm-dd", 11), "time": ("yyyy-mm-dd hh:mm", 17)}
_PIECE: Final = 1 << 18


class Out(Protocol):
    """The destination of a file's bytes; its methods block."""

    def write(self, content: bytes) -> Any:
        """Add bytes."""

    def close(self) -> None:
        """Finish the file."""

    def abandon(self) -> None:
        """Let go of it; what is written is of no use. May be called again."""


class LocalFile:
    """`Out` on the disk of this machine."""

    def __init__(self, path: Path) -> None:
        """Create the file."""
        self._file = path.open("wb")
        self.write = self._file.write
        self.close = self._file.close

    def abandon(self) -> None:
        """See `Out.abandon`."""
        # What is still buffered may not fit on the disk.
        with suppress(OSError):
            self._file.close()


class Sink(Protocol):
    """A file of some format that is being written; its methods block.

    `rows` is None where they are not known, `size` is in bytes; both are of what is written so far.
    """

    rows: int | None

    @property
    def size(self) -> int:
        """Return the bytes that are written."""

    def write(self, piece: bytes) -> None:
        """Add a piece of what ClickHouse sends, cut anywhere."""

    def close(self) -> None:
        """Finish the file."""

    def abandon(self) -> None:
        """Let go of it; what is written is of no use. May be called again."""


async def write(pieces: AsyncIterator[bytes], sink: Sink) -> None:
    """Write a stream into a file, in threads, so that the event loop is not blocked."""
    waiting = bytearray()
    try:
        async for piece in pieces:
            waiting += piece
            if len(waiting) >= _PIECE:
                await asyncio.to_thread(sink.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(sink.write, bytes(waiting))
        await asyncio.to_thread(sink.close)
    except BaseException:
        sink.abandon()
        raise


def needs_disk(form: str) -> bool:
    """Say whether a format can only be written into a file on this machine."""
    return form == XLSX


def workbook(path: Path) -> Sink:
    """Open a new spreadsheet, which needs a file on this machine."""
    return _Workbook(path)


def sink_of(form: str, out: Out) -> Sink:
    """Return what writes a format into a new file; `workbook` is for those that need the disk."""
    kinds: dict[str, type[_File]] = {CSV: _Csv, JSON: _Array, NDJSON: _Lines, PARQUET: _File}
    return kinds[form](out)


class _File:
    """Bytes as they are; the number of rows is unknown."""

    rows: int | None = None

    def __init__(self, out: Out) -> None:
        self._out = out
        self.size = 0

    def _put(self, content: bytes) -> None:
        if content:
            self._out.write(content)
            self.size += len(content)

    def write(self, piece: bytes) -> None:
        self._put(piece)

    def close(self) -> None:
        self._out.close()

    def abandon(self) -> None:
        self._out.abandon()


class _Lines(_File):
    """One JSON object a line."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self.rows: int = 0

    def write(self, piece: bytes) -> None:
        self.rows += piece.count(b"\n")
        self._put(piece)


class _Csv(_File):
    """A heading and rows; a text may hold line ends, between quotation marks."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self.rows: int = 0
        self._quoted = False
        self._heading = True

    def write(self, piece: bytes) -> None:
        for number, text in enumerate(piece.split(b'"')):
            if number:
                self._quoted = not self._quoted
            if not self._quoted:
                self.rows += text.count(b"\n")
        if self._heading and self.rows:
            self._heading = False
            self.rows -= 1
        self._put(piece)


class _Array(_Lines):
    """One JSON array of objects, one a line."""

    def __init__(self, out: Out) -> None:
        super().__init__(out)
        self._before = b"["

    def write(self, piece: bytes) -> None:
        # Line ends within texts are escaped, so every line end ends a row. The comma is written with the next
        # row, because none may follow the last one.
        self.rows += piece.count(b"\n")
        if not piece:
            return
        ended = piece.endswith(b"\n")
        body = piece[:-1] if ended else piece
        self._put(self._before + body.replace(b"\n", b",\n"))
        self._before = b",\n" if ended else b""

    def close(self) -> None:
        self._put(b"[]\n" if self._before == b"[" else b"]\n")
        super().close()


class _Workbook:
    """A spreadsheet; rows that do not fit into a sheet continue in the next.

    Dates and times are those of spreadsheets, which can sort, filter and group by them, and not texts.
    """

    def __init__(self, path: Path) -> None:
        # An extra; `orders.format_of` has checked that it is installed.
        xlsxwriter = import_module("xlsxwriter")

        self.rows: int | None = 0
        self._refused: type[Exception] = xlsxwriter.exceptions.FileCreateError
        self._path = path
        # xlsxwriter keeps the rows of each sheet in a file of its own until the end.
        self._folder = path.with_name(f"{path.name}.sheets")
        self._folder.mkdir(exist_ok=True)
        self._book: Any = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "tmpdir": str(self._folder),
                "use_zip64": True,
            },
        )
        self._formats = {
            name: self._book.add_format({"num_format": form}) for name, (form, _) in _MOMENTS.items()
        }
        self._names: list[Any] = []
        self._moments: dict[int, Any] = {}
        self._rest = b""
        self._sheet: Any = None
        self._next = 0

    @property
    def size(self) -> int:
        # The file is written only at the end.
        return self._path.stat().st_size if self._path.exists() else 0

    def write(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            row = orjson.loads(line)
            if not self._names:
                self._names = row
                self._moments = {
                    place: self._formats[name] for place, name in enumerate(row) if name in _MOMENTS
                }
                self._begin()
                continue
            if self._next >= MAX_SHEET_ROWS:
                self._begin()
            self._add(row, self._moments)
            assert self.rows is not None
            self.rows += 1

    def _begin(self) -> None:
        self._sheet, self._next = self._book.add_worksheet(), 0
        for place in self._moments:
            self._sheet.set_column(place, place, _MOMENTS[self._names[place]][1])
        self._add(self._names, {})

    def _add(self, row: list[Any], moments: dict[int, Any]) -> None:
        for place, value in enumerate(row):
            if place in moments:
                moment = datetime.fromisoformat(value).replace(tzinfo=None)
                self._sheet.write_datetime(self._next, place, moment, moments[place])
            elif isinstance(value, str):
                self._sheet.write_string(self._next, place, value)
            elif value is not None:
                self._sheet.write_number(self._next, place, value)
        self._next += 1

    def close(self) -> None:
        if not self._names:
            self._book.add_worksheet()
        try:
            self._book.close()
        except self._refused as error:
            # xlsxwriter's own class, around the error of the disk.
            raise error.args[0] from None
        rmtree(self._folder, ignore_errors=True)

    def abandon(self) -> None:
        # Not `close`, which would write the file; without its folder it is never written.
        for sheet in self._book.worksheets():
            # What is still buffered may not fit on the disk, and then most of all the rest must go.
            with suppress(OSError):
                sheet.row_data_fh.close()
        rmtree(self._folder, ignore_errors=True)
        self._book.fileclosed = True
