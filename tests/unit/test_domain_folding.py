"""Whole worlds through the folders, without servers: whatever the cut, the memory and the restarts."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

import pytest

from streams.domain.arrivals import SKEW_MS
from streams.domain.catalog import Catalog, CatalogFolder
from streams.domain.contract import TOPICS, components, tag
from streams.domain.event_ids import SystemFolder, UserFolder
from streams.domain.folding import Folder, Place, PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.measures import MEASURES
from streams.domain.rows import PlaybackRow, UserRow
from tests.oracle.log import CATALOG, PLAYBACK, RETENTION_DAYS, SYSTEM, USERS, Log, Record, read
from tests.oracle.views import facts
from tests.world.feed import Taken, cut, taken
from tests.world.world import World, build

NOW = datetime(2026, 11, 23, 12, 34, 56, 789_000, tzinfo=UTC)
RETENTION_MS = RETENTION_DAYS * 86_400_000
REACTIONS = {"video.like": "likes", "video.comment": "comments", "video.share": "shares"}


@dataclass(frozen=True)
class Way:
    """How records come through: batches, how little is remembered, and how often the worker starts anew."""

    largest_batch: int = 500
    capacity: int = 100_000
    lifetime: float = 1e9
    restarts: float = 0.0
    seed: int = 0


WAYS = [
    pytest.param(Way(), id="in large batches"),
    pytest.param(Way(largest_batch=3), id="in small batches"),
    pytest.param(Way(largest_batch=50, capacity=20), id="forgetting when full"),
    pytest.param(Way(largest_batch=100, lifetime=3600), id="forgetting every hour"),
    pytest.param(Way(largest_batch=200, restarts=0.3), id="starting anew all the time"),
]


@dataclass
class Taking:
    """What came of a world."""

    rows: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    repeated: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    dead: Counter[tuple[bytes | None, str]] = field(default_factory=Counter)
    looked_up: Counter[str] = field(default_factory=Counter)


def take(world: World, way: Way) -> Taking:
    """Take a world in: one partition a topic, one phase after the other."""
    taking, catalog = Taking(), Catalog()
    steps = {topic: Step(topic, catalog, way) for topic in (CATALOG, PLAYBACK, USERS, SYSTEM)}
    for phase in world.phases:
        for step in steps.values():
            for rejected in step.take(phase, taking):
                taking.dead[rejected.record.value, rejected.error] += 1
        catalog.update(steps[CATALOG].fresh)
        steps[CATALOG].fresh.clear()
    return taking


class Step:
    """One partition: a folder whose look-ups are answered from the rows so far."""

    def __init__(self, topic: str, catalog: Catalog, way: Way) -> None:
        self.topic = topic
        self.catalog = catalog
        self.way = way
        self.rng = Random(way.seed)
        self.offset = 0
        self.newest = 0
        self.ahead: set[int] = set()
        self.stored: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.fresh: list[Any] = []
        self.folder = self.start()

    def start(self) -> Folder:
        place = Place("cluster", self.topic, 0)
        if self.topic == CATALOG:
            return CatalogFolder(place)
        floor = self.newest + SKEW_MS if self.newest else -1
        memory: Generations[Any] = Generations(
            floor=floor, capacity=self.way.capacity, lifetime=self.way.lifetime
        )
        said = {row.ahead_at for rows in self.stored.values() for row in rows}
        memory.add_ahead(sorted((at for at in said if at > floor), reverse=True))
        memory.add_ahead(self.ahead)
        if self.topic == PLAYBACK:
            return PlaybackFolder(place, memory, self.catalog.length_ms)
        return UserFolder(place, memory) if self.topic == USERS else SystemFolder(place, memory)

    def take(self, phase: Iterable[Any], taking: Taking) -> Iterable[Any]:
        records: list[Taken] = taken(phase, self.topic, self.offset)
        self.offset += len(records)
        for batch in cut(self.rng, records, self.way.largest_batch):
            if self.rng.random() < self.way.restarts:
                self.folder = self.start()
            folder = self.folder
            arrivals, rejected = folder.decode(batch, RETENTION_MS)
            yield from rejected
            unknown = folder.unknown(arrivals)
            taking.looked_up[self.topic] += len(unknown)
            folder.learn(unknown, [row for key in unknown for row in self.stored[key]])
            folded = folder.fold(arrivals)
            assert len(batch) == len(rejected) + len(folded.rows) + folded.repeated + folded.late
            taking.rows[self.topic] += folded.rows
            taking.repeated[self.topic] += folded.repeated
            taking.late[self.topic] += folded.late
            self.fresh += folded.rows if self.topic == CATALOG else []
            first, second = folder.key_columns
            for row in folded.rows:
                self.stored[getattr(row, first), getattr(row, second)].append(row)
                self.newest = max(self.newest, row.received_at)
                if row.ahead_at:
                    self.ahead.add(row.ahead_at)
            memory = folder.memory
            if memory is not None and memory.should_rotate(batch[-1].timestamp):
                memory.rotate(batch[-1].timestamp)


def happened(taking: Taking) -> Counter[tuple[str, int, str]]:
    """Add up what the rows say, by video, millisecond and measure."""
    found: Counter[tuple[str, int, str]] = Counter()
    for row in taking.rows[PLAYBACK]:
        assert isinstance(row, PlaybackRow)
        for column, at in BUCKET_OF.items():
            if amount := getattr(row, f"d_{column}"):
                found[row.video_id, getattr(row, at), column] += amount
    for row in taking.rows[USERS]:
        assert isinstance(row, UserRow)
        if row.type in REACTIONS:
            found[row.video_id, row.occurred_at, REACTIONS[row.type]] += 1
    return found


BUCKET_OF = {
    "watched_ms": "occurred_at", "rebuffer_ms": "occurred_at", "rebuffers": "occurred_at",
    "bitrate_weight": "occurred_at", "bitrate_ms": "occurred_at", "views": "started_at",
    "completions": "started_at", "sized": "started_at", "parts": "started_at", "attempts": "attempted_at",
    "fatals": "attempted_at",
}  # fmt: skip


def test_the_truth_knows_every_measure() -> None:
    assert BUCKET_OF.keys() | set(REACTIONS.values()) == MEASURES.keys()


def test_the_worlds_send_every_field_of_every_event(world: World) -> None:
    """A field that no world sends is not tested: neither what it adds, nor that a restart remembers it."""
    sent: dict[str, set[str]] = defaultdict(set)
    for record in world.delivered:
        if record.value and record.fault is None:
            event = json.loads(record.value)
            sent[event.get("type", "video")] |= {name for name, value in event.items() if value is not None}
    for topic in TOPICS:
        for kind in topic.types:
            wanted = components((kind,))[kind.__name__]["properties"].keys()
            assert wanted - sent[tag(kind)] == set(), f"tests/world must send these fields of {tag(kind)}"


@pytest.fixture(scope="module")
def taken_by(world: World) -> Callable[[Way], Taking]:
    """Take the world in each way once, for all tests that look at the outcome."""
    return cache(lambda way: take(world, way))


@pytest.fixture(scope="module", params=[1, 2, 3])
def world(request: pytest.FixtureRequest) -> World:
    return build(request.param, NOW, views=250, visits=250)


@pytest.fixture(scope="module")
def truth(world: World) -> Log:
    return read(world.delivered)


@pytest.mark.parametrize("way", WAYS)
def test_every_count_is_the_truth(taken_by: Callable[[Way], Taking], truth: Log, way: Way) -> None:
    taking = taken_by(way)
    told = facts(truth)
    expected: Counter[tuple[str, int, str]] = Counter()
    for fact in told.facts:
        if fact.amount:
            expected[fact.video, fact.at, fact.measure] += fact.amount
    got = happened(taking)
    assert {
        key: (got[key], expected[key]) for key in got.keys() | expected.keys() if got[key] != expected[key]
    } == {}

    starts = Counter((s.video, s.at, s.user, s.country, s.device, s.platform) for s in told.starts)
    assert starts == Counter(
        (row.video_id, row.started_at, row.user_id, row.country, row.device, row.platform)
        for row in taking.rows[PLAYBACK]
        if row.d_views
    )


@pytest.mark.parametrize("way", WAYS)
def test_the_books_balance(taken_by: Callable[[Way], Taking], truth: Log, way: Way) -> None:
    taking = taken_by(way)
    stored = Counter(accepted.topic for accepted in truth.accepted) + Counter({CATALOG: truth.told})
    assert {topic: len(rows) for topic, rows in taking.rows.items()} == stored
    assert +taking.late == Counter(truth.late)
    assert +taking.repeated == Counter(truth.repeated)
    assert taking.dead == Counter((record.value, reason) for record, reason in truth.dead)


def test_the_same_records_give_the_same_rows_whatever_the_way(taken_by: Callable[[Way], Taking]) -> None:
    once = taken_by(Way())
    for way in (Way(largest_batch=3), Way(largest_batch=40, capacity=15, restarts=0.2, seed=5)):
        assert taken_by(way).rows == once.rows


def test_only_a_memory_that_forgot_or_began_late_asks(taken_by: Callable[[Way], Taking]) -> None:
    """The world's views come out of order: many are first seen in their middle."""
    assert not +taken_by(Way()).looked_up
    for way in (Way(largest_batch=50, capacity=20), Way(largest_batch=200, restarts=0.3)):
        assert taken_by(way).looked_up[PLAYBACK]
        assert taken_by(way).looked_up[USERS]


