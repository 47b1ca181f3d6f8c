"""The load of the benchmarks: the events of views as a busy platform sends them, encoded beforehand.

Views overlap: `watching` of them are under way at any time, and each of `EVENTS_A_VIEW` events comes
ten seconds after the one before. Deterministic in the seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec

EVENTS_A_VIEW = 20
_HEARTBEAT_MS = 10_000
_COUNTRIES = ("US", "GB", "DE", "IN", "BR", "FR", "JP", "MX")
_DEVICES = (("mobile", "ios"), ("mobile", "android"), ("desktop", "web"), ("tv", "tv"), ("tablet", "ios"))


def playback(
    count: int, *, start_ms: int, rate: float, videos: int = 1000, seed: int = 1, under_way: bool = True
) -> Iterator[tuple[bytes, bytes, int]]:
    """Yield `count` events as (key, value, timestamp in epoch ms), `rate` of them a second of log time.

    With `under_way`, the first views have begun before the load: a worker that lacks their start looks it up.
    """
    rng = random.Random(seed)
    encode = msgspec.json.Encoder().encode
    watching = max(1, int(rate * _HEARTBEAT_MS / 1000))
    views: list[dict[str, object]] = []
    for number in range(count):
        now = start_ms + int(number * 1000 / rate)
        slot = number % watching
        if slot >= len(views):
            views.append(_view(rng, number, videos, now))
            # The first views start at different points of their course; otherwise all would end together.
            views[slot]["seq"] = slot % EVENTS_A_VIEW if under_way else 0
        view = views[slot]
        seq = view["seq"]
        if not isinstance(seq, int) or seq >= EVENTS_A_VIEW:
            view = views[slot] = _view(rng, number, videos, now)
            seq = 0
        view["seq"] = seq + 1
        yield str(view["viewId"]).encode(), encode(_event(view, seq, number, now, rng)), now


def _view(rng: random.Random, number: int, videos: int, now: int) -> dict[str, object]:
    device, platform = rng.choice(_DEVICES)
    return {
        "videoId": f"vid_{min(videos - 1, int(rng.paretovariate(0.8)) - 1):06d}",
        "viewId": f"view_{rng.getrandbits(64):016x}",
        "sessionId": f"session_{rng.getrandbits(48):012x}",
        "userId": f"user_{rng.randrange(500_000):07d}",
        "country": rng.choice(_COUNTRIES),
        "device": device,
        "platform": platform,
        "startedAt": now + 400,
        "seq": 0,
    }


def _event(view: dict[str, object], seq: int, number: int, now: int, rng: random.Random) -> dict[str, object]:
    event = {
        "eventId": f"{rng.getrandbits(128):032x}",
        "type": "view.progress",
        "occurredAt": now,
        "sentAt": now,
        **view,
        "seq": seq,
    }
    if seq == 0:
        del event["startedAt"]
        return event | {"type": "view.attempt"}
    if seq == 1:
        del event["startedAt"]
        return event | {"type": "view.start", "startupMs": 400, "durationMs": 600_000}
    watched = (seq - 1) * _HEARTBEAT_MS
    event |= {
        "watchedMs": watched,
        "rebufferMs": 250 * (seq // 7),
        "rebufferCount": seq // 7,
        "bitrateKbps": 2500,
        "fromMs": watched - _HEARTBEAT_MS,
        "toMs": watched,
    }
    if seq == EVENTS_A_VIEW - 1:
        return event | {"type": "view.end", "reason": "exited"}
    return event
