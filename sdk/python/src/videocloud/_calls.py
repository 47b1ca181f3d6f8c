"""Requests to the API, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is below the base URL, or a whole URL, to which the API key is not sent."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def elsewhere(self) -> bool:
        """Return whether `path` is a whole URL, such as the signed link of an export."""
        return "://" in self.path

    def __str__(self) -> str:
        """Return method and path, without the query, which may contain a signature."""
        return f"{self.method} {self.path.partition('?')[0]}"


def segment(identifier: str) -> str:
    """Return an id as a path segment. Raises ValueError for an id that a path cannot contain."""
    if identifier in ("", ".", ".."):
        raise ValueError(f"{identifier!r} is not a valid id")
    return quote(identifier, safe="")


def instant(value: datetime | str | None, name: str) -> str | None:
    """Write an instant as RFC 3339. Raises ValueError for a datetime without a time zone."""
    if not isinstance(value, datetime):
        return value
    if value.utcoffset() is None:
        raise ValueError(
            f"{name} has no time zone: pass an aware datetime, such as datetime(..., tzinfo=UTC)"
        )
    return value.isoformat()


def given(**values: object) -> dict[str, str]:
    """Return query parameters as text, without those that are None."""
    return {name: str(value) for name, value in values.items() if value is not None}


def window(
    period: str | None,
    start: datetime | str | None,
    end: datetime | str | None,
    timezone: str | ZoneInfo | None,
) -> dict[str, str]:
    """Return the parameters that select the window."""
    return given(period=period, start=instant(start, "start"), end=instant(end, "end"), timezone=timezone)


def names(metrics: Iterable[str] | None) -> list[str] | None:
    """Return metrics as a list; a single name is also accepted."""
    return [metrics] if isinstance(metrics, str) else None if metrics is None else list(metrics)


def joined(metrics: Iterable[str] | None) -> str | None:
    """Return metrics as one comma-separated parameter."""
    listed = names(metrics)
    return None if listed is None else ",".join(listed)
