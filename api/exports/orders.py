"""An order: what is to be exported, fixed when it was asked for, so that a second try exports the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from typing import Final
from zoneinfo import ZoneInfo

import orjson

from api.exports import columns
from streams.domain.errors import InvalidParameterError
from streams.domain.windows import Window

CSV, JSON, NDJSON, PARQUET, XLSX = "csv", "json", "ndjson", "parquet", "xlsx"
#: Media types by format, which is also the extension of the file.
FORMATS: Final = {
    CSV: "text/csv; charset=utf-8",
    JSON: "application/json",
    NDJSON: "application/x-ndjson",
    PARQUET: "application/vnd.apache.parquet",
    XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(frozen=True, slots=True)
class Order:
    """A type, its metrics, a window and a format, all of them checked."""

    kind: str
    metrics: tuple[str, ...]
    format: str
    window: Window

    @property
    def spreadsheet(self) -> bool:
        """Say whether people open it in a program that takes some texts for formulas."""
        return self.format in (CSV, XLSX)

    def to_json(self) -> str:
        """Write it down for `from_json`."""
        window = self.window
        return orjson.dumps(
            {
                "kind": self.kind,
                "metrics": self.metrics,
                "format": self.format,
                "start": window.start,
                "end": window.end,
                "asOf": window.as_of,
                "zone": window.zone.key,
            }
        ).decode()


def from_json(text: str) -> Order:
    """Read what `Order.to_json` wrote."""
    fields = orjson.loads(text)
    start, end, as_of = (datetime.fromisoformat(fields[name]) for name in ("start", "end", "asOf"))
    window = Window(start, end, None, ZoneInfo(fields["zone"]), as_of)
    return Order(fields["kind"], tuple(fields["metrics"]), fields["format"], window)


def kind_of(text: str) -> str:
    """Check a type; raise InvalidParameterError naming those that there are."""
    if text not in columns.TYPES:
        allowed = list(columns.TYPES)
        raise InvalidParameterError(
            f"type must be one of {', '.join(allowed)}.", parameter="type", allowed=allowed
        )
    return text


def format_of(text: str) -> str:
    """Check a format; raise InvalidParameterError when there is none, or this server cannot make it."""
    if text not in FORMATS:
        allowed = list(FORMATS)
        raise InvalidParameterError(
            f"format must be one of {', '.join(allowed)}.", parameter="format", allowed=allowed
        )
    if text == XLSX and find_spec("xlsxwriter") is None:
        raise InvalidParameterError(
            "This server cannot make xlsx files: its `xlsx` extra is not installed "
            "(pip install 'videocloud-analytics[xlsx]'). Ask for csv.",
            parameter="format",
            allowed=[each for each in FORMATS if each != XLSX],
        )
    return text
