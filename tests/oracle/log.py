"""Records as Kafka delivers them, and which of them count: those valid, young enough, and not seen before.

Rules (docs/events.md). A record's corrected time is its own timestamp minus the client's delay
(`sentAt - occurredAt`), or `occurredAt` when the event has no `sentAt`; a time more than five minutes
after the record's timestamp becomes that timestamp. An event that on arrival is older than the retention
of raw events, or belongs to a view that began before that, is a dead letter.

Within a view a sequence number counts once, and only while it is less than 64 behind the highest one
accepted (RFC 4303). Elsewhere an `eventId` counts once for each user, and for each service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

PLAYBACK = "playback.events"
USERS = "user.events"
SYSTEM = "system.events"
CATALOG = "video.catalog"

RETENTION_DAYS = 180
_DAY_MS = 86_400_000
_SKEW_MS = 5 * 60_000
_WINDOW = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record; `timestamp` in epoch milliseconds.

    `fault` names the class of dead letter that the record must become, or is None when its value keeps
    the contract (the event may still be too old: this module decides that).
    """

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp: int
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that counts. `at` and `started_at` are corrected, in epoch milliseconds."""

    topic: str
    event: dict[str, Any]
    at: int
    started_at: int | None
    #: Length of the event's video by the catalog at this moment, in milliseconds; None when unknown.
    catalog_ms: int | None


@dataclass(slots=True)
class Log:
    """What became of every record: `accepted`, `told`, `repeated`, `late` and `dead` add up to all."""

    accepted: list[Accepted] = field(default_factory=list)
    #: The newest catalog entry of each video; a deleted video has none.
    catalog: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Number of valid catalog records, deletions included.
    told: int = 0
    repeated: dict[str, int] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    #: Dead letters with their class, in the order of delivery.
    dead: list[tuple[Record, str]] = field(default_factory=list)


def read(delivered: list[Record]) -> Log:
    """Go through the records in the order of delivery."""
    log = Log()
    highest: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, ...]] = set()
    for record in delivered:
        if record.fault is not None:
            log.dead.append((record, record.fault))
            continue
        if record.topic == CATALOG:
            log.told += 1
            if record.value is None:
                assert record.key is not None
                log.catalog.pop(record.key.decode(), None)
            else:
                entry = json.loads(record.value)
                log.catalog[entry["videoId"]] = entry
            continue
        assert record.value is not None
        event = json.loads(record.value)
        at, started_at = corrected_times(event, record.timestamp)
        oldest = record.timestamp - RETENTION_DAYS * _DAY_MS
        if at < oldest or (started_at is not None and started_at < oldest):
            log.dead.append((record, "TooOld"))
            continue
        if record.topic == PLAYBACK:
            view = (event["videoId"], event["viewId"])
            seq = event["seq"]
            if seq <= highest.get(view, seq) - _WINDOW:
                log.late[record.topic] = log.late.get(record.topic, 0) + 1
                continue
            identity: tuple[str, ...] = (record.topic, *view, str(seq))
            highest[view] = max(seq, highest.get(view, seq))
        elif record.topic == USERS:
            identity = (record.topic, user_of(event), event["eventId"])
        else:
            identity = (record.topic, event["service"], event["eventId"])
        if identity in seen:
            log.repeated[record.topic] = log.repeated.get(record.topic, 0) + 1
            continue
        seen.add(identity)
        length = log.catalog.get(event.get("videoId", ""), {}).get("durationMs")
        log.accepted.append(Accepted(record.topic, event, at, started_at, length or None))
    return log


def corrected_times(event: dict[str, Any], timestamp: int) -> tuple[int, int | None]:
    """Return when the event happened and when its view started (None if it does not say)."""
    shift = timestamp - instant(event["sentAt"]) if event.get("sentAt") is not None else 0
    at = instant(event["occurredAt"]) + shift
    if at > timestamp + _SKEW_MS:
        at = timestamp
    # Only these have `startedAt`: an attempt precedes the first frame; a `view.start` is the first frame.
    after_first_frame = event["type"] in ("view.progress", "view.error", "view.end")
    if not after_first_frame or event.get("startedAt") is None:
        return at, None
    return at, min(instant(event["startedAt"]) + shift, at)


def instant(value: int | str) -> int:
    """Return a time field as epoch milliseconds."""
    if isinstance(value, int):
        return value
    return (datetime.fromisoformat(value) - _EPOCH) // timedelta(milliseconds=1)


def user_of(event: dict[str, Any]) -> str:
    """Return the event's user: `userId`, else `viewerId`."""
    user = event.get("userId") or event["viewerId"]
    assert isinstance(user, str)
    return user
