"""One sentence about each event field; a test fails if a field has none."""

from __future__ import annotations

from typing import Final

#: Meanings by field name, or by `Type.field` where a field means something else in one type.
_MEANINGS: Final = {
    "type": "The event type.",
    "eventId": "Unique id and idempotency key: an event with the same id is the same event.",
    "occurredAt": "Time of the event by the client's clock: epoch milliseconds, or RFC 3339 with an offset.",
    "sentAt": "The client's clock when it sent the event: corrects `occurredAt` with the record's timestamp.",
    "sessionId": "Id of the visit.",
    "userId": "Id of a signed-in user. One of `userId` and `viewerId` is required.",
    "viewerId": "Id of the browser or app of a person who is not signed in.",
    "country": "ISO 3166-1 alpha-2, in either case; anything but two letters counts as `unknown`.",
    "device": "desktop, mobile, tablet, tv or other; other text counts as `other`, no value as `unknown`.",
    "platform": "web, ios, android, tv or other; other text counts as `other`, no value as `unknown`.",
    "videoId": "Id of the video.",
    "viewId": "Id of the playback (view): a new one each time a video is loaded into a player.",
    "seq": "Counts up from 0 within the view; identifies repeats. 64 or more behind the newest is too late.",
    "startedAt": "When the first frame was shown: corrected as `occurredAt` is, and never later than that.",
    "startupMs": "Milliseconds from the request to play to the first frame.",
    "durationMs": "Duration in milliseconds.",
    "ViewStart.durationMs": "Length of the content in milliseconds; if absent or 0, the catalog's length.",
    "CatalogEntry.durationMs": "Length of the content in milliseconds.",
    "Job.durationMs": "Milliseconds the job took: used only for `finished`; absent or 0 if unknown.",
    "watchedMs": "Milliseconds watched in this view so far: a total.",
    "rebufferMs": "Milliseconds stalled in this view so far, excluding start-up: a total.",
    "rebufferCount": "Stalls in this view so far: a total.",
    "bitrateKbps": "Kilobits per second since the last event.",
    "fromMs": "Start of the stretch of content played since the last event: milliseconds into the content.",
    "toMs": "End of that stretch: milliseconds into the content.",
    "code": "The player's error code.",
    "fatal": "Whether the error ended playback.",
    "reason": "Whether the content ended or the viewer left.",
    "source": "How the person found the platform: organic, referral, social or a name of your own.",
    "path": "Path of the page.",
    "service": "Name of the service that sends the event.",
    "endpoint": "Route template, such as /videos/{id}. A path with ids would be an endpoint of its own.",
    "method": "HTTP method.",
    "status": "HTTP status code.",
    "jobType": "video, thumbnail or a name of your own.",
    "jobId": "Id of the job.",
    "state": "The job's new state.",
    "op": "The operation.",
    "ok": "Whether it succeeded.",
    "bytes": "Bytes read or written.",
    "host": "Name of the host.",
    "cpu": "CPU usage as a share of all cores, 0 to 1.",
    "load": "Load averages over 1, 5 and 15 minutes.",
    "memoryUsedBytes": "Memory in use.",
    "memoryTotalBytes": "Total memory.",
    "storageUsedBytes": "Storage in use.",
    "storageTotalBytes": "Total storage.",
    "title": "Title, as shown in rankings.",
    "ownerId": "User id of the video's owner.",
    "publishedAt": "When the video was published.",
    "live": "Whether this is a live stream, which has no completion rate.",
}


def meaning(kind: str, field: str) -> str:
    """Return the meaning of a struct's field. Raises `LookupError` for a field without one."""
    found = _MEANINGS.get(f"{kind}.{field}") or _MEANINGS.get(field)
    if found is None:
        raise LookupError(f"streams/domain/meanings.py: add a sentence that says what {kind}.{field} means")
    return found
