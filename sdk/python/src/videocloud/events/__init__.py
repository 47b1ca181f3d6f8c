"""Events for the platform: a class for each event, a session that reports a view, and senders.

`types` has the events, made of the parts in `model` and `ids`; `playback` is the session. `resource` is
`client.events`; `sender` is the interface of senders, and `kafka` sends to Kafka.
"""

from videocloud.events.model import Event, Outgoing
from videocloud.events.playback import PlaybackSession
from videocloud.events.sender import EventSender, MemorySender, Record, Topics
from videocloud.events.types import (
    ApiRequest,
    CatalogEntry,
    HealthProbe,
    HostSample,
    Job,
    PageView,
    SessionEnd,
    SessionStart,
    StorageOp,
    UserSignup,
    VideoComment,
    VideoLike,
    VideoShare,
    VideoUpload,
    ViewAttempt,
    ViewEnd,
    ViewError,
    ViewProgress,
    ViewStart,
)

__all__ = [
    "ApiRequest",
    "CatalogEntry",
    "Event",
    "EventSender",
    "HealthProbe",
    "HostSample",
    "Job",
    "MemorySender",
    "Outgoing",
    "PageView",
    "PlaybackSession",
    "Record",
    "SessionEnd",
    "SessionStart",
    "StorageOp",
    "Topics",
    "UserSignup",
    "VideoComment",
    "VideoLike",
    "VideoShare",
    "VideoUpload",
    "ViewAttempt",
    "ViewEnd",
    "ViewError",
    "ViewProgress",
    "ViewStart",
]
