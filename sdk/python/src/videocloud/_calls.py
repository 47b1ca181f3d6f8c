"""What is asked of the API, as values. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `path` is below the base URL, or a URL of its own; only the first carries the API key."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def elsewhere(self) -> bool:
        """Say whether it goes to a URL of its own, such as the signed link of an export."""
        return "://" in self.path

    def __str__(self) -> str:
        """Name it without what a signed link carries."""
        return f"{self.method} {self.path.partition('?')[0]}"


def segment(identifier: str) -> str:
    """Return an id as part of a path. Raises ValueError for one that cannot be in a path."""
    if identifier in ("", ".", ".."):
        raise ValueError(f"{identifier!r} is no id")
    return quote(identifier, safe="")


def instant(value: datetime | str | None, name: str) -> str | None:
    """Write an instant as RFC 3339. Raises ValueError for a datetime without a time zone."""
    if not isinstance(value, datetime):
        return value
    if value.utcoffset() is None:
        raise ValueError(
            f"{name} has no time zone, so it is no instant: say datetime(..., tzinfo=UTC), or another one"
        )
    return value.isoformat()


def given(**values: object) -> dict[str, str]:
    """Return parameters as they go into a query: without those that are None."""
    return {name: str(value) for name, value in values.items() if value is not None}


def window(
    period: str | None,
    start: datetime | str | None,
    end: datetime | str | None,
    timezone: str | ZoneInfo | None,
) -> dict[str, str]:
    """Return the parameters that say which window is meant."""
    return given(period=period, start=instant(start, "start"), end=instant(end, "end"), timezone=timezone)


def names(metrics: Iterable[str] | None) -> list[str] | None:
    """Return metrics as a list; a single one may come as it is."""
    return [metrics] if isinstance(metrics, str) else None if metrics is None else list(metrics)


def joined(metrics: Iterable[str] | None) -> str | None:
    """Return metrics in one parameter."""
    listed = names(metrics)
    return None if listed is None else ",".join(listed)
