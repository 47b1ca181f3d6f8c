"""The rows of the raw tables: one struct a table, one field a column, in the order they are sent.

The pipeline turns an event and the state before it into a row; both sinks work from rows alone. A struct is
the column list of the INSERT (`columns`) and has the type of each column (`types`); a test compares both with
the migration. Instants are epoch milliseconds. Columns whose name starts with `d_` are deltas: what this
event adds, given the state before it. Roll-ups sum only these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_type_hints

from msgspec import Struct

# Python's type, and ClickHouse's.
UInt8 = Annotated[int, "UInt8"]
UInt16 = Annotated[int, "UInt16"]
UInt32 = Annotated[int, "UInt32"]
UInt64 = Annotated[int, "UInt64"]
Float = Annotated[float, "Float64"]
Flag = Annotated[bool, "Bool"]
Instant = Annotated[int, "DateTime64(3, 'UTC')"]
Text = Annotated[str, "String"]
#: A text with few distinct values.
Label = Annotated[str, "LowCardinality(String)"]
Parts = Annotated[Sequence[int], "Array(UInt8)"]
Loads = Annotated[tuple[float, float, float], "Array(Float64)"]


class Row(Struct, array_like=True, gc=False):
    """The common columns: log (cluster and incarnation), topic, partition and offset, event, times."""

    log: Label
    topic: Label
    partition: UInt32
    offset: UInt64
    event_id: Text
    type: Label
    occurred_at: Instant
    received_at: Instant
    #: `occurredAt` as sent, when that was further ahead of the record than any clock should be; else 0.
    ahead_at: Instant


class PlaybackRow(Row, array_like=True, gc=False):
    """One accepted playback event.

    The deltas belong to three buckets: `d_watched_ms`, `d_rebuffer_ms`, `d_rebuffers`, `d_bitrate_*`
    to that of `occurred_at`; `d_views`, `d_completions`, `d_sized`, `d_parts` to that of `started_at`;
    `d_attempts`, `d_fatals` to that of `attempted_at`. These two instants are 0 before the start or attempt.
    """

    video_id: Text
    view_id: Text
    seq: UInt32
    session_id: Text
    user_id: Text
    signed_in: Flag
    country: Label
    device: Label
    platform: Label
    attempted_at: Instant
    started_at: Instant
    startup_ms: UInt32
    watched_ms: UInt32
    rebuffer_ms: UInt32
    rebuffer_count: UInt32
    bitrate_kbps: UInt32
    from_ms: UInt32
    to_ms: UInt32
    duration_ms: UInt64
    code: Label
    fatal: Flag
    reason: Label
    d_attempts: UInt8
    d_views: UInt8
    d_fatals: UInt8
    d_completions: UInt8
    d_watched_ms: UInt32
    d_rebuffer_ms: UInt32
    d_rebuffers: UInt32
    d_bitrate_weight: UInt64
    d_bitrate_ms: UInt32
    d_sized: UInt8
    d_parts: UInt8
    new_parts: Parts


class UserRow(Row, array_like=True, gc=False):
    """One accepted user event."""

    session_id: Text
    user_id: Text
    signed_in: Flag
    country: Label
    device: Label
    platform: Label
    video_id: Text
    path: Text
    source: Label


class SystemRow(Row, array_like=True, gc=False):
    """One accepted system event. Fields that its type does not have are zero or empty."""

    service: Label
    endpoint: Text
    method: Label
    status: UInt16
    duration_ms: Float
    job_type: Label
    job_id: Text
    state: Label
    op: Label
    ok: Flag
    bytes: UInt64
    host: Label
    cpu: Float
    load: Loads
    memory_used_bytes: UInt64
    memory_total_bytes: UInt64
    storage_used_bytes: UInt64
    storage_total_bytes: UInt64


class CatalogRow(Row, array_like=True, gc=False):
    """One version of a video's catalog entry; `deleted` when the record's value was null."""

    video_id: Text
    title: Text
    duration_ms: UInt64
    owner_id: Text
    published_at: Instant
    live: Flag
    deleted: Flag


def columns(row: type[Row]) -> tuple[str, ...]:
    """Return the column names of a row type, in the order its values are encoded."""
    return row.__struct_fields__


def types(row: type[Row]) -> tuple[str, ...]:
    """Return ClickHouse's type of each of a row type's columns, in the same order."""
    hints = get_type_hints(row, include_extras=True)
    return tuple(hints[name].__metadata__[0] for name in columns(row))
