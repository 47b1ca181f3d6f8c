"""One playback of a video by one viewer: attempt, first frame, heartbeats, stalls, seeks, the end."""

from __future__ import annotations

import math
from random import Random
from typing import Any, Final

from deploy.traffic.catalog import Video
from deploy.traffic.events import MINUTE_MS, PLAYBACK, Actor, Event, rfc3339

#: The contract asks for an event at least this often while a view lasts.
HEARTBEAT_MS: Final = 10_000
#: Bit rates of the renditions, 240p to 2160p.
LADDER: Final = (400, 800, 1_500, 2_800, 5_000, 8_000, 16_000)
_TOP: Final = {"mobile": 4, "tablet": 4, "desktop": 5, "tv": 6}
_CODES: Final = ("NETWORK_ERROR", "SEGMENT_NOT_FOUND", "MANIFEST_TIMEOUT", "DECODE_ERROR", "DRM_DENIED")
# Chances per view.
_FATAL_START: Final = 0.003
_GAVE_UP: Final = 0.018
_FATAL: Final = 0.002
_HICCUP: Final = 0.015
_LOST_END: Final = 0.05
# Mean played ms between two events of a kind.
_STALL_EVERY: Final = 260_000
_SWITCH_EVERY: Final = 110_000
_PAUSE_EVERY: Final = 420_000
_SEEK_EVERY: Final = 330_000
_NEVER: Final = 10**12


def stay(rng: Random, duration_ms: int | None) -> int:
    """Return the ms of content that a viewer wants to see: all of it, or a part as in abandonment curves.

    The share of viewers who stay to the end falls by 7.5 percentage points with each doubling of the length:
    four in five for 15 s, one in two for 4 min. Of the others, 40 % leave in the first seconds. A length of
    None is a live channel.
    """
    if duration_ms is None:
        return min(int(rng.lognormvariate(11.0, 0.9)), 25 * MINUTE_MS)
    if rng.random() < 0.8 - 0.075 * math.log2(duration_ms / 15_000):
        return duration_ms
    if rng.random() < 0.4:
        return 500 + int(rng.expovariate(1.0) * min(12_000.0, 0.1 * duration_ms))
    return 500 + int(rng.betavariate(0.9, 1.7) * duration_ms)


