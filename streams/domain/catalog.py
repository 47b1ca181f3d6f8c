"""The video catalog: entries to rows, and the lengths of videos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from streams.domain.aggregate import Live
from streams.domain.arrivals import (
    Arrival,
    Decoder,
    Record,
    Rejected,
    receive_at_record_time,
    to_arrivals,
)
from streams.domain.events import CatalogEntry, Identifier, instant_ms
from streams.domain.folding import Folded, Place
from streams.domain.generations import Key
from streams.domain.reasons import REASON_LENGTH
from streams.domain.rows import CatalogRow, Row

_UINT64: Final = (1 << 64) - 1


class Deleted(Struct, frozen=True):
    """A record with a null value: the video is deleted."""

    video_id: str


def _deletion(record: Record, key: bytes) -> Deleted | Rejected:
    """Return what a record without a value deletes; its key is held to the limits of a `videoId`."""
    try:
        return Deleted(msgspec.convert(key.decode(), Identifier))
    except ValueError as error:  # Of both: UnicodeDecodeError and msgspec's are some.
        return Rejected(record, "Invalid", f"the key of a deletion is no `videoId`: {error}"[:REASON_LENGTH])


class CatalogFolder:
    """Catalog entries: every version is stored, and the table keeps the newest."""

    table = "video_catalog"
    key_columns = ("video_id", "event_id")
    row: type[Row] = CatalogRow
    memory = None
    decoder: Decoder[CatalogEntry] = Decoder(CatalogEntry)

    def __init__(self, place: Place, on_rows: Callable[[list[CatalogRow]], None] = lambda _: None) -> None:
        """Fold for a place; `on_rows` is called with all rows."""
        self.place = place
        self._on_rows = on_rows

    def decode(
        self, records: Sequence[Record], retention_ms: int
    ) -> tuple[list[Arrival[Any]], list[Rejected]]:
        """Decode catalog records; one without a value deletes the video that its key names."""
        entries = [
            _deletion(record, record.key) if record.value is None and record.key is not None else entry
            for record, entry in zip(records, self.decoder.decode(records), strict=True)
        ]
        return to_arrivals(records, entries, retention_ms, receive_at_record_time)

    def unknown(self, arrivals: Iterable[Arrival[Any]]) -> set[Key]:
        """Return nothing: a repeated version is the same version."""
        return set()

    def learn(self, keys: Iterable[Key], rows: Iterable[Any]) -> None:
        """Do nothing: nothing is looked up."""

    def fold(self, arrivals: Sequence[Arrival[CatalogEntry | Deleted]]) -> Folded:
        """Fold entries into rows."""
        rows = [self._make(arrival) for arrival in arrivals]
        self._on_rows(rows)
        return Folded(rows)

    def count_live(self, rows: Iterable[Any], since: int, onto: Live) -> None:
        """Add nothing: the catalog is not counted."""

    def _make(self, arrival: Arrival[CatalogEntry | Deleted]) -> CatalogRow:
        entry, place = arrival.event, self.place
        source = (place.log, place.topic, place.partition, arrival.offset)
        if isinstance(entry, Deleted):
            return CatalogRow(
                *source,
                "",
                "catalog.deleted",
                arrival.at,
                arrival.received_at,
                arrival.ahead_at,
                entry.video_id,
                "",
                0,
                "",
                0,
                False,
                True,
            )
        published = 0 if entry.published_at is None else instant_ms(entry.published_at)
        return CatalogRow(
            *source,
            "",
            "catalog.entry",
            arrival.at,
            arrival.received_at,
            arrival.ahead_at,
            entry.video_id,
            entry.title,
            entry.duration_ms or 0,
            entry.owner_id or "",
            published,
            entry.live,
            False,
        )


class Catalog:
    """Lengths of videos by id, as far as the catalog was read; shared by all folders of a worker."""

    def __init__(self) -> None:
        """Start empty."""
        #: Version (record time, offset) and length of each video, 0 when unknown or deleted; all in one
        #: number, because there may be millions.
        self._entries: dict[str, int] = {}

    def length_ms(self, video_id: str) -> int:
        """Return a video's length in milliseconds, 0 when unknown."""
        return self._entries.get(video_id, 0) & _UINT64

    def update(self, rows: Iterable[CatalogRow]) -> None:
        """Add catalog rows in any order; the newest version of each video stays."""
        for row in rows:
            version = row.received_at << 64 | row.offset
            known = self._entries.get(row.video_id)
            if known is None or version >= known >> 64:
                self._entries[row.video_id] = version << 64 | (0 if row.deleted else row.duration_ms)
