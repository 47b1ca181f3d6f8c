"""Raw rows written by hand, and their sums: the tests' own arithmetic, one row at a time.

A call states what happened in the fewest words (`view`, `heartbeat`, `reaction`, ...) and fills in the
rest. `Facts` reads the rows back as (measure, instant, amount) and adds them up over any stretch,
knowing nothing of buckets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from streams.domain.rows import CatalogRow, PlaybackRow, Row, UserRow, columns, types

_ids = count(1)
_EMPTY: dict[str, Any] = {
    "String": "",
    "LowCardinality(String)": "",
    "Bool": False,
    "Array(UInt8)": (),
}
_PLAYBACK = {
    **{
        name: _EMPTY.get(kind, 0) for name, kind in zip(columns(PlaybackRow), types(PlaybackRow), strict=True)
    },
    "session_id": "s",
    "user_id": "u",
    "signed_in": True,
    "country": "US",
    "device": "desktop",
    "platform": "web",
}


def at(text: str) -> datetime:
    """Read an instant; UTC unless the text has an offset."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def epoch_ms(instant: datetime) -> int:
    """Return an instant in epoch milliseconds, as rows hold it."""
    return round(instant.timestamp() * 1000)


def _origin(topic: str, kind: str, when: datetime) -> dict[str, Any]:
    number = next(_ids)
    return {
        "log": "test",
        "topic": topic,
        "partition": 0,
        "offset": number,
        "event_id": f"e{number}",
        "type": kind,
        "occurred_at": epoch_ms(when),
        "received_at": epoch_ms(when),
        "ahead_at": 0,
    }


def playback(video: str, when: datetime, **fields: Any) -> PlaybackRow:
    """Return a playback row; instants may be given as datetimes, and most else is empty unless given."""
    values: dict[str, Any] = _PLAYBACK | {"view_id": f"view-{next(_ids)}"}
    kind = fields.pop("type", "view.progress")
    given = {
        name: epoch_ms(value) if isinstance(value, datetime) else value for name, value in fields.items()
    }
    return PlaybackRow(**(values | {"video_id": video} | given | _origin("playback.events", kind, when)))


def view(video: str, start: datetime, **fields: Any) -> PlaybackRow:
    """Return the row of a view that started: an attempt and a first frame at once."""
    fields = {"started_at": start, "attempted_at": start, "d_attempts": 1, "d_views": 1} | fields
    return playback(video, start, type="view.start", **fields)


def heartbeat(video: str, when: datetime, seconds: float, **fields: Any) -> PlaybackRow:
    """Return a row that adds watched seconds."""
    return playback(video, when, d_watched_ms=int(seconds * 1000), **fields)


def reaction(video: str, when: datetime, kind: str = "video.like", **fields: Any) -> UserRow:
    """Return a like, a comment or a share."""
    values: dict[str, Any] = {
        "session_id": "s",
        "user_id": "u",
        "signed_in": True,
        "country": "US",
        "device": "desktop",
        "platform": "web",
        "video_id": video,
        "path": "",
        "source": "",
    }
    return UserRow(**(values | fields | _origin("user.events", kind, when)))


def listed(
    video: str, title: str, when: datetime, *, live: bool = False, deleted: bool = False
) -> CatalogRow:
    """Return a version of a catalog entry."""
    values: dict[str, Any] = {
        "video_id": video,
        "title": title,
        "duration_ms": 60_000,
        "owner_id": "o",
        "published_at": 0,
        "live": live,
        "deleted": deleted,
    }
    return CatalogRow(**(values | _origin("video.catalog", "catalog", when)))


TABLES: dict[type[Row], str] = {
    PlaybackRow: "playback_events",
    UserRow: "user_events",
    CatalogRow: "video_catalog",
}


@dataclass
class Facts:
    """The deltas in rows, one fact for each."""

    facts: list[tuple[str, str, float, int]] = field(default_factory=list)
    starts: list[PlaybackRow] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Facts:
        """Read rows."""
        self = cls()
        for row in rows:
            self.facts += [(row.video_id, *fact) for fact in _facts(row)]  # type: ignore[attr-defined]
            if isinstance(row, PlaybackRow) and row.d_views:
                self.starts.append(row)
        return self

    def sums(self, start: datetime, end: datetime, video: str | None = None) -> Counter[str]:
        """Add up each measure in `[start, end)`."""
        low, high = epoch_ms(start), epoch_ms(end)
        sums = Counter[str]()
        for of, measure, when, amount in self.facts:
            if low <= when < high and video in (None, of):
                sums[measure] += amount
        return sums

    def started(self, start: datetime, end: datetime, video: str | None = None) -> list[PlaybackRow]:
        """Return the starts in `[start, end)`."""
        low, high = epoch_ms(start), epoch_ms(end)
        return [row for row in self.starts if low <= row.started_at < high and video in (None, row.video_id)]


def _facts(row: Row) -> Iterator[tuple[str, float, int]]:
    if isinstance(row, UserRow):
        measure = {"video.like": "likes", "video.comment": "comments", "video.share": "shares"}.get(row.type)
        if measure:
            yield measure, row.occurred_at, 1
    if isinstance(row, PlaybackRow):
        for name in ("watched_ms", "rebuffer_ms", "rebuffers", "bitrate_weight", "bitrate_ms"):
            yield name, row.occurred_at, getattr(row, f"d_{name}")
        for name in ("views", "completions", "sized", "parts"):
            yield name, row.started_at, getattr(row, f"d_{name}")
        for name in ("attempts", "fatals"):
            yield name, row.attempted_at, getattr(row, f"d_{name}")
