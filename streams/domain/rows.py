"""The rows of the raw tables: one struct a table, one field a column, in the order they are sent.

The pipeline turns an event and the state before it into a row; both sinks work from rows alone.
The struct is the column list of the INSERT (`columns`), and a test holds it against the migration.
Instants are epoch seconds with milliseconds as decimals, which is what ClickHouse reads into a
DateTime64(3) without a doubt (a bare number of 13 digits is taken for seconds). Columns whose name
starts with `d_` are deltas: what this event added, computed from the state before it. Roll-ups sum
nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct


class Row(Struct, array_like=True, gc=False):
    """Where a row came from: its log (cluster and incarnation), topic, partition and offset."""

    log: str
    topic: str
    partition: int
    offset: int
    event_id: str
    type: str
    occurred_at: float
    received_at: float
    #: `occurredAt` as sent, when that was further ahead of the record than any clock should be; else 0.
    ahead_at: float


class PlaybackRow(Row, array_like=True, gc=False):
    """One accepted playback event.

    The deltas belong to three buckets: `d_watched_ms`, `d_rebuffer_ms`, `d_rebuffers`, `d_bitrate_*`
    to that of `occurred_at`; `d_views`, `d_completions`, `d_sized`, `d_parts` to that of `started_at`;
    `d_attempts`, `d_fatals` to that of `attempted_at`. The latter two are 0 while there is none.
    """

    video_id: str
    view_id: str
    seq: int
    session_id: str
    user_id: str
    signed_in: bool
    country: str
    device: str
    platform: str
    attempted_at: float
    started_at: float
    startup_ms: int
    watched_ms: int
    rebuffer_ms: int
    rebuffer_count: int
    bitrate_kbps: int
    from_ms: int
    to_ms: int
    duration_ms: int
    code: str
    fatal: bool
    reason: str
    d_attempts: int
    d_views: int
    d_fatals: int
    d_completions: int
    d_watched_ms: int
    d_rebuffer_ms: int
    d_rebuffers: int
    d_bitrate_weight: int
    d_bitrate_ms: int
    d_sized: int
    d_parts: int
    new_parts: Sequence[int]


class UserRow(Row, array_like=True, gc=False):
    """One accepted user event."""

    session_id: str
    user_id: str
    signed_in: bool
    country: str
    device: str
    platform: str
    video_id: str
    path: str
    source: str


class SystemRow(Row, array_like=True, gc=False):
    """One accepted system event. Fields that its type does not have are zero or empty."""

    service: str
    endpoint: str
    method: str
    status: int
    duration_ms: float
    job_type: str
    job_id: str
    state: str
    op: str
    ok: bool
    bytes: int
    host: str
    cpu: float
    load: tuple[float, float, float]
    memory_used_bytes: int
    memory_total_bytes: int
    storage_used_bytes: int
    storage_total_bytes: int


class CatalogRow(Row, array_like=True, gc=False):
    """One version of a video's catalog entry; `deleted` when the record's value was null."""

    video_id: str
    title: str
    duration_ms: int
    owner_id: str
    published_at: float
    live: bool
    deleted: bool


def columns(row: type[Row]) -> tuple[str, ...]:
    """Return the column names of a row type, in the order its values are encoded."""
    return row.__struct_fields__
