"""How each output format can be sent: in chunks, in chunks with one header, through a file, or whole.

chDB encodes every block of a streamed result as a document of its own. That is right for formats
without header or footer; the others need the care that is written down here.
"""

from __future__ import annotations

_PLAIN = {"Native", "RowBinary", "TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "JSONEachRow"}
_PLAIN |= {"JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow", "JSONCompactStringsEachRow"}
_PLAIN |= {"LineAsString", "TSKV", "RawBLOB", "MsgPack"}

_WITH_NAMES = ("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "JSONCompactEachRow")
_HEADER_LINES = {f"{name}WithNames": 1 for name in _WITH_NAMES}
_HEADER_LINES |= {f"{name}WithNamesAndTypes": 2 for name in _WITH_NAMES}

_FILES = {"Parquet", "ORC", "Avro", "Arrow", "ArrowStream"}

_CONTENT_TYPES = {
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "Parquet": "application/vnd.apache.parquet",
    "XML": "application/xml; charset=UTF-8",
}
_BINARY = {"Native", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "RawBLOB", "MsgPack"}


def is_chunked(name: str) -> bool:
    """Say whether blocks of this format, one after the other, make a valid document."""
    return name in _PLAIN or name in _HEADER_LINES


def header_lines(name: str) -> int:
    """Return how many lines every block repeats at its start, 0 for formats without a header."""
    return _HEADER_LINES.get(name, 0)


def is_file(name: str) -> bool:
    """Say whether the format is a file with a footer, made for large exports."""
    return name in _FILES


def content_type(name: str) -> str:
    """Return the Content-Type that ClickHouse answers with for a format."""
    if name in _CONTENT_TYPES:
        return _CONTENT_TYPES[name]
    if name in _BINARY or name in _FILES:
        return "application/octet-stream"
    if name.startswith("JSON"):
        return "application/json; charset=UTF-8"
    return "text/plain; charset=UTF-8"


def split_header(chunk: bytes, lines: int) -> bytes:
    """Return the first `lines` lines of a chunk, line ends included."""
    end = 0
    for _ in range(lines):
        found = chunk.find(b"\n", end)
        if found < 0:
            return chunk
        end = found + 1
    return chunk[:end]
