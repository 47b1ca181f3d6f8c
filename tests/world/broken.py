"""Records that break the contract, and the class of dead letter each must become."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.oracle.log import CATALOG, PLAYBACK, SYSTEM, USERS

#: A valid event of each topic, from which the broken ones are made.
SOUND: dict[str, dict[str, Any]] = {
    PLAYBACK: {
        "eventId": "broken", "type": "view.progress", "occurredAt": 1_790_000_000_000, "videoId": "vid_0001",
        "viewId": "broken-view", "seq": 3, "sessionId": "s", "userId": "u", "startedAt": 1_790_000_000_000,
        "watchedMs": 1000, "rebufferMs": 0, "rebufferCount": 0,
    },
    USERS: {
        "eventId": "broken", "type": "video.like", "occurredAt": 1_790_000_000_000, "sessionId": "s",
        "userId": "u", "videoId": "vid_0001",
    },
    SYSTEM: {
        "eventId": "broken", "type": "api.request", "occurredAt": 1_790_000_000_000, "service": "gateway",
        "endpoint": "/", "method": "GET", "status": 200, "durationMs": 1.5,
    },
    CATALOG: {"videoId": "vid_0001", "title": "broken", "durationMs": 1000},
}  # fmt: skip

#: Required fields by topic; `type` is tested separately, because without it an event has no known kind.
_REQUIRED = {
    PLAYBACK: ("eventId", "occurredAt", "videoId", "viewId", "seq", "sessionId", "userId", "startedAt",
               "watchedMs", "rebufferMs", "rebufferCount"),
    USERS: ("eventId", "occurredAt", "sessionId", "userId", "videoId"),
    SYSTEM: ("eventId", "occurredAt", "service", "endpoint", "method", "status", "durationMs"),
    CATALOG: ("videoId", "title"),
}  # fmt: skip

#: Values that a field cannot have, by topic.
_ILL_TYPED: dict[str, list[tuple[str, Any]]] = {
    PLAYBACK: [
        ("eventId", ""), ("eventId", "e" * 65), ("eventId", 5), ("occurredAt", "yesterday"),
        ("occurredAt", "2026-06-01T12:00:00"), ("occurredAt", -1), ("occurredAt", 10**18),
        ("occurredAt", None), ("sentAt", "2026-13-01T00:00:00Z"), ("seq", -1), ("seq", 1.5), ("seq", "3"),
        ("seq", True), ("seq", 10**400), ("watchedMs", -5), ("watchedMs", 10**12), ("watchedMs", 1e30),
        ("watchedMs", "12"), ("watchedMs", None), ("videoId", ""), ("videoId", "v" * 129),
        ("viewId", ["w"]), ("videoId", {"id": 1}), ("fromMs", -1), ("bitrateKbps", "2500k"),
        ("country", "C" * 65), ("userId", ""),
    ],
    USERS: [("videoId", 7), ("userId", {}), ("sessionId", None), ("eventId", "é" * 65)],
    SYSTEM: [
        ("status", 99), ("status", 600), ("status", "200"), ("durationMs", -0.1), ("durationMs", "1"),
        ("service", ""),
    ],
    CATALOG: [("durationMs", -1), ("durationMs", 2**60), ("durationMs", "1000"), ("live", "yes"),
              ("title", 1), ("publishedAt", "soon")],
}  # fmt: skip

_LARGE = 5_000_000


def broken(topic: str) -> Iterator[tuple[list[bytes | None], str]]:
    """Yield runs of consecutive values, with the dead-letter class that each value of the run must get.

    The class is one word for the whole run, or one word for each value, separated by spaces.
    """
    sound = json.dumps(SOUND[topic]).encode()
    other = json.dumps(SOUND[topic] | {"eventId": "broken-too"}).encode()
    yield [b""], "Empty"
    if topic != CATALOG:
        yield [None], "Empty"
    for value in (
        b" ", b"\n\n", b"nonsense", b"{", b"}", b"\x00" * 64, b"\xff\xfe\xfd", sound[:-1],
        sound[: len(sound) // 2], sound + b"\x00", sound.replace(b'"broken"', b'"bro\x00ken"'),
        sound.replace(b'"broken"', b'"bro\nken"'), sound.replace(b'"broken"', b'"bro\xffken"'),
        sound.replace(b'"broken"', b'"\\ud800"'),
        b"\xef\xbb\xbf" + sound, sound.decode().encode("utf-16"), sound.replace(b"{", b"{,", 1),
        sound.replace(b'"', b"'"), b"x" * _LARGE if topic == PLAYBACK else b"x",
        # Two objects in one record, with any separator.
        sound + other, sound + b" " + other, sound + b"\n" + other, sound + b"," + other,
        sound + b"\r" + other,
    ):  # fmt: skip
        yield [value], "NotJson"
    for value in (b"[]", b"null", b'"text"', b"12", b"true", b"[" + sound + b"]"):
        yield [value], "Invalid"
    # Records whose bytes form valid events only when concatenated, with any separator. The run holds as many
    # events as records, so that comparing the two counts does not reveal the fault.
    for parted in (b" ", b",", b""):
        half = sound.index(b",") + (parted != b",")
        yield (
            [sound + parted + other, sound[:half], sound[half:]],
            "NotJson NotJson " + ("Invalid" if parted != b"," else "NotJson"),
        )
        yield [sound + parted + other, b""], "NotJson Empty"
    if topic != CATALOG:
        yield [json.dumps(SOUND[topic] | {"type": "no.such"}).encode()], "UnknownType"
        yield [json.dumps({k: v for k, v in SOUND[topic].items() if k != "type"}).encode()], "UnknownType"
        yield [json.dumps(SOUND[topic] | {"type": 7}).encode()], "UnknownType"
        yield [json.dumps(SOUND[topic] | {"type": None}).encode()], "UnknownType"
        foreign = SOUND[USERS if topic != USERS else SYSTEM]
        yield [json.dumps(SOUND[topic] | {"type": foreign["type"]}).encode()], "UnknownType"
    for name in _REQUIRED[topic]:
        yield [json.dumps({k: v for k, v in SOUND[topic].items() if k != name}).encode()], "Invalid"
    for name, value in _ILL_TYPED[topic]:
        yield [json.dumps(SOUND[topic] | {name: value}).encode()], "Invalid"
    for nested in (b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000):
        yield [sound[:-1] + b',"unknown":' + nested + b"}"], "TooDeep"
