"""Every event of the contract (`docs/events.md` of the platform), one class each.

`client.events` has a method for each class, which creates and sends an event; for views,
`client.events.playback` keeps `seq`, `started_at` and the totals.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from videocloud.events.model import (
    Channel,
    Count,
    DurationMs,
    Event,
    Identifier,
    Instant,
    Kbps,
    Label,
    Length,
    Load,
    Millis,
    Moved,
    Outgoing,
    Person,
    Sequence,
    Share,
    Size,
    Status,
    Text,
)


class Playback(Person):
    """An event of a view: one playback of one video by one viewer."""

    channel: ClassVar[Channel] = "playback"

    video_id: Identifier
    view_id: Identifier
    """Id of the playback (view): a new one each time a video is loaded into a player."""
    seq: Sequence
    """Counts up from 0 within the view; identifies repeats."""

    @property
    def key(self) -> str:
        """Return the view's id: all its events must reach one partition."""
        return self.view_id


class ViewAttempt(Playback):
    """Play was requested."""

    type: Literal["view.attempt"] = "view.attempt"


class ViewStart(Playback):
    """The first frame was shown, `startup_ms` after the request."""

    type: Literal["view.start"] = "view.start"
    startup_ms: Millis
    duration_ms: Millis | None = None
    """Length of the content in milliseconds; if absent or 0, the catalog's length."""


class _Totals(Playback):
    """Totals of a view so far."""

    watched_ms: Millis
    """Milliseconds watched in this view so far: a total."""
    rebuffer_ms: Millis
    """Milliseconds stalled in this view so far, excluding start-up: a total."""
    rebuffer_count: Count
    """Stalls in this view so far: a total."""
    bitrate_kbps: Kbps | None = None
    """Kilobits per second since the last event."""
    from_ms: Millis | None = None
    """Start of the stretch of content played since the last event: milliseconds into the content."""
    to_ms: Millis | None = None
    """End of that stretch: milliseconds into the content."""


class ViewProgress(_Totals):
    """A heartbeat: sent at least every 10 s, and at pause, seek and quality change."""

    type: Literal["view.progress"] = "view.progress"
    started_at: Instant
    """When the first frame was shown."""


class ViewError(Playback):
    """A playback error; `fatal` ends the view. `started_at` is absent before the first frame."""

    type: Literal["view.error"] = "view.error"
    code: Label
    fatal: bool
    started_at: Instant | None = None


class ViewEnd(_Totals):
    """The viewer left or the content finished. `started_at` is absent before the first frame."""

    type: Literal["view.end"] = "view.end"
    reason: Literal["ended", "exited"]
    started_at: Instant | None = None


class User(Person):
    """An action of a person outside the player, or engagement with a video."""

    channel: ClassVar[Channel] = "users"

    @property
    def key(self) -> str:
        """Return the person's id."""
        key = self.user_id or self.viewer_id
        assert key is not None
        return key


class UserSignup(User):
    """An account was created."""

    type: Literal["user.signup"] = "user.signup"
    source: Label
    """How the person found the platform: organic, referral, social or a name of your own."""


class SessionStart(User):
    """A visit began."""

    type: Literal["session.start"] = "session.start"


class PageView(User):
    """A page was shown."""

    type: Literal["page.view"] = "page.view"
    path: Text


class SessionEnd(User):
    """A visit ended."""

    type: Literal["session.end"] = "session.end"


class VideoUpload(User):
    """A person uploaded a video."""

    type: Literal["video.upload"] = "video.upload"
    video_id: Identifier


class VideoLike(User):
    """A person liked a video."""

    type: Literal["video.like"] = "video.like"
    video_id: Identifier


class VideoComment(User):
    """A person commented on a video."""

    type: Literal["video.comment"] = "video.comment"
    video_id: Identifier


class VideoShare(User):
    """A person shared a video."""

    type: Literal["video.share"] = "video.share"
    video_id: Identifier


class System(Event):
    """An event of a service of the platform: an action, a host sample or a probe."""

    channel: ClassVar[Channel] = "systems"

    service: Identifier
    """Name of the service that sends the event."""

    @property
    def key(self) -> str:
        """Return the service."""
        return self.service


class ApiRequest(System):
    """A service answered an HTTP request."""

    type: Literal["api.request"] = "api.request"
    endpoint: Text
    """Route template, such as /videos/{id}. A path with ids would be an endpoint of its own."""
    method: Label
    status: Status
    duration_ms: DurationMs


class Job(System):
    """A background job changed its state. `finished` carries `duration_ms`."""

    type: Literal["job"] = "job"
    job_type: Label
    """video, thumbnail or a name of your own."""
    job_id: Identifier
    state: Literal["queued", "started", "finished", "failed"]
    duration_ms: DurationMs = 0.0


class StorageOp(System):
    """A service read from or wrote to storage."""

    type: Literal["storage.op"] = "storage.op"
    op: Literal["read", "write"]
    ok: bool
    bytes: Moved


class HostSample(System):
    """Resource usage of a host: `cpu` as a share of all cores, `load` over 1, 5 and 15 minutes."""

    type: Literal["host.sample"] = "host.sample"
    host: Identifier
    cpu: Share
    load: tuple[Load, Load, Load]
    memory_used_bytes: Size
    memory_total_bytes: Size
    storage_used_bytes: Size
    storage_total_bytes: Size


class HealthProbe(System):
    """A health check of a service passed or failed."""

    type: Literal["health.probe"] = "health.probe"
    ok: bool


class CatalogEntry(Outgoing):
    """A video's metadata; the newest entry applies."""

    channel: ClassVar[Channel] = "catalog"

    video_id: Identifier
    title: Text
    """Title, as shown in rankings."""
    duration_ms: Length | None = None
    """Length of the content in milliseconds."""
    owner_id: Identifier | None = None
    published_at: Instant | None = None
    live: bool = False
    """Whether this is a live stream, which has no completion rate."""

    @property
    def key(self) -> str:
        """Return the video's id."""
        return self.video_id
