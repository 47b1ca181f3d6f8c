"""The event types: the contract with producers, and the only place where an event field is spelled.

Every Kafka record holds one JSON object. `type` picks the struct below; camelCase on the wire is
snake_case here. A field without a default is required: when it is missing or of the wrong type the
record goes to the dead letters. Unknown fields are dropped. The published JSON Schema and AsyncAPI
documents are generated from these structs (`docs/schemas/`), and a test fails when they drift.

Time fields take epoch milliseconds or an RFC 3339 string with an offset. Lengths and ranges are
bounded, so that one hostile record cannot grow a store or overflow a counter.
"""

# Fields that a type lacks are class attributes of its base, so that the fold reads all types alike;
# msgspec lets a field replace a class attribute, mypy cannot express that.
# mypy: disable-error-code="misc"

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal, get_args

from msgspec import Meta, Struct

#: One day in milliseconds: no single total of a view may exceed a week of it.
_DAY_MS: Final = 86_400_000

EventId = Annotated[str, Meta(min_length=1, max_length=64, description="Unique; the idempotency key.")]
Identifier = Annotated[str, Meta(min_length=1, max_length=128)]
Label = Annotated[str, Meta(max_length=64)]
Path = Annotated[str, Meta(max_length=1024)]
Title = Annotated[str, Meta(max_length=1024)]
Millis = Annotated[int, Meta(ge=0, le=7 * _DAY_MS, description="Milliseconds.")]
Count = Annotated[int, Meta(ge=0, le=1_000_000)]
Sequence = Annotated[int, Meta(ge=0, le=2**31 - 1, description="Counts up from 0 within the view.")]
Kbps = Annotated[int, Meta(ge=0, le=10_000_000, description="Kilobits per second.")]
Bytes = Annotated[int, Meta(ge=0, le=2**60)]
#: What one operation may move: 1 PiB, more than the largest object of any large store, which is 200 TB. Sums
#: are 64 bits wide, so 16,384 of these, not 16, overflow one.
Moved = Annotated[int, Meta(ge=0, le=2**50)]
Share = Annotated[float, Meta(ge=0, le=1)]
Load = Annotated[float, Meta(ge=0, le=1_000_000)]
#: Epoch milliseconds of the year 2100: a later instant is a mistake.
LATEST_MS: Final = 4_102_444_800_000
#: Epoch milliseconds or RFC 3339 with an offset.
Instant = (
    Annotated[int, Meta(ge=0, le=LATEST_MS, description="Epoch milliseconds.")]
    | Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset.")]
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

DEVICES: Final = ("desktop", "mobile", "tablet", "tv", "other")
PLATFORMS: Final = ("web", "ios", "android", "tv", "other")
#: Value of an optional dimension that the producer did not send.
UNKNOWN: Final = "unknown"


class Event(Struct, rename="camel", gc=False, kw_only=True, frozen=True):
    """Fields of every event, whatever its topic."""

    event_id: EventId
    occurred_at: Instant
    sent_at: Instant | None = None
    started_at: ClassVar[Instant | None] = None
    user_id: ClassVar[str | None] = None
    viewer_id: ClassVar[str | None] = None
    country: ClassVar[str | None] = None
    device: ClassVar[str | None] = None
    platform: ClassVar[str | None] = None


class Audience(Event, kw_only=True, frozen=True, gc=False):
    """An event of a person: `userId` when signed in, else `viewerId`; one of them is required."""

    session_id: Identifier
    user_id: Identifier | None = None
    viewer_id: Identifier | None = None
    country: Label | None = None
    device: Label | None = None
    platform: Label | None = None


# --- playback.events, keyed by viewId ---------------------------------------------------------


class Playback(Audience, kw_only=True, frozen=True, gc=False):
    """An event of a view: one playback of one video by one viewer."""

    video_id: Identifier
    view_id: Identifier
    seq: Sequence
    duration_ms: ClassVar[int | None] = None
    startup_ms: ClassVar[int] = 0
    watched_ms: ClassVar[int] = 0
    rebuffer_ms: ClassVar[int] = 0
    rebuffer_count: ClassVar[int] = 0
    bitrate_kbps: ClassVar[int | None] = None
    from_ms: ClassVar[int | None] = None
    to_ms: ClassVar[int | None] = None
    code: ClassVar[str] = ""
    fatal: ClassVar[bool] = False
    reason: ClassVar[str] = ""


class ViewAttempt(Playback, tag_field="type", tag="view.attempt", kw_only=True, frozen=True, gc=False):
    """Play was requested."""


class ViewStart(Playback, tag_field="type", tag="view.start", kw_only=True, frozen=True, gc=False):
    """The first frame was shown, `startupMs` after the request."""

    startup_ms: Millis
    duration_ms: Millis | None = None


class ViewProgress(Playback, tag_field="type", tag="view.progress", kw_only=True, frozen=True, gc=False):
    """A heartbeat: sent at least every 10 s, and at pause, seek and quality change.

    `watchedMs`, `rebufferMs` and `rebufferCount` are totals of the view so far; `bitrateKbps` and the
    stretch of content `fromMs`..`toMs` refer to the time since the last event.
    """

    started_at: Instant
    watched_ms: Millis
    rebuffer_ms: Millis
    rebuffer_count: Count
    bitrate_kbps: Kbps | None = None
    from_ms: Millis | None = None
    to_ms: Millis | None = None


class ViewError(Playback, tag_field="type", tag="view.error", kw_only=True, frozen=True, gc=False):
    """A playback error; `fatal` ends the view. `startedAt` is absent before the first frame."""

    code: Label
    fatal: bool
    started_at: Instant | None = None


class ViewEnd(Playback, tag_field="type", tag="view.end", kw_only=True, frozen=True, gc=False):
    """The viewer left or the content finished. `startedAt` is absent before the first frame."""

    reason: Literal["ended", "exited"]
    started_at: Instant | None = None
    watched_ms: Millis
    rebuffer_ms: Millis
    rebuffer_count: Count
    bitrate_kbps: Kbps | None = None
    from_ms: Millis | None = None
    to_ms: Millis | None = None


# --- user.events, keyed by userId, else viewerId ----------------------------------------------


class User(Audience, kw_only=True, frozen=True, gc=False):
    """An action of a person outside the player, or engagement with a video."""

    video_id: ClassVar[str] = ""
    path: ClassVar[str] = ""
    source: ClassVar[str] = ""


class UserSignup(User, tag_field="type", tag="user.signup", kw_only=True, frozen=True, gc=False):
    """An account was created; `source` is how the person found the platform (organic, referral, ...)."""

    source: Label


class SessionStart(User, tag_field="type", tag="session.start", kw_only=True, frozen=True, gc=False):
    """A visit began."""


class PageView(User, tag_field="type", tag="page.view", kw_only=True, frozen=True, gc=False):
    """A page was shown."""

    path: Path


class SessionEnd(User, tag_field="type", tag="session.end", kw_only=True, frozen=True, gc=False):
    """A visit ended."""


class VideoUpload(User, tag_field="type", tag="video.upload", kw_only=True, frozen=True, gc=False):
    """A person uploaded a video."""

    video_id: Identifier


class VideoLike(User, tag_field="type", tag="video.like", kw_only=True, frozen=True, gc=False):
    """A person liked a video."""

    video_id: Identifier


class VideoComment(User, tag_field="type", tag="video.comment", kw_only=True, frozen=True, gc=False):
    """A person commented on a video."""

    video_id: Identifier


class VideoShare(User, tag_field="type", tag="video.share", kw_only=True, frozen=True, gc=False):
    """A person shared a video."""

    video_id: Identifier


# --- system.events, keyed by service ----------------------------------------------------------


class System(Event, kw_only=True, frozen=True, gc=False):
    """An event of a service of the platform: an action, a host sample or a probe."""

    service: Identifier
    endpoint: ClassVar[str] = ""
    method: ClassVar[str] = ""
    status: ClassVar[int] = 0
    duration_ms: ClassVar[float] = 0.0
    job_type: ClassVar[str] = ""
    job_id: ClassVar[str] = ""
    state: ClassVar[str] = ""
    op: ClassVar[str] = ""
    ok: ClassVar[bool] = True
    bytes: ClassVar[int] = 0
    host: ClassVar[str] = ""
    cpu: ClassVar[float] = 0.0
    load: ClassVar[tuple[float, float, float]] = (0.0, 0.0, 0.0)
    memory_used_bytes: ClassVar[int] = 0
    memory_total_bytes: ClassVar[int] = 0
    storage_used_bytes: ClassVar[int] = 0
    storage_total_bytes: ClassVar[int] = 0


DurationMs = Annotated[float, Meta(ge=0, le=7 * _DAY_MS, description="Milliseconds.")]


class ApiRequest(System, tag_field="type", tag="api.request", kw_only=True, frozen=True, gc=False):
    """A service answered an HTTP request."""

    endpoint: Path
    method: Label
    status: Annotated[int, Meta(ge=100, le=599)]
    duration_ms: DurationMs


class Job(System, tag_field="type", tag="job", kw_only=True, frozen=True, gc=False):
    """A background job changed its state. `finished` carries `durationMs`."""

    job_type: Label
    job_id: Identifier
    state: Literal["queued", "started", "finished", "failed"]
    duration_ms: DurationMs = 0.0


class StorageOp(System, tag_field="type", tag="storage.op", kw_only=True, frozen=True, gc=False):
    """A service read from or wrote to storage."""

    op: Literal["read", "write"]
    ok: bool
    bytes: Moved


class HostSample(System, tag_field="type", tag="host.sample", kw_only=True, frozen=True, gc=False):
    """Resource usage of a host: `cpu` as a share of all cores, `load` over 1, 5 and 15 minutes."""

    host: Identifier
    cpu: Share
    load: tuple[Load, Load, Load]
    memory_used_bytes: Bytes
    memory_total_bytes: Bytes
    storage_used_bytes: Bytes
    storage_total_bytes: Bytes


class HealthProbe(System, tag_field="type", tag="health.probe", kw_only=True, frozen=True, gc=False):
    """A health check of a service passed or failed."""

    ok: bool


# --- video.catalog, keyed by videoId, compacted -----------------------------------------------


class CatalogEntry(Struct, rename="camel", gc=False, kw_only=True, frozen=True):
    """A video's metadata. A record with a null value deletes the video."""

    video_id: Identifier
    title: Title
    duration_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    owner_id: Identifier | None = None
    published_at: Instant | None = None
    live: bool = False


PlaybackEvent = ViewAttempt | ViewStart | ViewProgress | ViewError | ViewEnd
UserEvent = (
    UserSignup | SessionStart | PageView | SessionEnd | VideoUpload | VideoLike | VideoComment | VideoShare
)
SystemEvent = ApiRequest | Job | StorageOp | HostSample | HealthProbe

#: The name on the wire of each event type.
TAGS: Final[dict[type, str]] = {
    kind: str(kind.__struct_config__.tag)
    for union in (PlaybackEvent, UserEvent, SystemEvent)
    for kind in get_args(union)
}


def instant_ms(value: int | datetime) -> int:
    """Return an event's time field as epoch milliseconds; finer digits are cut off."""
    return value if isinstance(value, int) else (value - _EPOCH) // _MILLISECOND
