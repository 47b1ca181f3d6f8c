"""Compares the stores with the oracle of `tests/oracle`, once everything is done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from sinks.base import Books, incarnation_of
from streams.domain.aggregate import Live
from tests.oracle import log as oracle
from tests.oracle.log import PLAYBACK, Record
from tests.oracle.views import Facts, facts
from tests.pipeline.bench import Raw
from tests.simulation.traffic import told
from tests.simulation.world import TABLES, World, identity_of

_MINUTE_MS: Final = 60_000
#: Deltas of a row, and the instant to whose minute they belong.
_ANCHORS: Final = {
    "occurred_at": ("watched_ms", "rebuffer_ms", "rebuffers", "bitrate_weight", "bitrate_ms"),
    "started_at": ("views", "completions", "sized", "parts"),
    "attempted_at": ("attempts", "fatals"),
}
_REACTIONS: Final = {"video.like": "likes", "video.share": "shares"}
#: Views with so many events may have some that come too late for the sequence window.
_LONG: Final = 64

Identity = tuple[str, ...]
Sums = Counter[tuple[int, str, str]]


def judge(world: World) -> list[str]:
    """Return what differs; nothing if every promise was kept."""
    return [
        f"{tp.topic}/{tp.partition}: {problem}"
        for tp in world.places
        for problem in _Partition(world, tp).problems()
    ]


def identity(topic: str, event: dict[str, Any]) -> Identity:
    """Return what makes an event the same one."""
    if topic == PLAYBACK:
        return event["videoId"], event["viewId"], str(event["seq"])
    return event["userId"], event["eventId"]


class _Partition:
    """One partition at the end of an episode."""

    def __init__(self, world: World, tp: Any) -> None:
        self.world, self.topic = world, tp.topic
        self.partition = world.partition(tp)
        self.ledger = world.store.ledgers[self.partition]
        self.log = world.kafka.log(tp)
        self.logs = [t.logs[tp.partition] for name, t in world.kafka.deleted if name == tp.topic] + [self.log]
        self.must = world.expected.get(tp, set())
        found = world.store.tables[TABLES[self.topic]]
        self.rows = sorted((row for row in found if row.partition == tp.partition), key=self._place)

    def _place(self, row: Any) -> tuple[int, int]:
        return incarnation_of(row.log, "cluster") or 0, row.offset

    def problems(self) -> Iterator[str]:
        """Say what is wrong, the plainest first."""
        yield from self._doubles()
        if len(self.logs) == 1 and self.log.is_whole:
            yield from self._whole_log()
        else:
            yield from self._events()
        yield from self._sums()
        yield from self._cursors()

    def _doubles(self) -> Iterator[str]:
        for event, count in Counter(map(identity_of, self.rows)).items():
            if count > 1:
                where = [(row.log, row.offset) for row in self.rows if identity_of(row) == event]
                yield f"{event} is stored {count} times: {where}"

    def _whole_log(self) -> Iterator[str]:
        """Compare with a log of which nothing was lost: each row must be that of its very record."""
        records = [told(self.topic, raw) for raw in self.log.records]
        read = oracle.read(records)
        first: dict[Identity, int] = {}
        for offset, record in enumerate(records):
            if record.fault is None:
                first.setdefault(identity(self.topic, _event(record)), offset)
        expected = {(first[key], key) for key in (identity(self.topic, each.event) for each in read.accepted)}
        found = {(row.offset, identity_of(row)) for row in self.rows}
        yield from (f"{key} of offset {offset} is not stored" for offset, key in sorted(expected - found))
        yield from (f"{key} of offset {offset} should not be" for offset, key in sorted(found - expected))
        dead = [offset for offset, record in enumerate(records) if any(record is bad for bad, _ in read.dead)]
        letters = Counter(raw.offset for where, raw, _ in self.world.letters if where == self.partition)
        yield from (f"no dead letter of offset {offset}" for offset in dead if not letters[offset])
        yield from (f"a dead letter of offset {offset}" for offset in letters if offset not in dead)
        if not self.world.has_lost_redis:
            books = self.world.store.books.get(self.partition, Books())
            if books != Books(
                len(records),
                len(read.accepted),
                sum(read.repeated.values()),
                sum(read.late.values()),
                len(read.dead),
            ):
                yield f"the books are {books}, of {len(records)} records"

    def _events(self) -> Iterator[str]:
        """Compare with what was stored before records were lost, and with the log that is there now."""
        ever = set(self._keys(raw for log in self.logs for raw in log.ever))
        now = set(self._keys(self.log.records))
        read = oracle.read([told(self.topic, raw) for raw in self.log.records])
        dead = {identity(self.topic, _event(record)) for record, fault in read.dead if fault == "TooOld"}
        long = {key[1] for key in ever if self.topic == PLAYBACK and int(key[2]) >= _LONG}
        found = set(map(identity_of, self.rows))
        missing = (self.must | (now - dead)) - found
        yield from (f"{key} is not stored" for key in sorted(missing) if key[1] not in long)
        yield from (f"{key} was never sent" for key in sorted(found - ever))

    def _keys(self, records: Iterable[Raw]) -> Iterator[Identity]:
        for record in (told(self.topic, raw) for raw in records):
            if not record.fault:
                yield identity(self.topic, _event(record))

    def _sums(self) -> Iterator[str]:
        """Compare deltas and live counters with the oracle's facts, given the order of the rows."""
        values = {
            _event(told(self.topic, raw))["eventId"]: raw.value for log in self.logs for raw in log.ever
        }
        records = [Record(self.topic, None, values.get(row.event_id), row.received_at) for row in self.rows]
        records = [record for record in records if record.value is not None]
        read = oracle.read(records)
        expected = _of_facts(facts(read))
        yield from _differences("the deltas", expected, _of_rows(self.rows))
        hour = int(self.world.now()) // 60 - 60
        recent = Counter({key: n for key, n in expected.items() if key[0] >= hour})
        live = _of_live(self.world.store.live[self.partition, self.ledger.generation])
        yield from _differences(
            "the live counters", recent, Counter({k: n for k, n in live.items() if k[0] >= hour})
        )

    def _cursors(self) -> Iterator[str]:
        rows = [
            row for row in self.rows if (incarnation_of(row.log, "cluster") or 0) == self.ledger.incarnation
        ]
        landed = rows[-1].offset + 1 if rows else 0
        # A Redis that lost a moment may not know of the newest row; then nobody misses it if it is lost, too.
        if self.ledger.landed != landed and not (self.world.has_lost_redis and self.ledger.landed < landed):
            yield f"the ledger says that rows end at {self.ledger.landed}, and they end at {landed}"


