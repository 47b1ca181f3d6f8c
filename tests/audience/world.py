"""Random accepted events of people and services, as the pipeline lets them through, in any order.

Instants cluster where answers could go wrong: around local midnights, quarters of an hour and full minutes,
on days whose clocks change, and around now.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from api.parameters import PREVIOUS, Question, QuestionParser
from tests.oracle.log import PLAYBACK, SYSTEM, USERS, Accepted

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ZONES = (
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Europe/London",
    "Australia/Lord_Howe",
    "America/St_Johns",
)
_DEVICES = ("desktop", "mobile", "tablet", "tv", "other", None, "fridge")
_KINDS = ("page.view", "page.view", "video.like", "video.comment", "video.share", "video.upload")


class Moments:
    """Draws instants in the last `days` days before `now`, in epoch milliseconds."""

    def __init__(self, rng: Random, now: datetime, days: int) -> None:
        self._rng = rng
        self._now = int(now.timestamp() * 1000)
        self._days = days
        self._edges = [
            int(datetime.combine(_day_before(now, zone, back), time(), ZoneInfo(zone)).timestamp() * 1000)
            for zone in ZONES
            for back in range(days)
        ]

    def draw(self) -> int:
        rng = self._rng
        kind = rng.random()
        if kind < 0.3:
            at = rng.choice(self._edges) + rng.choice((-1, 0, 1, -3 * SECOND, 5 * MINUTE, -HOUR))
        elif kind < 0.45:
            at = self._now - rng.randrange(2 * HOUR)
        elif kind < 0.6:
            at = self._now - rng.randrange(50 * HOUR)
        else:
            at = self._now - rng.randrange(self._days * DAY)
        if rng.random() < 0.2:
            step = rng.choice((MINUTE, 15 * MINUTE))
            at = at // step * step + rng.choice((0, -1))
        return min(at, self._now)


def _day_before(now: datetime, zone: str, back: int) -> date:
    return now.astimezone(ZoneInfo(zone)).date() - timedelta(days=back)


def people(rng: Random, now: datetime, *, sessions: int, days: int = 75) -> list[Accepted]:
    """Return the events of some sessions of far fewer people."""
    moments = Moments(rng, now, days)
    names = [f"user_{number}" for number in range(max(4, sessions // 6))]
    homes = {name: rng.randrange(days * DAY) for name in names}
    until = int(now.timestamp() * 1000)
    events = []
    for number in range(sessions):
        name = rng.choice(names)
        # Users have different first days, so that cohorts differ.
        at = max(moments.draw(), until - homes[name])
        events += [each for each in _session(rng, number, name, at) if each.at <= until]
    rng.shuffle(events)
    return events


def _session(rng: Random, number: int, name: str, at: int) -> Iterator[Accepted]:
    who: dict[str, Any] = {
        "sessionId": f"session-{number}",
        "userId" if rng.random() < 0.7 else "viewerId": name,
    }
    told = rng.choice(_DEVICES)
    if told is not None:
        who["device"] = told
    if rng.random() < 0.2:
        yield _user(rng, at, "user.signup", who, source=rng.choice(("organic", "referral", "social", "")))
        at += rng.randrange(1, 5 * SECOND)
    # Few sessions last for days; most end at once, or after some minutes.
    pause = rng.choice((SECOND, SECOND, 20 * SECOND, 10 * MINUTE, rng.choice((HOUR, 14 * HOUR, 3 * DAY))))
    for _ in range(rng.choice((0, 1, 1, 2, 6))):
        if rng.random() < 0.08:
            # The visitor signs in: another user in the same session.
            who = {key: value for key, value in who.items() if key != "viewerId"} | {"userId": f"{name}-in"}
        if rng.random() < 0.4:
            yield _playback(rng, at, number, who)
        else:
            yield _user(rng, at, rng.choice(_KINDS), who)
        at += rng.randrange(1, pause + 1)
    yield _user(rng, at, rng.choice(("session.end", "session.start", "page.view")), who)


def _user(rng: Random, at: int, kind: str, who: dict[str, Any], **fields: Any) -> Accepted:
    event = {"eventId": f"{rng.getrandbits(60):x}", "type": kind, "occurredAt": at} | who | fields
    return Accepted(USERS, event, at, None, None)


def _playback(rng: Random, at: int, number: int, who: dict[str, Any]) -> Accepted:
    event = {
        "eventId": f"{rng.getrandbits(60):x}",
        "type": rng.choice(("view.attempt", "view.progress")),
        "occurredAt": at,
        "videoId": f"video-{rng.randrange(5)}",
        "viewId": f"view-{number}",
    }
    return Accepted(PLAYBACK, event | who, at, None, None)


def services(rng: Random, now: datetime, *, events: int, days: int = 75) -> list[Accepted]:
    """Return the events of services and hosts: requests, jobs, storage operations, samples and probes."""
    moments = Moments(rng, now, days)
    told: list[Accepted] = []
    for number in range(events):
        # Some events happen at the same instant.
        at = told[-1].at if told and rng.random() < 0.3 else moments.draw()
        own: dict[str, Any] = rng.choice((_request, _request, _job, _storage, _sample, _probe))(rng)
        event = {"eventId": f"s{number:06}", "service": rng.choice(("gateway", "encoder")), "occurredAt": at}
        told.append(Accepted(SYSTEM, event | own, at, None, None))
    return told


def _request(rng: Random) -> dict[str, Any]:
    return {
        "type": "api.request",
        "endpoint": rng.choice(("/videos", "/users", "/søk?q='", "")),
        "status": rng.choice((200, 200, 404, 499, 500, 503)),
        "durationMs": rng.choice((0, 0.25, 12, 80.5, rng.lognormvariate(4, 1.5), 600_000)),
    }


def _job(rng: Random) -> dict[str, Any]:
    state = rng.choice(("queued", "started", "finished", "failed"))
    job = {"type": "job", "jobType": rng.choice(("video", "thumbnail", "sub;titles"))}
    job |= {"jobId": f"job-{rng.randrange(40)}", "state": state}
    told = state in ("finished", "failed") and rng.random() < 0.8
    return job | ({"durationMs": rng.choice((0, rng.randrange(1, 900_000)))} if told else {})


def _storage(rng: Random) -> dict[str, Any]:
    size = rng.choice((0, 999_949, 10**9, rng.randrange(2**40)))
    return {
        "type": "storage.op",
        "op": rng.choice(("read", "write")),
        "ok": rng.random() < 0.8,
        "bytes": size,
    }


def _sample(rng: Random) -> dict[str, Any]:
    total = rng.choice((0, 2**33, 2**36))
    return {
        "type": "host.sample",
        "host": rng.choice(("a", "b", "c")),
        "cpu": rng.random(),
        "load": [rng.random() * 8 for _ in range(3)],
        "memoryUsedBytes": rng.randrange(2**32),
        "memoryTotalBytes": total,
        "storageUsedBytes": rng.randrange(2**40),
        "storageTotalBytes": 2**41,
    }


def _probe(rng: Random) -> dict[str, Any]:
    return {"type": "health.probe", "ok": rng.random() < 0.85}


def stretch(rng: Random, now: datetime, accepted: list[Accepted]) -> tuple[datetime, datetime]:
    """Return the edges of a window: within a second of some event, long or short, aligned or not."""
    until = int(now.timestamp() * 1000)
    instants = [each.at for each in accepted if each.at > until - 60 * DAY]
    start = rng.choice(instants) if instants else until - rng.randrange(1, 60 * DAY)
    start = min(start + rng.choice((-SECOND, -1, 0, 1)), until - 1)
    length = rng.choice((1, 2, 30 * SECOND, 700 * SECOND, DAY, rng.randrange(1, 20 * DAY)))
    if rng.random() < 0.3:
        start = start // (15 * MINUTE) * 15 * MINUTE
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + timedelta(milliseconds=start), epoch + timedelta(milliseconds=start + length)


def asked(period: str, zone: str, now: datetime) -> Question:
    """Return the question about a period in a time zone, compared with the previous period."""
    parser = QuestionParser(now, raw_retention_days=180, rollup_retention_days=1100)
    return parser.parse(period=period, default="", start=None, end=None, zone=zone, compare=PREVIOUS)


def now_of(text: str) -> datetime:
    """Read an instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
