"""One partition's worker: whatever dies when, both stores hold every event once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from sinks.base import Block, Fenced, Ledger, Unavailable, Unexpected
from sinks.memory import MemoryBlocks, MemoryStore
from streams import landed
from streams.assignment import Fetched
from streams.domain.aggregate import Live, fold_playback
from streams.ledger import at_newest_incarnation
from streams.metrics import METRICS
from streams.pace import Pace
from streams.takeover import Takeover
from tests.logs import captured
from tests.pipeline.bench import NOW, Bench, Log, failing, view
from tests.waiting import until

START_MS = int(NOW * 1000) - 600_000


class Crash(Exception):
    """The process died here."""


def make_log(seed: int, views: int = 40) -> Log:
    """Interleave views, with repeats, reordering, a late repeat and rubbish."""
    rng = random.Random(seed)
    pending = [view(f"v{n}", START_MS + 1000 * n) for n in range(views)]
    sent: list[dict[str, Any]] = []
    log = Log()
    while any(pending):
        events = rng.choice([p for p in pending if p])
        at = 1 if len(events) > 1 and events[0]["seq"] > 1 and rng.random() < 0.1 else 0
        event = events.pop(at)
        sent.append(event)
        log.append(event, event["occurredAt"] + 50)
        if rng.random() < 0.1:
            log.append(rng.choice(sent), event["occurredAt"] + 60)
        if rng.random() < 0.03:
            log.append(b"\x00 rubbish {", event["occurredAt"] + 70)
    return log


def totals(live: Live) -> Counter[str]:
    counts: Counter[str] = Counter()
    for counters in live.counters.values():
        counts.update(counters)
    counts["viewers"] = sum(map(len, live.viewers.values()))
    return counts


def expected(views: int = 40) -> dict[str, int]:
    return {
        "attempts": views,
        "views": views,
        "watched_ms": 4000 * views,
        "rebuffer_ms": 50 * views,
        "rebuffers": views,
        "parts": 40 * views,
        "sized": views,
        "viewers": views,
    }


async def ended_unexpectedly(bench: Bench) -> None:
    """Wait until a worker fails because a store is not as it left it."""
    await until(lambda: bool(bench.failures))
    assert isinstance(bench.failures[0], Unexpected)


def check(bench: Bench, store: MemoryStore, views: int = 40) -> None:
    rows = store.tables["playback_events"]
    assert len({(row.view_id, row.seq) for row in rows}) == len(rows) == 6 * views
    generation = store.ledgers[bench.partition].generation
    counted = totals(store.live[bench.partition, generation])
    stored = totals(fold_playback(sorted(rows, key=lambda row: row.offset), 0))
    for name, value in expected(views).items():
        assert (name, counted[name]) == (name, value)
        assert (name, stored[name]) == (name, value)
    ledger = store.ledgers[bench.partition]
    end = bench.log.records[-1].offset + 1
    assert (ledger.counted, ledger.block_to, ledger.done) == (end, end, True)


async def test_a_log_is_taken_once_and_its_books_balance() -> None:
    log, store = make_log(1), MemoryStore()
    bench = Bench(log, store)
    await bench.run([7, 64, 1])
    check(bench, store)
    books = store.books[bench.partition]
    assert books.read == len(log.records) == books.stored + books.repeated + books.late + books.rejected
    assert books.rejected == len(bench.letters.sent) > 0
    assert {error for _, error in bench.letters.sent} == {"NotJson"}


@pytest.mark.parametrize(
    ("key", "warnings"), [(b"v0", 0), (b"", 0), (None, 1), ("eventId", 1), ("viewId", 0), ("userId", 0)]
)
async def test_a_producer_without_keys_is_told_of_once(
    key: bytes | str | None, warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = captured(monkeypatch, "streams.retry.log")
    log, store = Log(), MemoryStore()
    for event in view("v0", START_MS):
        # A name is that of the field whose value is the key.
        own = event[key].encode() if isinstance(key, str) else key
        log.append(event, event["occurredAt"] + 50, own)
    told = METRICS.unkeyed.labels("playback.events")
    before = told._value.get()
    batches = [1, 2, 3]
    await Bench(log, store).run(batches)
    assert len([line for line in said if "without a key" in line["event"]]) == warnings
    # Each batch, so that it is seen for as long as it goes on.
    assert (told._value.get() - before >= 3) is bool(warnings)
    assert len(store.tables["playback_events"]) == len(log.records)


@pytest.mark.parametrize("seed", range(25))
async def test_a_crash_at_any_step_neither_loses_nor_doubles(seed: int) -> None:
    rng = random.Random(seed)
    log, store = make_log(seed), MemoryStore()
    bench = Bench(log, store, block_rows=rng.choice([5, 30, 200]), lifetime=rng.choice([5.0, 1e9]))
    crashes = 0

    def fault(step: str) -> None:
        nonlocal crashes
        if crashes < 40 and rng.random() < 0.3:
            crashes += 1
            raise Crash(step)

    store.fault = fault
    while True:
        try:
            await bench.run([rng.randrange(1, 40) for _ in range(8)])
        except Crash:
            bench.worker.abandon()
        else:
            break
    assert crashes > 10
    check(bench, store)


@pytest.mark.parametrize("seed", range(5))
async def test_what_may_pass_is_tried_until_it_passes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.retry._FIRST_PAUSE", 0.001)
    # However long the pauses are, the last rows are waited for.
    monkeypatch.setattr("streams.partition._CLOSE_SECONDS", 60.0)
    rng = random.Random(seed)
    log, store = make_log(seed, views=10), MemoryStore()
    bench = Bench(log, store, block_rows=20)

    def fault(step: str) -> None:
        if rng.random() < 0.2:
            raise Unavailable(step)

    store.fault = fault
    await bench.run([25])
    check(bench, store, views=10)


async def test_the_older_owner_is_fenced() -> None:
    log, store = make_log(3), MemoryStore()
    zombie, heir = Bench(log, store), Bench(log, store)
    await zombie.restart()
    await heir.run([50])
    with pytest.raises(Fenced):
        await zombie.worker.process(Fetched(0, log.read(0, 10)))
    check(heir, store)


async def test_a_worker_that_slept_until_clickhouse_forgot_its_block_repeats_no_insert(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, store = make_log(3), MemoryStore()
    zombie, heir = Bench(log, store, block_rows=20), Bench(log, store)
    await zombie.restart()
    awake, write = asyncio.Event(), MemoryBlocks.write
    tries: list[Block] = []

    async def sleep_in(self: MemoryBlocks, block: Block) -> None:
        await write(self, block)
        if not tries:
            tries.append(block)
            await awake.wait()
            raise Unavailable("the server hung up long ago")

    monkeypatch.setattr(MemoryBlocks, "write", sleep_in)
    await zombie.worker.process(Fetched(0, log.read(0, 30)))
    await until(lambda: bool(tries))
    await heir.run([50])
    # As many blocks as ClickHouse remembers were inserted since.
    store.tokens.clear()
    awake.set()
    await until(lambda: bool(zombie.failures))
    assert isinstance(zombie.failures[0], Fenced)
    check(heir, store)


async def test_redis_that_lost_its_data_is_rebuilt_from_clickhouse() -> None:
    log, store = make_log(4), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    store.ledgers.clear()
    store.live.clear()
    log.append(view("late", START_MS)[0], START_MS + 100_000)
    await bench.run([50])
    counted = totals(store.live[bench.partition, store.ledgers[bench.partition].generation])
    assert counted["attempts"] == 41
    assert counted["watched_ms"] == 160_000


async def test_a_rebuild_that_fails_for_a_moment_begins_again_and_adds_nothing_twice() -> None:
    log, store = make_log(4), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    store.ledgers.clear()
    store.live.clear()
    failures = iter([Unavailable("the answer was lost"), Unavailable("refused")])

    def fault(step: str) -> None:
        if step == "rebuilt" and (failure := next(failures, None)):
            raise failure

    store.fault = fault
    await bench.run([50])
    check(bench, store)


async def test_a_rebuild_that_was_cut_short_is_not_added_to() -> None:
    log, store = make_log(4), MemoryStore()
    await Bench(log, store).run([50])
    store.ledgers.clear()
    store.live.clear()

    def fault(step: str) -> None:
        if step == "restart":
            store.fault = lambda _: None
            raise Crash(step)

    store.fault = fault
    bench = Bench(log, store)
    with pytest.raises(Crash):
        await bench.run([50])
    await bench.run([50])
    check(bench, store)


async def test_clickhouse_restored_from_a_backup_is_replayed_alone() -> None:
    log, store = make_log(5), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    store.tables["playback_events"] = [r for r in store.tables["playback_events"] if r.offset < 100]
    store.tokens.clear()
    await bench.run([50])
    check(bench, store)


async def test_clickhouse_that_loses_rows_while_the_worker_lives_gets_no_block_behind_the_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landed, "_AWAY", -1.0)  # Whatever was seen, it may have lost its power since.
    log, store = make_log(6), MemoryStore()
    bench = Bench(log, store, block_rows=20)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 40)))
    await until(lambda: store.ledgers[bench.partition].stored_to == 40)
    rows = store.tables["playback_events"]
    del rows[10:]
    store.tokens.clear()
    await bench.worker.process(Fetched(40, log.read(40, 40)))
    await ended_unexpectedly(bench)
    assert len(rows) == 10
    bench.die()
    await bench.run([50])
    check(bench, store)


async def test_who_slept_and_is_the_owner_again_because_redis_forgot_another_stores_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landed, "_AWAY", -1.0)
    log, store = make_log(6), MemoryStore()
    sleeper, heir = Bench(log, store, pace=Pace(1000.0, 0.05)), Bench(log, store)
    await sleeper.restart()
    before = deepcopy((store.ledgers, store.books, store.live))
    await heir.run([50])
    store.ledgers, store.books, store.live = before  # A replica was promoted that lacks all this.
    await sleeper.worker.process(Fetched(0, log.read(0, 30)))
    await ended_unexpectedly(sleeper)
    sleeper.die()
    await sleeper.run([50])
    check(sleeper, store)


async def test_the_live_window_is_not_recounted_from_rows_that_clickhouse_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landed, "_AWAY", -1.0)
    log, store = make_log(6), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.records))
    await until(lambda: store.ledgers[bench.partition].stored_to == len(log.records))
    del store.tables["playback_events"][10:]
    store.tokens.clear()
    with pytest.raises(Unexpected):
        await bench.worker.recount("a request")
    bench.die()
    await bench.run([50])
    check(bench, store)


async def test_a_topic_made_anew_is_another_log() -> None:
    log, store = make_log(6), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    again = Log()
    for event in view("fresh", START_MS):
        again.append(event, event["occurredAt"])
    # The same events come once more, as when a producer fills the new topic from its outbox.
    for record in log.records:
        again.append(record.value or b"", record.timestamp)
    bench.log = again
    await bench.run([50])
    rows = store.tables["playback_events"]
    assert len(rows) == 6 * 41
    assert store.ledgers[bench.partition].incarnation == 1
    assert {row.log for row in rows if row.view_id == "fresh"} == {"cluster#1"}


async def test_redis_that_lost_its_data_after_a_topic_was_made_anew_counts_both_logs() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    again = Log()
    for n in range(15):
        for event in view(f"fresh{n}", START_MS):
            again.append(event, event["occurredAt"])
    bench.log = again
    await bench.run([50])
    store.ledgers.clear()
    store.live.clear()
    again.append(view("late", START_MS)[0], START_MS + 100_000)
    await bench.run([50])
    ledger = store.ledgers[bench.partition]
    assert ledger.incarnation == 1
    counted = totals(store.live[bench.partition, ledger.generation])
    assert (counted["attempts"], counted["views"], counted["watched_ms"]) == (26, 25, 25 * 4000)
    assert len(store.tables["playback_events"]) == 6 * 25 + 1


async def test_redis_that_lost_its_last_second_when_a_topic_was_made_anew_counts_the_new_log() -> None:
    log, store = make_log(6), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    await bench.restart()
    bench.log = Log()
    for event in view("fresh", START_MS):
        bench.log.append(event, event["occurredAt"])
    before = dict(store.ledgers)
    await bench.worker.process(Fetched(bench.worker.position - 1, ()))
    assert store.ledgers[bench.partition].incarnation == 1
    store.ledgers |= before
    with pytest.raises(Unexpected):
        await bench.worker.process(Fetched(0, bench.log.read(0, 6)))
    bench.worker.abandon()
    position = await bench.restart()
    await bench.worker.process(Fetched(position, ()))
    await bench.worker.process(Fetched(0, bench.log.read(0, 6)))
    await bench.worker.give_up()
    check(bench, store, views=41)


async def test_a_topic_made_anew_is_noticed_though_redis_lost_its_data() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    store.ledgers.clear()
    store.live.clear()
    again = Log()
    for n in range(15):
        for event in view(f"fresh{n}", START_MS + 1):
            again.append(event, event["occurredAt"])
    bench.log = again
    await bench.run([50])
    assert store.ledgers[bench.partition].incarnation == 1
    assert len(store.tables["playback_events"]) == 6 * 25


async def test_a_topic_made_anew_that_ends_just_before_the_position_is_another_log() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    bench.log = Log()
    for n in range(len(log.records) - 1):
        bench.log.append(view(f"fresh{n}", START_MS)[0], START_MS)
    position = await bench.restart()
    assert bench.log.read(position, 1) == []  # Kafka is silent.
    await bench.worker.compare_log("")
    assert bench.sought == []
    await bench.worker.compare_log("")
    assert bench.sought == [0]
    await bench.worker.process(Fetched(0, bench.log.records))
    await bench.worker.give_up()
    assert len(store.tables["playback_events"]) == 6 * 10 + len(bench.log.records)
    assert store.ledgers[bench.partition].incarnation == 1


async def test_a_log_that_ends_within_the_block_in_doubt_is_another_log() -> None:
    log, store = Log(), MemoryStore()
    for n in range(30):
        for event in view(f"v{n}", START_MS + 1000 * n):
            log.append(event, event["occurredAt"] + 20)
    bench = Bench(log, store, block_rows=60)
    await bench.die_in_insert(60, 60, "insert")
    # An unclean leader election, and nothing more is sent.
    bench.log = Log(log.records[:90])
    position = await bench.restart()
    await bench.worker.process(Fetched(position, bench.log.read(position, 100)))
    for _ in range(2):
        await bench.worker.compare_log("")
    assert bench.sought == [0]
    await bench.worker.process(Fetched(0, bench.log.records))
    await bench.worker.give_up()
    assert len(store.tables["playback_events"]) == 90
    ledger = store.ledgers[bench.partition]
    assert (ledger.incarnation, ledger.counted, ledger.done) == (1, 90, True)
    counted = totals(store.live[bench.partition, ledger.generation])
    assert counted["watched_ms"] == 15 * 4000


async def test_a_log_truncated_before_a_block_that_redis_knows_to_be_done_is_another_log() -> None:
    """Redis lost that records were counted, and its owner has begun and ended a block since."""
    log, store = make_log(6, views=10), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    ledger = store.ledgers[bench.partition]
    store.ledgers[bench.partition] = replace(ledger, counted=0, counted_mark="")
    store.live.clear()
    again = Log()
    for n in range(15):
        for event in view(f"fresh{n}", START_MS):
            again.append(event, event["occurredAt"])
    bench.log = again
    await bench.run([200])
    assert store.ledgers[bench.partition].incarnation == 1
    assert len(store.tables["playback_events"]) == 6 * (10 + 15)


async def test_a_leader_that_ends_too_early_once_is_not_another_log() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    position = await bench.restart()
    for known in (Log(log.records[:-1]), log, Log(log.records[:-1])):
        bench.log = known
        await bench.worker.compare_log("")
    bench.log = log
    await bench.worker.process(Fetched(position, log.read(position, 1)))
    bench.log = Log(log.records[:-1])
    for _ in range(3):
        # The record before the position came and is the one that was read: nothing is in doubt.
        await bench.worker.compare_log("")
    assert (bench.sought, store.ledgers[bench.partition].incarnation) == ([], 0)


@pytest.mark.parametrize("then", ["goes on", "ends", "dies"])
async def test_a_topic_exchanged_behind_a_running_worker_is_known_by_its_id(then: str) -> None:
    log, store = make_log(6, views=10), MemoryStore()
    log.topic_id = "first"
    bench = Bench(log, store, block_rows=10_000)
    await bench.run([50])
    position = await bench.restart()
    await bench.worker.process(Fetched(position, log.read(position, 1)))
    # Deleted, made again, and filled beyond the position before anybody looked.
    bench.log = again = Log(topic_id="second")
    for n in range(len(log.records)):
        for event in view(f"fresh{n}", START_MS)[:2]:
            again.append(event, event["occurredAt"])
    position += 1
    await bench.worker.process(Fetched(position, again.read(position, 20)))
    if then != "goes on":
        if then == "ends":
            # Its heir finds the record before the position, and it is the one that was read.
            await bench.worker.give_up()
        bench.worker.abandon()  # What was counted is in no block.
        position = await bench.restart()
        await bench.worker.process(Fetched(position, again.read(position, 10)))
    if then != "dies":
        await bench.worker.compare_log("second")
        assert bench.sought == []
        await bench.worker.compare_log("second")
    assert bench.sought == [0]
    await bench.worker.process(Fetched(0, again.records))
    await bench.worker.give_up()
    ledger = store.ledgers[bench.partition]
    assert (ledger.incarnation, ledger.topic_ids) == (1, ("first", "second"))
    views = 10 + len(log.records)
    assert len(store.tables["playback_events"]) == 6 * 10 + 2 * len(log.records)
    counted = totals(store.live[bench.partition, ledger.generation])
    assert (counted["attempts"], counted["views"]) == (views, views)


async def test_records_of_another_topic_wait_until_it_is_read_from_its_start() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    log.topic_id = "first"
    bench = Bench(log, store)
    await bench.run([50])
    position = await bench.restart()
    await bench.worker.process(Fetched(position, log.read(position, 1), topic_id="first"))
    bench.log = again = Log(topic_id="second")
    for event in view("fresh", START_MS, events=80):
        again.append(event, event["occurredAt"])
    position = bench.worker.position
    for start in (position, position + 10):
        await bench.worker.process(Fetched(start, again.read(start, 10), topic_id="second"))
    assert (bench.worker.position, bench.sought) == (position, [])
    for _ in range(2):
        await bench.worker.compare_log("second")
    assert bench.sought == [0]
    await bench.worker.process(Fetched(0, again.records, topic_id="second"))
    await bench.worker.give_up()
    rows = [row for row in store.tables["playback_events"] if row.view_id == "fresh"]
    assert [row.seq for row in rows] == list(range(80))


async def test_records_that_were_taken_for_those_of_another_topic_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, store = make_log(6, views=10), MemoryStore()
    log.topic_id = "first"
    bench = Bench(log, store)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 10), topic_id="mistaken"))
    assert bench.worker.position == 0
    monkeypatch.setattr("streams.seeking._OVERDUE_SECONDS", 0.0)
    await bench.worker.compare_log("first")
    assert bench.sought == [0]
    await bench.worker.process(Fetched(0, log.records, topic_id="first"))
    await bench.worker.give_up()
    check(bench, store, views=10)


async def test_a_broker_that_still_speaks_of_a_deleted_topic_is_not_believed() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    log.topic_id = "first"
    bench = Bench(log, store)
    await bench.run([50])
    bench.log = replace(log, topic_id="second")
    await bench.restart()
    for told in ("second", "second", "first", "first", "second", "third", "", "third", "second"):
        await bench.worker.compare_log(told)
    await bench.worker.give_up()
    ledger = store.ledgers[bench.partition]
    assert (ledger.incarnation, ledger.topic_ids) == (1, ("first", "second"))


async def test_a_ledger_from_before_topics_had_ids_takes_the_one_it_is_told() -> None:
    log, store = make_log(6, views=10), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    log.topic_id = "first"
    await bench.run([50])
    before = store.ledgers[bench.partition]
    assert (before.topic_ids, before.incarnation) == (("first",), 0)
    check(bench, store, views=10)


def test_a_ledger_older_than_the_newest_log_with_rows_begins_it_anew() -> None:
    known = Ledger(epoch=7, incarnation=1, generation=5, counted=90, block_to=80)
    assert at_newest_incarnation(known, ["c", "c#1", "other#9", "c#x"], "c") == known
    assert at_newest_incarnation(known, ["c#3", "c#10"], "c") == Ledger(epoch=7, incarnation=10, generation=5)
    assert at_newest_incarnation(known, [], "c") == known


async def test_records_of_a_deleted_topic_do_not_pass_for_those_of_the_one_that_came_since() -> None:
    """A broker that is isolated from the others may still have that topic."""
    old, new, store = make_log(7), make_log(8), MemoryStore()
    old.topic_id, new.topic_id = "first", "second"
    bench = Bench(old, store)
    position = await bench.restart()
    await bench.worker.process(Fetched(position, old.read(0, 100), topic_id="first"))
    bench.log = new
    for _ in range(2):
        await bench.worker.compare_log("second")
    await bench.worker.process(Fetched(0, new.read(0, 50), topic_id="second"))
    bench.log = Log(old.records[:20], topic_id="first")
    await bench.worker.process(Fetched(50, old.read(50, 50), topic_id="first"))
    await bench.worker.process(Fetched(50, ()))
    for _ in range(3):
        await bench.worker.compare_log("first")
    assert bench.worker.position == 50
    assert store.ledgers[bench.partition].incarnation == 1
    bench.log = new
    await bench.worker.compare_log("second")
    await bench.worker.process(Fetched(50, new.read(50, 1_000), topic_id="second"))
    await bench.worker.give_up()
    check(bench, store)


async def test_a_kafka_that_was_restored_with_an_earlier_topic_is_followed_in_the_end() -> None:
    old, new, store = make_log(7), make_log(8), MemoryStore()
    old.topic_id, new.topic_id = "first", "second"
    bench = Bench(old, store)
    await bench.run([50])
    bench.log = new
    await bench.restart()
    for _ in range(2):
        await bench.worker.compare_log("second")
    assert store.ledgers[bench.partition].topic_ids == ("first", "second")
    bench.log = old
    for _ in range(30):
        assert store.ledgers[bench.partition].incarnation == 1
        await bench.worker.compare_log("first")
    ledger = store.ledgers[bench.partition]
    assert (ledger.incarnation, ledger.topic_ids) == (2, ("second", "first"))
    await bench.worker.process(Fetched(0, old.read(0, 1_000), topic_id="first"))
    assert bench.worker.position == len(old.records)
    await bench.worker.give_up()
    check(bench, store)


async def test_a_gap_left_by_retention_is_measured_and_passed() -> None:
    log, store = make_log(7), MemoryStore()
    bench = Bench(log, store)
    await bench.run([50])
    end = log.records[-1].offset + 1
    lost = METRICS.lost.labels("playback.events")._value.get()
    bench.log = Log(start=end + 30)
    for event in view("after", START_MS):
        bench.log.append(event, event["occurredAt"])
    position = await bench.restart()
    await bench.worker.process(Fetched(position, ()))
    assert METRICS.lost.labels("playback.events")._value.get() - lost == 30
    assert bench.sought == [end + 30]
    await bench.worker.process(Fetched(end + 30, bench.log.read(0, 50)))
    await bench.worker.give_up()
    assert len(store.tables["playback_events"]) == 6 * 41


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("start", [12, 75, 130])
async def test_a_block_in_doubt_that_retention_cut_is_not_inserted_twice(start: int, landed: bool) -> None:
    log, store = Log(), MemoryStore()
    for n in range(30):
        for event in view(f"v{n}", START_MS + 1000 * n):
            log.append(event, event["occurredAt"] + 20)
    first = Bench(log, store, block_rows=60)
    await first.die_in_insert(60, 60, "inserted" if landed else "insert")

    kept = Log(log.records[start:], start=start)
    heir = Bench(kept, store)
    position = await heir.restart()
    store.recounts[heir.partition] = "now"
    if position < start:
        await heir.worker.process(Fetched(position, ()))
        position = heir.sought.pop()
        async with asyncio.timeout(30):
            await heir.worker.recount("now")
    store.fault = failing("insert")
    await heir.worker.process(Fetched(position, kept.read(position, 90)))
    await asyncio.sleep(0.05)
    heir.die()
    await Bench(kept, store).run([50])

    found = Counter(row.offset for row in store.tables["playback_events"])
    lost = range(60, max(60, start)) if not landed else range(120, max(120, start))
    assert found == Counter(set(range(180)) - set(lost))
    assert {row.log for row in store.tables["playback_events"]} == {"cluster"}
    assert store.ledgers[heir.partition].incarnation == 0


async def test_live_numbers_are_whole_if_redis_and_then_kafka_lost_what_was_counted() -> None:
    """A block that began behind what Redis lost would hide that ClickHouse has its rows."""
    log, store = make_log(9), MemoryStore()
    bench = Bench(log, store, pace=Pace(1000.0, 60.0))
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 80)))
    await until(lambda: store.ledgers[bench.partition].landed > 70)
    before = deepcopy((store.ledgers, dict(store.live)))
    await bench.worker.process(Fetched(80, log.read(80, 80)))
    await until(lambda: store.ledgers[bench.partition].landed > 150)
    await bench.worker.process(Fetched(160, log.read(160, 20)))
    store.ledgers, live = before
    store.live.clear()
    store.live.update(live)
    await bench.worker.give_up()

    kept = Log(log.records[130:], start=130)
    heir = Bench(kept, store)
    position = await heir.restart()
    if position < kept.start:
        await heir.worker.process(Fetched(position, ()))
        position = heir.sought.pop()
    await heir.worker.process(Fetched(position, kept.read(position, 1_000)))
    await heir.worker.give_up()
    check(heir, store)


async def test_nothing_else_works_on_a_partition_whose_take_over_still_recounts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, store = make_log(60), MemoryStore()
    await Bench(log, store).run([20])
    store.ledgers.clear()
    recounts, go, recount = asyncio.Event(), asyncio.Event(), Takeover.recount

    async def slow_recount(self: Takeover, folder: Any, ledger: Ledger) -> None:
        recounts.set()
        await go.wait()
        await recount(self, folder, ledger)

    monkeypatch.setattr(Takeover, "recount", slow_recount)
    log.topic_id = "a topic"
    heir = Bench(log, store)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(heir.restart())
        await recounts.wait()
        # Meanwhile somebody creates the topic anew.
        for _ in range(3):
            await heir.worker.compare_log("another topic")
        assert store.ledgers[heir.partition].incarnation == 0
        go.set()
    await heir.worker.compare_log("another topic")
    await heir.worker.compare_log("another topic")
    assert store.ledgers[heir.partition].incarnation == 1


async def test_a_batch_that_does_not_follow_is_dropped_and_sought_again() -> None:
    log, store = make_log(8), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 10)))
    await bench.worker.process(Fetched(20, log.read(20, 10)))
    assert bench.worker.position == 10
    assert bench.sought == [10]


async def test_what_a_seek_too_many_brought_twice_is_sought_again_though_nothing_else_comes() -> None:
    log, store = make_log(8), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    for start, count, sought in [
        (20, 10, [0]),  # From before the seek.
        (30, 10, [0]),
        (0, 10, [0]),
        (0, 15, [0, 10]),  # Asked for twice: what the consumer goes on with is further than the position.
        (10, 5, [0, 10]),
    ]:
        await bench.worker.process(Fetched(start, log.read(start, count)))
        assert bench.sought == sought
    assert bench.worker.position == 15


async def test_what_was_dropped_after_a_seek_is_sought_again_though_nothing_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log, store = make_log(8), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    for start in (20, 30):
        await bench.worker.process(Fetched(start, log.read(start, 10)))
    await bench.worker.compare_log("")
    assert bench.sought == [0]
    monkeypatch.setattr("streams.seeking._OVERDUE_SECONDS", 0.0)
    for _ in range(2):
        await bench.worker.compare_log("")
    assert bench.sought == [0, 0]