def _event(record: Record) -> dict[str, Any]:
    return json.loads(record.value) if record.value and record.fault is None else {"eventId": ""}


def _of_facts(found: Facts) -> Sums:
    sums: Sums = Counter()
    for fact in found.facts:
        sums[fact.at // _MINUTE_MS, fact.video, fact.measure] += fact.amount
    return sums


def _of_rows(rows: Iterable[Any]) -> Sums:
    sums: Sums = Counter()
    for row in rows:
        if row.type in _REACTIONS:
            sums[row.occurred_at // _MINUTE_MS, row.video_id, _REACTIONS[row.type]] += 1
        elif hasattr(row, "d_views"):
            for anchor, measures in _ANCHORS.items():
                for measure in measures:
                    sums[getattr(row, anchor) // _MINUTE_MS, row.video_id, measure] += getattr(
                        row, f"d_{measure}"
                    )
    return sums


def _of_live(live: Live) -> Sums:
    names = {name for measures in _ANCHORS.values() for name in measures} | set(_REACTIONS.values())
    return Counter(
        {
            (minute, video, name): value
            for (minute, video), measures in live.counters.items()
            for name, value in measures.items()
            if name in names
        }
    )


def _differences(what: str, expected: Sums, found: Sums) -> Iterator[str]:
    for key in sorted(expected.keys() | found.keys()):
        if expected[key] != found[key]:
            yield f"{what} of {key} are {found[key]}, and should be {expected[key]}"
