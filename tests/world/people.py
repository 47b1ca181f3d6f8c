"""What people do outside the player, and the events of services and hosts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

from tests.world.delivery import MINUTE, SECOND
from tests.world.playback import COUNTRIES, DEVICES, PLATFORMS, Timed

ACTIONS = ("video.like", "video.comment", "video.share", "video.upload")


def visit(
    rng: Random, number: int, user: str, videos: list[str], at: int, shared: Counter[str]
) -> Iterator[Timed]:
    """Yield the events of one session.

    An event id is unique within one user only: `shared` counts the ids that other users use as well.
    """
    audience: dict[str, Any] = {
        "sessionId": f"visit-{number}",
        "userId" if rng.random() < 0.7 else "viewerId": user,
        "country": rng.choice(COUNTRIES),
        "device": rng.choice(DEVICES),
        "platform": rng.choice(PLATFORMS),
    }

    def tell(kind: str, **fields: Any) -> Timed:
        name = f"u{number}-{rng.getrandbits(48):x}"
        if rng.random() < 0.05:
            name = f"shared-{shared[user]}"
            shared[user] += 1
        return at, {"eventId": name, "type": kind} | audience | fields

    if rng.random() < 0.1:
        yield tell("user.signup", source=rng.choice(("organic", "referral", "social", "")))
    yield tell("session.start")
    for _ in range(rng.choice((0, 1, 3, 8))):
        at += rng.randrange(MINUTE)
        if rng.random() < 0.5:
            yield tell("page.view", path=rng.choice(("/", "/watch?v=1&t=2", "/søk")))
        else:
            # Also about videos that nobody watches and that are not in the catalog.
            yield tell(rng.choice(ACTIONS), videoId=rng.choice([*videos, "vid_unwatched"]))
    if rng.random() < 0.6:
        at += rng.randrange(20 * SECOND)
        yield tell("session.end")


def service(rng: Random, number: int, at: int) -> Iterator[Timed]:
    """Yield one event of a service or a host."""
    name = rng.choice(("gateway", "encoder", "storage"))
    common = {"eventId": f"s{number}", "service": name}
    kinds: list[dict[str, Any]] = [
        {
            "type": "api.request",
            "endpoint": rng.choice(("/videos", "/users")),
            "method": "GET",
            "status": rng.choice((200, 200, 404, 500)),
            "durationMs": rng.choice((12, 80.5, 900)),
        },
        {
            "type": "job",
            "jobType": rng.choice(("video", "thumbnail")),
            "jobId": f"job{number // 4}",
            "state": rng.choice(("queued", "started", "finished", "failed")),
            **({"durationMs": rng.choice((0, 1500, 4000.5))} if number % 3 else {}),
        },
        {"type": "storage.op", "op": rng.choice(("read", "write")), "ok": rng.random() < 0.9, "bytes": 2**30},
        {
            "type": "host.sample",
            "host": rng.choice(("a", "b")),
            "cpu": rng.choice((0, 0.5, 1)),
            "load": [0, 1.5, 3],
            "memoryUsedBytes": 2**31,
            "memoryTotalBytes": 2**33,
            "storageUsedBytes": 2**40,
            "storageTotalBytes": 2**41,
        },
        {"type": "health.probe", "ok": rng.random() < 0.9},
    ]
    yield at, common | rng.choice(kinds)