HOUR = 3_600_000
AT = int(NOW.timestamp() * 1000)


def like(occurred: int, received: int, name: str = "e") -> Record:
    event = {"eventId": name, "type": "video.like", "occurredAt": occurred, "sessionId": "s", "videoId": "v"}
    return Record(USERS, b"u", json.dumps(event | {"userId": "u"}).encode(), received)


@pytest.mark.parametrize("ahead", [-6 * HOUR, 0, 4 * 60_000, 6 * 60_000, 6 * HOUR])
@pytest.mark.parametrize("after", [60_000, 5 * HOUR, 6 * HOUR + 60_000, 7 * HOUR])
@pytest.mark.parametrize(
    "way",
    [
        pytest.param(Way(largest_batch=1, lifetime=600), id="forgotten"),
        pytest.param(Way(largest_batch=1, restarts=1), id="started anew"),
    ],
)
def test_a_repeat_counts_once_whatever_the_clock_said(ahead: int, after: int, way: Way) -> None:
    """A client whose clock is ahead sends; its repeat comes when that clock's time has come at last."""
    first, again = like(AT + ahead, AT), like(AT + ahead, AT + after)
    between = [like(at, at, f"other {at}") for at in range(AT + 60_000, AT + after, 7 * 60_000)]
    world = World([[first, *between, again]], [])
    taking = take(world, way)
    assert taking.repeated[USERS] == 1
    assert len(taking.rows[USERS]) == 1 + len(between)
