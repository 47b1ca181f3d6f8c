"""A whole world: its records in the order of delivery, and the clock changes within it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

from tests.oracle.log import CATALOG, PLAYBACK, RETENTION_DAYS, SYSTEM, USERS, Record
from tests.world import catalog, people
from tests.world.broken import SOUND, broken
from tests.world.catalog import Video
from tests.world.delivery import DAY, HOUR, MINUTE, SECOND, Posted, client, post
from tests.world.playback import view

#: Whole- and half-hour offsets, both hemispheres: within any half year the clocks change in one of them.
ZONES = (
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "Europe/London",
    "America/Santiago",
    "Africa/Cairo",
    "Pacific/Auckland",
)

#: The catalog changes this long before now.
_CATALOG_CHANGE = 3 * DAY
_HISTORY = 35 * DAY
#: Nothing is older than this, so that no store has a reason to forget it.
_OLDEST = 170 * DAY


@dataclass(slots=True)
class World:
    """Records in the order of delivery, in phases: each must be processed in full before the next is sent.

    The catalog has a topic of its own, so only a pause between phases orders it against the events.
    """

    phases: list[list[Record]]
    videos: list[Video]
    #: Days whose local clocks change, by zone: instants in the middle of them.
    clock_changes: dict[str, list[datetime]] = field(default_factory=dict)

    @property
    def delivered(self) -> list[Record]:
        """Every record."""
        return [record for phase in self.phases for record in phase]


def build(
    seed: int, now: datetime, *, views: int = 900, visits: int = 500, with_broken: bool = True
) -> World:
    """Make the world of a seed; nothing in it is sent after `now`."""
    rng = Random(seed)
    until = int(now.timestamp() * 1000)
    all_videos = catalog.videos(rng, 30)
    changes = clock_changes(now)
    moments = Moments(rng, until, changes)
    posted: list[Posted] = []

    names = [video.id for video in all_videos]
    users = [f"user_{number}" for number in range(max(3, views // 4))]
    viewed: set[tuple[str, str]] = set()
    for number in range(views):
        # Few videos have most views; some view ids are used again for another video.
        video = all_videos[min(int(rng.paretovariate(0.6)) - 1, len(all_videos) - 1)]
        name = f"view_{number}"
        if rng.random() < 0.05 and (video.id, f"view_{number // 2}") not in viewed:
            name = f"view_{number // 2}"
        viewed.add((video.id, name))
        through = client(rng)
        for at, event in view(rng, name, video, rng.choice(users), moments.draw()):
            posted += post(rng, through, PLAYBACK, name, event, at, until)
    shared: Counter[str] = Counter()
    for number in range(visits):
        user = rng.choice(users)
        through = client(rng)
        for at, event in people.visit(rng, number, user, names, moments.draw(), shared):
            posted += post(rng, through, USERS, user, event, at, until)
    for number in range(visits):
        through = client(rng)
        for at, event in people.service(rng, number, moments.draw()):
            posted += post(rng, through, SYSTEM, str(event["service"]), event, at, until)

    posted.sort(key=lambda entry: entry.at)
    split = until - _CATALOG_CHANGE
    before = [entry.record for entry in posted if entry.at < split]
    after = [entry.record for entry in posted if entry.at >= split]
    before, after = [_jitter(rng, record) for record in before], [_jitter(rng, record) for record in after]
    if with_broken:
        _spoil(rng, before, after, until)
    oldest = until - _OLDEST - DAY
    phases = [
        catalog.early(rng, all_videos, oldest),
        before,
        catalog.later(rng, all_videos, split),
        after,
    ]
    return World(phases, all_videos, changes)


class Moments:
    """Draws instants at which things begin: anywhere, in the last hour, and very close to edges."""

    def __init__(self, rng: Random, until: int, changes: dict[str, list[datetime]]) -> None:
        """Prepare the edges: midnights of the zones, and the hours around their clock changes."""
        self.rng = rng
        self.until = until
        today = datetime.fromtimestamp(until / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self.edges = [
            int((today - timedelta(days=day)).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
            for zone in ZONES
            for day in (0, 1, 6, 7, 13, 14, 29, 30)
        ]
        self.changes = [int(at.timestamp() * 1000) for times in changes.values() for at in times]

    def draw(self) -> int:
        """Draw an instant, in epoch milliseconds."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.25:
            at = self.until - rng.randrange(10 * SECOND, 75 * MINUTE)
        elif kind < 0.35:
            at = self.until - rng.randrange(75 * MINUTE, 26 * HOUR)
        elif kind < 0.5:
            at = rng.choice(self.edges) + rng.choice((-1, 0, 1, -MINUTE, 40 * SECOND))
        elif kind < 0.6 and self.changes:
            at = rng.choice(self.changes) + rng.randrange(-DAY, DAY)
        elif kind < 0.65:
            quarter = (self.until - rng.randrange(3 * DAY)) // (15 * MINUTE)
            at = quarter * 15 * MINUTE + rng.choice((-1, 0))
        else:
            at = self.until - rng.randrange(_HISTORY)
        return min(at, self.until - 10 * SECOND)


def clock_changes(now: datetime) -> dict[str, list[datetime]]:
    """Return the recent days on which the zones' clocks changed: an instant in the middle of each."""
    found: dict[str, list[datetime]] = {}
    for name in ZONES:
        zone = ZoneInfo(name)
        day = now - timedelta(milliseconds=_OLDEST)
        while day < now - timedelta(days=2):
            following = day + timedelta(days=1)
            if day.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
                found.setdefault(name, []).append(day + timedelta(hours=12))
            day = following
    return found


def _jitter(rng: Random, record: Record) -> Record:
    # Producers set the timestamps, so these go back and forth a little along a partition.
    if rng.random() < 0.03:
        return replace(record, timestamp=record.timestamp - rng.randrange(5 * SECOND))
    return record


def _spoil(rng: Random, before: list[Record], after: list[Record], until: int) -> None:
    """Insert broken records, and ones that are too old, among the valid ones."""
    keys = {topic: [r.key for r in after if r.topic == topic] for topic in (PLAYBACK, USERS, SYSTEM)}
    for topic in (PLAYBACK, USERS, SYSTEM, CATALOG):
        for values, fault in broken(topic):
            target = rng.choice((before, after))
            place = rng.randrange(len(target) + 1)
            at = target[min(place, len(target) - 1)].timestamp if target else until
            key = rng.choice(keys.get(topic, []) or [b"vid_0001"])
            faults = fault.split() if " " in fault else [fault] * len(values)
            target[place:place] = [
                Record(topic, key, value, at, of) for value, of in zip(values, faults, strict=True)
            ]
    for offset in (-DAY, -1, 3 * HOUR):
        for topic in (PLAYBACK, USERS, SYSTEM):
            place = rng.randrange(len(after) + 1)
            timestamp = until - rng.randrange(HOUR)
            # Around the limit, but not so close that a store may expire what it has just accepted.
            at = timestamp - RETENTION_DAYS * DAY + offset
            event = SOUND[topic] | {"eventId": f"old{offset}", "occurredAt": at, "startedAt": at, "seq": 0}
            if topic == PLAYBACK:
                event |= {"viewId": f"old{offset}"}
            owner = str(event.get("viewId") or event.get("userId") or event.get("service"))
            after.insert(place, Record(topic, owner.encode(), json.dumps(event).encode(), timestamp))
