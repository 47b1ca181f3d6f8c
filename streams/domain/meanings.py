"""What each field of the events means, in a sentence; a test fails while a field has none."""

from __future__ import annotations

from typing import Final

#: What fields mean, by name; `Type.field` where a type means something of its own.
_MEANINGS: Final = {
    "type": "Which event this is.",
    "eventId": "Unique; the idempotency key. The same id again is the same event.",
    "occurredAt": "When it happened, by the client's clock: epoch milliseconds, or RFC 3339 with an offset.",
    "sentAt": "The client's clock when it sent this: corrects `occurredAt` by the record's timestamp.",
    "sessionId": "The visit.",
    "userId": "Who, when signed in. One of `userId` and `viewerId` is required.",
    "viewerId": "Who, when not signed in: an id of the browser or the app.",
    "country": "ISO 3166-1 alpha-2, in either case; what is not two letters counts as `unknown`.",
    "device": "desktop, mobile, tablet, tv or other; anything else counts as `other`, nothing as `unknown`.",
    "platform": "web, ios, android, tv or other; anything else counts as `other`, nothing as `unknown`.",
    "videoId": "The video.",
    "viewId": "The playback: a new one each time that a video is loaded into a player.",
    "seq": "Counts up from 0 within the view; repeats are known by it. 64 behind the newest is too late.",
    "startedAt": "When the first frame was shown: corrected as `occurredAt` is, and never later than that.",
    "startupMs": "From the request to play to the first frame, in milliseconds.",
    "durationMs": "How long it took, in milliseconds.",
    "ViewStart.durationMs": "Length of the content in milliseconds; the catalog's when left out or 0.",
    "CatalogEntry.durationMs": "Length of the content in milliseconds.",
    "Job.durationMs": "How long the job took, in milliseconds: read of `finished`, 0 when left out.",
    "watchedMs": "Milliseconds watched in this view so far: a total.",
    "rebufferMs": "Milliseconds stalled in this view so far, without the start-up: a total.",
    "rebufferCount": "Stalls in this view so far: a total.",
    "bitrateKbps": "Kilobits a second since the last event.",
    "fromMs": "Where in the content the stretch played since the last event began, in milliseconds.",
    "toMs": "Where in the content that stretch ended, in milliseconds.",
    "code": "The player's error code.",
    "fatal": "Whether playback cannot go on.",
    "reason": "Whether the content ended or the viewer left.",
    "source": "Where the person came from: organic, referral, social or a name of your own.",
    "path": "Path of the page.",
    "service": "The service that says so.",
    "endpoint": "Route template, such as /videos/{id}: a path with ids in it would be a line of its own.",
    "method": "HTTP method.",
    "status": "HTTP status.",
    "jobType": "video, thumbnail or a name of your own.",
    "jobId": "The job.",
    "state": "What the job has become.",
    "op": "What was done.",
    "ok": "Whether it went well.",
    "bytes": "How much was read or written.",
    "host": "The host.",
    "cpu": "Share of all cores, 0 to 1.",
    "load": "Load over 1, 5 and 15 minutes.",
    "memoryUsedBytes": "Memory in use.",
    "memoryTotalBytes": "Memory there is.",
    "storageUsedBytes": "Storage in use.",
    "storageTotalBytes": "Storage there is.",
    "title": "Shown in rankings.",
    "ownerId": "Whose video it is.",
    "publishedAt": "When it was published.",
    "live": "A live stream: it has no completion rate.",
}


def meaning(kind: str, field: str) -> str:
    """Return what a field of a struct means. Raises `KeyError` for a field that nobody described."""
    return _MEANINGS.get(f"{kind}.{field}") or _MEANINGS[field]
