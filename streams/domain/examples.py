"""One example of every event type, as a producer sends it: a viewer's evening, and the service behind it.

The published documents show them and a test decodes each, so an example that no longer holds is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

Example = dict[str, Any]

_PERSON: Final[Example] = {
    "sessionId": "ses_7f3a",
    "userId": "usr_ana",
    "country": "DE",
    "device": "mobile",
    "platform": "ios",
}
_VIEW: Final[Example] = {"videoId": "vid_42", "viewId": "view_9c1e", **_PERSON}
_STARTED: Final = "2026-11-23T19:30:01.120Z"
_SERVICE: Final[Example] = {"service": "gateway"}

_EVENTS: Final[dict[str, Example]] = {
    "view.attempt": {
        "type": "view.attempt",
        "eventId": "evt_0101",
        "occurredAt": "2026-11-23T19:30:00.000Z",
        "seq": 0,
        **_VIEW,
    },
    "view.start": {
        "type": "view.start",
        "eventId": "evt_0102",
        "occurredAt": _STARTED,
        "sentAt": "2026-11-23T19:30:01.150Z",
        "seq": 1,
        **_VIEW,
        "startupMs": 1120,
        "durationMs": 600_000,
    },
    "view.progress": {
        "type": "view.progress",
        "eventId": "evt_0103",
        "occurredAt": "2026-11-23T19:30:11.500Z",
        "seq": 2,
        **_VIEW,
        "startedAt": _STARTED,
        "watchedMs": 10_000,
        "rebufferMs": 380,
        "rebufferCount": 1,
        "bitrateKbps": 2500,
        "fromMs": 0,
        "toMs": 10_000,
    },
    "view.error": {
        "type": "view.error",
        "eventId": "evt_0104",
        "occurredAt": "2026-11-23T19:30:15.000Z",
        "seq": 3,
        **_VIEW,
        "startedAt": _STARTED,
        "code": "SEGMENT_TIMEOUT",
        "fatal": False,
    },
    "view.end": {
        "type": "view.end",
        "eventId": "evt_0105",
        "occurredAt": "2026-11-23T19:33:21.500Z",
        "seq": 4,
        **_VIEW,
        "startedAt": _STARTED,
        "reason": "exited",
        "watchedMs": 200_000,
        "rebufferMs": 380,
        "rebufferCount": 1,
        "bitrateKbps": 2500,
        "fromMs": 10_000,
        "toMs": 200_000,
    },
    "user.signup": {
        "type": "user.signup",
        "eventId": "evt_0201",
        "occurredAt": 1_795_462_080_000,
        **_PERSON,
        "source": "referral",
    },
    "session.start": {
        "type": "session.start",
        "eventId": "evt_0202",
        "occurredAt": 1_795_462_100_000,
        **_PERSON,
    },
    "page.view": {
        "type": "page.view",
        "eventId": "evt_0203",
        "occurredAt": 1_795_462_101_250,
        "sentAt": 1_795_462_101_400,
        "sessionId": "ses_b210",
        "viewerId": "anon_51d0",
        "path": "/watch/vid_42",
    },
    "session.end": {
        "type": "session.end",
        "eventId": "evt_0204",
        "occurredAt": 1_795_462_500_000,
        **_PERSON,
    },
    "video.upload": {
        "type": "video.upload",
        "eventId": "evt_0205",
        "occurredAt": 1_795_462_200_000,
        **_PERSON,
        "videoId": "vid_43",
    },
    "video.like": {
        "type": "video.like",
        "eventId": "evt_0206",
        "occurredAt": 1_795_462_210_000,
        **_PERSON,
        "videoId": "vid_42",
    },
    "video.comment": {
        "type": "video.comment",
        "eventId": "evt_0207",
        "occurredAt": 1_795_462_220_000,
        **_PERSON,
        "videoId": "vid_42",
    },
    "video.share": {
        "type": "video.share",
        "eventId": "evt_0208",
        "occurredAt": 1_795_462_230_000,
        **_PERSON,
        "videoId": "vid_42",
    },
    "api.request": {
        "type": "api.request",
        "eventId": "evt_0301",
        "occurredAt": 1_795_462_101_260,
        **_SERVICE,
        "endpoint": "/videos/{id}",
        "method": "GET",
        "status": 200,
        "durationMs": 12.4,
    },
    "job": {
        "type": "job",
        "eventId": "evt_0302",
        "occurredAt": 1_795_462_300_000,
        "service": "transcoder",
        "jobType": "thumbnail",
        "jobId": "job_88",
        "state": "finished",
        "durationMs": 5300,
    },
    "storage.op": {
        "type": "storage.op",
        "eventId": "evt_0303",
        "occurredAt": 1_795_462_300_100,
        "service": "transcoder",
        "op": "write",
        "ok": True,
        "bytes": 48_213,
    },
    "host.sample": {
        "type": "host.sample",
        "eventId": "evt_0304",
        "occurredAt": 1_795_462_310_000,
        **_SERVICE,
        "host": "web-1",
        "cpu": 0.31,
        "load": [1.2, 0.9, 0.7],
        "memoryUsedBytes": 3_221_225_472,
        "memoryTotalBytes": 8_589_934_592,
        "storageUsedBytes": 64_424_509_440,
        "storageTotalBytes": 214_748_364_800,
    },
    "health.probe": {
        "type": "health.probe",
        "eventId": "evt_0305",
        "occurredAt": 1_795_462_320_000,
        **_SERVICE,
        "ok": True,
    },
}

#: By the event's name on the wire, each view's and person's in the order they happened. Read-only: what takes
#: one out and puts it back changes that order for everyone in the process.
EVENTS: Final[Mapping[str, Example]] = MappingProxyType(_EVENTS)

#: The value of a catalog record.
CATALOG_ENTRY: Final[Example] = {
    "videoId": "vid_42",
    "title": "How a bill becomes a playlist",
    "durationMs": 600_000,
    "ownerId": "usr_ben",
    "publishedAt": "2026-11-20T08:00:00Z",
    "live": False,
}
