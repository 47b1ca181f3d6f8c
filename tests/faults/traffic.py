"""A stream of numbered, keyed, known events, generated while it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.oracle.log import PLAYBACK, SYSTEM, USERS, Record

DAY_MS = 86_400_000
_VIDEOS = 8
_VIEWS_AT_ONCE = 40
_REMEMBERED = 500


@dataclass
class _View:
    """One playback under way."""

    name: str
    video: str
    user: str
    started: int = 0
    seq: int = 0
    watched: int = 0
    stalled: int = 0
    stalls: int = 0


@dataclass
class Mix:
    """Shares of abnormal records (repeats, poison, wrong clocks), and the size of one huge record.

    A huge record is an event, or rubbish when its size is negative.
    """

    repeated: float = 0.02
    poison: float = 0.002
    wrong_clock: float = 0.0
    huge_bytes: int = 0


class Traffic:
    """Makes records one after the other; each event has the next number as its id."""

    def __init__(self, seed: int, mix: Mix) -> None:
        """Begin the stream that belongs to a seed."""
        self._rng = Random(seed)
        self.mix = mix
        self.number = 0
        self._views: list[_View] = []
        self._recent: list[Record] = []

    def next(self, now_ms: int) -> Record:
        """Return the next record, which is stamped `now_ms`."""
        rng, mix = self._rng, self.mix
        if mix.huge_bytes:
            size, mix.huge_bytes = mix.huge_bytes, 0
            return self._huge(now_ms, size)
        kind = rng.random()
        if kind < mix.poison:
            return self._poison(now_ms)
        if kind < mix.poison + mix.repeated and self._recent:
            again = rng.choice(self._recent)
            return Record(again.topic, again.key, again.value, now_ms)
        topic, key, event = self._event(now_ms)
        if rng.random() < mix.wrong_clock:
            off = rng.choice((-3, 3)) * DAY_MS
            event["occurredAt"] += off
            if "startedAt" in event:
                event["startedAt"] += off
            if rng.random() < 0.5:
                event["sentAt"] = now_ms + off  # Lets the product correct the event's times.
        record = Record(topic, key.encode(), json.dumps(event).encode(), now_ms)
        self._recent.append(record)
        if len(self._recent) > _REMEMBERED:
            self._recent.pop(rng.randrange(_REMEMBERED))
        return record

    def _event(self, now: int) -> tuple[str, str, dict[str, Any]]:
        self.number += 1
        event: dict[str, Any] = {"eventId": f"e{self.number}", "occurredAt": now}
        kind = self._rng.random()
        if kind < 0.7:
            return self._playback(event, now)
        if kind < 0.85:
            return self._user(event)
        return self._system(event)

    def _playback(self, event: dict[str, Any], now: int) -> tuple[str, str, dict[str, Any]]:
        rng = self._rng
        if len(self._views) < _VIEWS_AT_ONCE:
            view = _View(f"w{self.number}", f"v{rng.randrange(_VIDEOS)}", f"u{rng.randrange(500)}")
            self._views.append(view)
        else:
            view = rng.choice(self._views)
        event |= {"videoId": view.video, "viewId": view.name, "seq": view.seq}
        event |= {"userId": view.user, "sessionId": f"s{view.name}", "device": "tv", "platform": "web"}
        event["country"] = rng.choice(("DE", "GB", "BR"))
        view.seq += 1
        if not view.started:
            if view.seq == 1 and rng.random() < 0.5:
                return PLAYBACK, view.name, event | {"type": "view.attempt"}
            view.started = now
            return PLAYBACK, view.name, event | {"type": "view.start", "startupMs": 300, "durationMs": 60_000}
        begin = view.watched
        view.watched += rng.randrange(1, 9000)
        if rng.random() < 0.1:
            view.stalled += 250
            view.stalls += 1
        event |= {"startedAt": view.started, "watchedMs": view.watched, "rebufferMs": view.stalled}
        event |= {"rebufferCount": view.stalls, "bitrateKbps": rng.choice((800, 2500, 6000))}
        event |= {"fromMs": min(begin, 60_000), "toMs": min(view.watched, 60_000)}
        if view.watched > 60_000 or view.seq > 40:
            self._views.remove(view)
            return PLAYBACK, view.name, event | {"type": "view.end", "reason": "ended"}
        return PLAYBACK, view.name, event | {"type": "view.progress"}

    def _user(self, event: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        rng = self._rng
        user = f"u{rng.randrange(500)}"
        event |= {"userId": user, "sessionId": f"t{user}-{self.number // 1000}", "device": "mobile"}
        kind = rng.choice(("page.view", "video.like", "video.comment", "video.share", "user.signup"))
        event["type"] = kind
        if kind == "page.view":
            event["path"] = "/home"
        elif kind == "user.signup":
            event["source"] = "organic"
        else:
            event["videoId"] = f"v{rng.randrange(_VIDEOS)}"
        return USERS, user, event

    def _system(self, event: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
        rng = self._rng
        service = f"service-{rng.randrange(6)}"
        event |= {"service": service, "type": "api.request", "endpoint": "/videos", "method": "GET"}
        event |= {"status": rng.choice((200, 200, 200, 500)), "durationMs": rng.randrange(1, 400) / 2}
        return SYSTEM, service, event

    def _poison(self, now: int) -> Record:
        rng = self._rng
        self.number += 1
        topic = rng.choice((PLAYBACK, USERS, SYSTEM))
        key = f"poison-{self.number}".encode()
        kind = rng.randrange(4)
        if kind == 0:
            return Record(topic, key, rng.randbytes(200), now, "NotJson")
        if kind == 1:
            return Record(topic, key, b"", now, "Empty")
        if kind == 2:
            value = {"type": "no.such.thing", "eventId": f"e{self.number}", "occurredAt": now}
            return Record(topic, key, json.dumps(value).encode(), now, "UnknownType")
        value = {"type": "video.like", "eventId": 5, "occurredAt": now}
        return Record(USERS, key, json.dumps(value).encode(), now, "Invalid")

    def _huge(self, now: int, size: int) -> Record:
        if size < 0:
            self.number += 1
            return Record(PLAYBACK, b"rubbish", f"{self.number} ".encode() + b"x" * -size, now, "NotJson")
        topic, key, event = self._event(now)
        value = json.dumps(event | {"unknownField": "x" * size}).encode()
        return Record(topic, key.encode(), value, now)


def paced(rate: float, started: float) -> Iterator[float]:
    """Yield the moments (monotonic seconds) at which one after the other record is due."""
    number = 0
    while True:
        yield started + number / rate
        number += 1
