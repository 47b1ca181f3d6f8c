"""Orders: the content of an export, fixed at the time of the request, so that a retry exports the same."""

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
    """The type, metrics, window and format of an export, all validated."""

    kind: str
    metrics: tuple[str, ...]
    format: str
    window: Window

    @property
    def spreadsheet(self) -> bool:
        """Whether programs for this format take some texts for formulas."""
        return self.format in (CSV, XLSX)

    def to_json(self) -> str:
        """Return it as JSON, for `from_json`."""
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
    """Return the order that `Order.to_json` wrote."""
    fields = orjson.loads(text)
    start, end, as_of = (datetime.fromisoformat(fields[name]) for name in ("start", "end", "asOf"))
    window = Window(start, end, None, ZoneInfo(fields["zone"]), as_of)
    return Order(fields["kind"], tuple(fields["metrics"]), fields["format"], window)


def kind_of(text: str) -> str:
    """Return a valid type; raise InvalidParameterError, with the valid ones, for any other."""
    if text not in columns.TYPES:
        allowed = list(columns.TYPES)
        raise InvalidParameterError(
            f"type must be one of {', '.join(allowed)}.", parameter="type", allowed=allowed
        )
    return text


def format_of(text: str) -> str:
    """Return a valid format; raise InvalidParameterError for any other, and for one without its extra."""
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