class View:
    """A playback; `events()` plays it, and `clock` is the present time of the playback, in epoch ms."""

    def __init__(
        self,
        rng: Random,
        view_id: str,
        video: Video,
        who: dict[str, Any],
        at_ms: int,
        *,
        network: float,
        delay_ms: int = 0,
        text_time: bool = False,
    ) -> None:
        """Prepare a view of `video` requested at `at_ms`; `who` has the event fields that name the viewer.

        With `delay_ms` the client sends each event that much later, and states the time in `sentAt`; with
        `text_time` it writes times as RFC 3339. `network` is as in `Place`.
        """
        self.video = video
        self.clock = at_ms
        self.watched = 0
        self.rebuffer = 0
        self.stalls = 0
        self.position = 0
        self._rng = rng
        self._id = view_id
        self._network = max(0.08, network)
        self._delay = delay_ms
        self._text = text_time
        self._who = {"videoId": video.id, "viewId": view_id, **who}
        self._seq = 0
        self._started: int | str = 0
        self._reported = 0
        self._last = at_ms
        self._top = _TOP.get(str(who.get("device")), 3)
        self._level = 0

    def events(self) -> Actor:
        """Yield the events of the view in order; the timestamps never decrease."""
        rng = self._rng
        yield self._event("view.attempt")
        fate = rng.random()
        if fate < _FATAL_START:
            self.clock += 800 + int(rng.expovariate(1 / 4000))
            yield self._event("view.error", code=rng.choice(_CODES), fatal=True)
            return
        if fate < _FATAL_START + _GAVE_UP:
            self.clock += 1500 + int(rng.expovariate(1 / 5000))
            return
        startup = int(rng.lognormvariate(6.25, 0.55) / self._network**0.6)
        self.clock += startup
        self._last = self.clock
        self._started = self._time(self.clock)
        own: dict[str, Any] = {"startupMs": startup}
        if self.video.duration_ms is not None and not self._text:
            own["durationMs"] = self.video.duration_ms
        if self.video.duration_ms is None:
            self.position = self._reported = 30 * MINUTE_MS
        self._level = max(0, min(self._top, int(2.6 + 1.6 * self._network)) - rng.randint(0, 2))
        yield self._event("view.start", **own)
        yield from self._play(stay(rng, self.video.duration_ms))

    def _play(self, wanted: int) -> Actor:
        rng = self._rng
        end = self.video.duration_ms or _NEVER
        stall_every = _STALL_EVERY * self._network**1.5
        to_stall = rng.expovariate(1 / stall_every)
        to_switch = 4_000 + rng.expovariate(1 / 12_000)
        to_pause = rng.expovariate(1 / _PAUSE_EVERY)
        to_seek = rng.expovariate(1 / _SEEK_EVERY) if end != _NEVER else _NEVER
        fate = rng.random()
        to_error = int(rng.random() * wanted) if fate < _FATAL + _HICCUP else _NEVER
        if wanted == end:
            wanted = _NEVER  # a viewer who wants to see all of it stays to the end, even after seeking back
        while wanted > 0 and self.position < end:
            until_beat = HEARTBEAT_MS - (self.clock - self._last)
            left = min(wanted, end - self.position)
            step = int(min(until_beat, left, to_stall, to_switch, to_pause, to_seek, to_error))
            self.clock += step
            self.watched += step
            self.position += step
            wanted -= step
            to_stall -= step
            to_switch -= step
            to_pause -= step
            to_seek -= step
            to_error -= step
            if wanted <= 0 or self.position >= end:
                break
            if to_error < 1:
                to_error = _NEVER
                yield self._event("view.error", code=rng.choice(_CODES), fatal=fate < _FATAL)
                if fate < _FATAL:
                    break
            elif to_stall < 1:
                to_stall = rng.expovariate(1 / stall_every)
                yield from self._stall()
                if rng.random() < 0.12:
                    break
            elif to_switch < 1:
                to_switch = rng.expovariate(1 / _SWITCH_EVERY)
                yield self._progress()
                self._switch()
            elif to_pause < 1:
                to_pause = rng.expovariate(1 / _PAUSE_EVERY)
                yield self._progress()
                yield from self._pause()
            elif to_seek < 1:
                to_seek = rng.expovariate(1 / _SEEK_EVERY)
                yield self._progress()
                self._seek(end)
            else:
                yield self._progress()
        if rng.random() >= _LOST_END:
            yield self._progress("view.end", reason="ended" if self.position >= end else "exited")

    def _stall(self) -> Actor:
        self.stalls += 1
        left = min(30_000, 250 + int(self._rng.lognormvariate(7.2, 0.8)))
        while left > 0:
            step = min(left, HEARTBEAT_MS - (self.clock - self._last))
            self.clock += step
            self.rebuffer += step
            left -= step
            if self.clock - self._last >= HEARTBEAT_MS:
                yield self._progress()

    def _pause(self) -> Actor:
        left = min(180_000, 1_500 + int(self._rng.lognormvariate(9.2, 1.0)))
        while left > 0:
            step = min(left, HEARTBEAT_MS - (self.clock - self._last))
            self.clock += step
            left -= step
            if self.clock - self._last >= HEARTBEAT_MS:
                yield self._progress()

    def _seek(self, end: int) -> None:
        back = self._rng.random() < 0.35
        leap = 5_000 + int(self._rng.expovariate(1 / (12_000 if back else 25_000)))
        self.position = max(0, self.position - leap) if back else min(end - 1, self.position + leap)
        self._reported = self.position
        self.clock += int(self._rng.uniform(150, 700))

    def _switch(self) -> None:
        best = min(self._top, int(2.6 + 1.6 * self._network))
        drift = self._rng.choice((-1, 0, 1, 1)) if self._level < best else self._rng.choice((-1, -1, 0))
        self._level = max(0, min(best, self._level + drift))

    def _progress(self, kind: str = "view.progress", **own: Any) -> Event:
        event = self._event(
            kind,
            watchedMs=self.watched,
            rebufferMs=self.rebuffer,
            rebufferCount=self.stalls,
            bitrateKbps=LADDER[self._level],
            fromMs=self._reported,
            toMs=self.position,
            **own,
        )
        self._reported = self.position
        self._last = self.clock
        return event

    def _event(self, kind: str, **own: Any) -> Event:
        value = {
            "eventId": f"{self._id}.{self._seq}",
            "type": kind,
            "occurredAt": self._time(self.clock),
            **self._who,
            "seq": self._seq,
            **own,
        }
        if self._started and kind != "view.start":
            value["startedAt"] = self._started
        if self._delay:
            value["sentAt"] = self._time(self.clock + self._delay)
        self._seq += 1
        # The record's timestamp is when it was sent; minus (sentAt - occurredAt), when the event occurred.
        return PLAYBACK, self._id, self.clock + self._delay, value

    def _time(self, at_ms: int) -> int | str:
        return rfc3339(at_ms) if self._text else at_ms
