"""The usual mistakes of producers: each dead letter says what to change in the producer."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from streams.domain.arrivals import Arrival, Decoder, Rejected, receive
from streams.domain.events import PlaybackEvent
from tests.oracle.log import PLAYBACK
from tests.world.broken import SOUND
from tests.world.feed import Taken

NOW = 1_790_000_000_000
DAY = 86_400_000
RETENTION_MS = 180 * DAY
EVENT: dict[str, Any] = SOUND[PLAYBACK] | {"occurredAt": NOW, "startedAt": NOW - 60_000}
JSON = json.dumps(EVENT).encode()


def taken(value: bytes, at: int = NOW) -> Arrival[Any] | Rejected:
    record = Taken(0, at, b"key", value)
    (event,) = Decoder(PlaybackEvent).decode([record])
    return event if isinstance(event, Rejected) else receive(record, event, RETENTION_MS)


def with_(**fields: Any) -> bytes:
    return json.dumps(EVENT | fields).encode()


OLD = "is older than the retention of raw events"
MISTAKES = {
    "byte order mark": (b"\xef\xbb\xbf" + JSON, "NotJson", "a byte order mark: write UTF-8 without one"),
    "utf-16": (json.dumps(EVENT).encode("utf-16"), "NotJson", "UTF-16: write UTF-8"),
    "latin-1": (JSON[:-1] + b', "device": "\xfc"}', "NotJson", "not UTF-8 (byte "),
    "gzip": (gzip.compress(JSON), "NotJson", "let the Kafka client compress it"),
    "avro file": (b"Obj\x01\x04\x14avro.codec", "NotJson", "an Avro file: write JSON"),
    "schema registry": (b"\x00\x00\x00\x00\x07" + JSON, "NotJson", "a schema registry's header"),
    "protobuf": (b"\n\x0aview.start\x18\x96\x01", "NotJson", "not a binary format"),
    "web page": (b"<html>502", "NotJson", "begins with b'<html>50', not with {"),
    "two lines": (JSON + b"\n" + JSON, "NotJson", "each event as a record of its own"),
    "array": (b"[" + JSON + b"]", "Invalid", "send each event as a record of its own"),
    "serialized twice": (json.dumps(JSON.decode()).encode(), "Invalid", "serialized twice"),
    "other topic": (with_(type="video.like"), "UnknownType", "the topic takes view.attempt, view.start, "),
    "envelope": (b'{"data": ' + JSON + b', "id": 1}', "UnknownType", "there are `data`, `id`"),
    "snake case": (b'{"type": "view.end", "event_id": "1"}', "Invalid", "there are `type`, `event_id`"),
    "and more behind": (b'{"type": "view.end", "event_id": "1"}}', "Invalid", "required field `eventId`"),
    "other value": (with_(type="view.end", reason="done"), "Invalid", "`$.reason`: one of ended, exited"),
    "fraction": (with_(watchedMs=1.0), "Invalid", "whole numbers without a fraction or exponent"),
    "seconds with fraction": (with_(occurredAt=NOW / 1000 + 0.5), "Invalid", "epoch milliseconds as a whole"),
    "sent with fraction": (with_(sentAt=NOW + 0.5), "Invalid", "epoch milliseconds as a whole"),
    "microseconds": (with_(occurredAt=NOW * 1000), "Invalid", "not microseconds or nanoseconds"),
    "no offset": (with_(occurredAt="2026-11-23T19:30:00"), "Invalid", "write 2026-11-23T19:30:00Z, or"),
    "number as text": (with_(occurredAt=str(NOW)), "Invalid", "or epoch milliseconds as a number"),
    "seconds": (with_(occurredAt=NOW // 1000), "TooOld", f"`occurredAt` {OLD}: it looks like seconds"),
    "start in seconds": (with_(startedAt=NOW // 1000), "TooOld", f"`startedAt` {OLD}: it looks like seconds"),
    "long ago": (with_(occurredAt=NOW - 200 * DAY), "TooOld", f"`occurredAt` {OLD}"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_dead_letter_says_what_to_change_in_the_producer(name: str) -> None:
    value, error, words = MISTAKES[name]
    assert isinstance(rejected := taken(value), Rejected)
    assert rejected.error == error
    assert words in rejected.reason
    assert ("looks like seconds" in rejected.reason) is ("seconds" in name.split() and "fraction" not in name)


def test_a_record_whose_own_timestamp_is_in_seconds_is_told_so() -> None:
    assert isinstance(rejected := taken(JSON, NOW // 1000), Rejected)
    assert (rejected.error, "in seconds" in rejected.reason) == ("TooOld", True)


@pytest.mark.parametrize("occurred", [NOW - 5_000, NOW // 1000 - 5])
@pytest.mark.parametrize("late", [-3_000_000, 0, 3_000_000])
def test_a_clock_in_seconds_is_rejected_because_it_would_shift_times_unseen(occurred: int, late: int) -> None:
    sent = (NOW - late) // 1000
    started = occurred
    assert isinstance(rejected := taken(with_(occurredAt=occurred, startedAt=started, sentAt=sent)), Rejected)
    assert (rejected.error, rejected.reason) == (
        "Invalid",
        "`sentAt` is in seconds: write epoch milliseconds",
    )


@pytest.mark.parametrize("sent", [0, 20 * DAY, NOW // 1000 - 3_600_001, NOW - 30 * 365 * DAY])
def test_a_clock_that_began_in_1970_is_corrected(sent: int) -> None:
    occurred = max(sent - 5_000, 0)
    arrival = taken(with_(occurredAt=occurred, startedAt=occurred, sentAt=sent))
    assert isinstance(arrival, Arrival)
    assert arrival.at == NOW - min(sent, 5_000)


def test_a_large_record_is_not_listed() -> None:
    fields = {f"field{number}": number for number in range(100_000)}
    assert isinstance(rejected := taken(json.dumps({"type": "view.end"} | fields).encode()), Rejected)
    assert rejected.reason == "Object missing required field `eventId`"
