"""Blocks of several partitions in one insert: each is in once, whatever dies when, and whoever comes next."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from sinks.base import Block, Bundle, Fenced, Held, Partition, Unavailable, Unexpected
from sinks.memory import MemoryArchive, MemoryBlocks, MemoryBundles, MemoryLedgers, MemoryStore
from streams import blocks
from streams.assignment import Fetched
from streams.pace import Pace
from tests.pipeline.bench import NOW, TOPIC, Bench, Letters, Log, failing, stores_of, view
from tests.waiting import turns, until

_START_MS = int(NOW * 1000) - 600_000
_EVENTS = 6


class Crash(Exception):
    """The process died here."""


class Crew:
    """Several partitions, each with a worker that shares its pace with the others of its process."""

    def __init__(self, store: MemoryStore, partitions: int, views: int, block_rows: int = 1_000) -> None:
        self.store = store
        self.benches = []
        for number in range(partitions):
            log = Log()
            for n in range(views):
                for event in view(f"p{number}-{n}", _START_MS + 1000 * n, _EVENTS):
                    log.append(event, event["occurredAt"] + 50)
            bench = Bench(log, store, block_rows=block_rows)
            bench.partition = Partition("cluster", TOPIC, number)
            self.benches.append(bench)
        self.positions = dict.fromkeys(range(partitions), 0)

    async def take_over(self, number: int, pace: Pace) -> None:
        """Give a partition to a worker of the process whose pace this is."""
        bench = self.benches[number]
        bench.pace = pace
        self.positions[number] = await bench.restart()

    async def read(self, number: int, count: int) -> bool:
        """Have a partition's worker take some records; return whether there were any."""
        bench, position = self.benches[number], self.positions[number]
        records = bench.log.read(position, count)
        if records:
            await bench.worker.process(Fetched(position, records))
            self.positions[number] = bench.sought.pop() if bench.sought else records[-1].offset + 1
        return bool(records)

    def raise_failures(self) -> None:
        for bench in self.benches:
            if bench.failures:
                raise bench.failures[0]

    def abandon(self, number: int) -> None:
        """Have a worker leave its partition where it is."""
        worker = self.benches[number].worker
        worker.retry.release()
        worker.abandon()

    async def die(self) -> None:
        """End all workers where they are, as if their processes died."""
        for number in range(len(self.benches)):
            self.abandon(number)
        for task in asyncio.all_tasks():
            if task.get_name().startswith("bundle"):
                task.cancel()
        await turns()

    async def all_in(self) -> None:
        """Wait until every record is in ClickHouse."""
        ends = {bench.partition: len(bench.log.records) for bench in self.benches}
        await until(lambda: all(self.store.ledgers[where].landed == end for where, end in ends.items()))

    async def finish(self) -> None:
        """Read every log to its end, and give all partitions up in order."""
        for number in range(len(self.benches)):
            while await self.read(number, 7):
                await asyncio.sleep(0.01)
        await asyncio.gather(*(bench.worker.give_up() for bench in self.benches))
        self.raise_failures()

    def check(self) -> None:
        """Every event is in the tables and the live counters once, and every ledger at its end."""
        rows = self.store.tables["playback_events"]
        sent = sum(len(bench.log.records) for bench in self.benches)
        assert len({(row.partition, row.offset) for row in rows}) == len(rows) == sent
        assert sum(row.d_watched_ms for row in rows) == sent // _EVENTS * 4000
        for bench in self.benches:
            ledger, end = self.store.ledgers[bench.partition], len(bench.log.records)
            assert (ledger.counted, ledger.block_to, ledger.done, ledger.landed) == (end, end, True, end)
            assert self.store.books[bench.partition].read == end


def _bundles(store: MemoryStore) -> set[str]:
    return {token for token in store.tokens if token.startswith("bundle:")}


class _Gathering(Pace):
    """Lets no rows be due before all are there, however long this process takes: else they go alone."""

    has_all = False

    def linger(self, now: float, rows: int, *, behind: bool) -> float:
        return super().linger(now, rows, behind=behind) if self.has_all else inf

    def end(self) -> None:
        self.has_all = True
        for writers in self._writers.values():
            for writer in writers:
                writer._changed.set()


async def _at_work(
    store: MemoryStore, partitions: int, *, block_rows: int = 1_000, longest: float = 0.2
) -> Crew:
    """Return partitions of one process, each with eighteen records that it has taken."""
    crew, pace = Crew(store, partitions, views=3, block_rows=block_rows), _Gathering(14.0, longest)
    for number in range(partitions):
        await crew.take_over(number, pace)
        assert await crew.read(number, 18)
    pace.end()
    return crew


async def test_partitions_with_few_rows_share_an_insert_and_its_bytes_are_not_kept() -> None:
    store = MemoryStore()
    crew = await _at_work(store, 8)
    await until(lambda: all(ledger.done and ledger.landed for ledger in store.ledgers.values()))
    crew.check()
    assert store.tokens == _bundles(store)
    assert len(store.tokens) == 1
    await until(lambda: not store.bundles)
    for bench in crew.benches:
        await bench.worker.give_up()


async def test_a_bundle_has_few_bytes_however_large_its_rows_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "SHARED_BYTES", 11_000)
    sizes: list[int] = []
    commit = MemoryBundles.commit

    async def measured(self: MemoryBundles, name: str, bundle: Bundle) -> bool:
        sizes.append(len(bundle.packed))
        return await commit(self, name, bundle)

    monkeypatch.setattr(MemoryBundles, "commit", measured)
    store = MemoryStore()
    # Eighteen rows have about 5,000 bytes.
    crew = await _at_work(store, 8)
    await until(lambda: all(ledger.done and ledger.landed for ledger in store.ledgers.values()))
    crew.check()
    assert len(sizes) > 2
    assert max(sizes) <= 11_000
    for bench in crew.benches:
        await bench.worker.give_up()


async def test_a_block_that_is_worth_an_insert_goes_alone() -> None:
    store = MemoryStore()
    crew = await _at_work(store, 3, block_rows=18)
    await until(lambda: all(ledger.done and ledger.landed for ledger in store.ledgers.values()))
    crew.check()
    assert _bundles(store) == set()


@pytest.mark.parametrize("seed", range(40))
async def test_a_crash_at_any_step_neither_loses_nor_doubles(seed: int) -> None:
    """Partitions are shared by two processes; some are lost at any step, and taken over by either."""
    rng, store = random.Random(seed), MemoryStore()
    crew = Crew(store, partitions=5, views=12, block_rows=rng.choice([10, 40, 1_000]))
    paces = [Pace(1000.0, 0.01), Pace(1000.0, 0.01)]
    owners = {number: number % 2 for number in range(5)}
    for number, owner in owners.items():
        await crew.take_over(number, paces[owner])
    crashes = 0

    def fault(step: str) -> None:
        nonlocal crashes
        if crashes < 60 and rng.random() < 0.1:
            crashes += 1
            raise Crash(step)

    store.fault = fault
    lost = set[int]()
    while True:
        lost |= {number for number, bench in enumerate(crew.benches) if bench.failures}
        if lost and rng.random() < 0.5:
            process = owners[min(lost)]
            lost |= {number for number, owner in owners.items() if owner == process}
        for number in lost:
            crew.benches[number].worker.abandon()
        for number in sorted(lost):
            owners[number] = rng.randrange(2)
            with suppress(Crash):
                await crew.take_over(number, paces[owners[number]])
                lost.discard(number)
        left = [n for n, bench in enumerate(crew.benches) if crew.positions[n] < len(bench.log.records)]
        if not left and not lost:
            await asyncio.gather(*(bench.worker.give_up() for bench in crew.benches))
            if all(not bench.failures for bench in crew.benches):
                break
            continue
        for number in set(left) - lost:
            try:
                await crew.read(number, rng.randrange(1, 20))
            except Crash:
                lost.add(number)
        if rng.random() < 0.3:
            await asyncio.sleep(rng.random() * 0.01)
    assert crashes > 3
    crew.check()


@pytest.mark.parametrize("seed", range(10))
async def test_what_may_pass_is_tried_until_it_passes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.retry._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("streams.retry._LONGEST_PAUSE", 0.01)
    rng, store, pace = random.Random(seed), MemoryStore(), Pace(1000.0, 0.05)
    crew = Crew(store, partitions=5, views=10)

    def fault(step: str) -> None:
        if rng.random() < 0.2:
            raise Unavailable(step)

    for number in range(5):
        await crew.take_over(number, pace)
    store.fault = fault
    while any([await crew.read(number, 10) for number in range(5)]):
        await asyncio.sleep(0.005)
    await until(lambda: all(len(b.log.records) == store.ledgers[b.partition].landed for b in crew.benches))
    crew.raise_failures()
    crew.check()
    assert _bundles(store)


async def _stuck(step: str, *, committed: bool) -> tuple[MemoryStore, Crew]:
    """Return two partitions whose bundle is held up at a step, and its process with it."""
    store = MemoryStore()
    crew = await _at_work(store, 2)
    store.fault = failing(step)
    await until(lambda: all(bool(ledger.bundle) for ledger in store.ledgers.values()))
    await until(lambda: not committed or bool(store.bundles))
    return store, crew


async def test_a_bundle_that_was_not_committed_never_is_once_somebody_asked() -> None:
    store, crew = await _stuck("commit", committed=False)
    await crew.take_over(0, Pace(14.0, 0.2))
    (name,) = store.bundles
    assert store.bundles[name] is None
    # The other partition's worker still lives, and was about to send the bundle.
    store.fault = lambda _: None
    await until(lambda: store.ledgers[crew.benches[1].partition].landed == 18)
    assert _bundles(store) == set(), "it went alone"
    assert crew.positions[0] == 0, "what was in the bundle is read again"
    await crew.read(0, 18)
    await asyncio.gather(*(bench.worker.give_up() for bench in crew.benches))
    crew.check()


async def test_a_block_that_the_bundle_went_without_is_read_again() -> None:
    """The answer to its beginning was lost, so the others went without it; then the worker died."""
    store, crew = await _stuck("insert", committed=True)
    await crew.die()
    (name,) = store.bundles
    bundle = store.bundles[name]
    assert bundle is not None
    store.bundles[name] = replace(bundle, blocks=bundle.blocks[:1])
    store.fault = lambda _: None
    await crew.take_over(1, Pace(14.0, 0.2))
    assert crew.benches[1].worker.position == 0
    assert await crew.read(1, 18)
    await until(lambda: store.ledgers[crew.benches[1].partition].landed == 18)
    assert _bundles(store) == set(), "it went alone"
    assert len(store.tables["playback_events"]) == 18
    await crew.benches[1].worker.give_up()


async def test_a_bundle_whose_decision_was_lost_is_in_where_clickhouse_has_it() -> None:
    store, crew = await _stuck("inserted", committed=True)
    await until(lambda: bool(store.tokens))
    await crew.die()
    store.bundles.clear()
    store.fault = lambda _: None
    for number in range(2):
        await crew.take_over(number, Pace(14.0, 0.2))
        assert crew.benches[number].worker.position == 18
    crew.check()


async def test_a_shipment_that_nobody_waits_for_ends() -> None:
    store, crew = await _stuck("insert", committed=True)
    for number in range(len(crew.benches)):
        crew.abandon(number)
    await until(lambda: not any(task.get_name() == "bundle" for task in asyncio.all_tasks()))
    assert store.tokens == set()


async def test_a_bundle_that_was_committed_is_sent_again_and_counts_once() -> None:
    store, crew = await _stuck("insert", committed=True)
    await crew.die()
    sent = []
    store.fault = lambda step: sent.append(step) if step == "insert" else None
    for number in range(2):
        await crew.take_over(number, Pace(14.0, 0.2))
        assert crew.positions[number] == 0, "the state of views is folded again"
        assert await crew.read(number, 18)
    await crew.all_in()
    crew.check()
    assert store.tokens == _bundles(store)
    assert len(store.tokens) == 1
    assert sent, "somebody did"


@pytest.mark.parametrize("who", ["the first sender", "an heir"])
async def test_who_slept_until_clickhouse_forgot_a_bundle_does_not_repeat_it(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, crew_died = MemoryStore(), who == "an heir"
    if crew_died:
        store, crew = await _stuck("insert", committed=True)
        await crew.die()
        store.fault = lambda _: None
    awake, send, tries = asyncio.Event(), MemoryBlocks.send, list[str]()

    async def sleep_in(self: MemoryBlocks, token: str, packed: bytes) -> None:
        await send(self, token, packed)
        if token.startswith("bundle:") and not tries:
            tries.append(token)
            await awake.wait()
            raise Unavailable("the server hung up long ago")

    monkeypatch.setattr(MemoryBlocks, "send", sleep_in)
    if crew_died:
        pace = Pace(14.0, 0.2)
        for number in range(2):
            await crew.take_over(number, pace)
            await crew.read(number, 18)
    else:
        crew = await _at_work(store, 2)
    await until(lambda: bool(tries))
    sleeping = [bench.worker for bench in crew.benches]
    for bench in crew.benches:
        heir = Bench(bench.log, store)
        heir.partition = bench.partition
        await heir.run([50])
    # As many blocks as ClickHouse remembers were inserted since.
    store.tokens.clear()
    awake.set()
    # Of the heirs, each has a process of its own, and one of them sleeps.
    await until(lambda: sum(bool(bench.failures) for bench in crew.benches) == (1 if crew_died else 2))
    assert {type(error) for bench in crew.benches for error in bench.failures} == {Fenced}
    crew.check()
    for worker in sleeping:
        worker.abandon()


async def test_who_slept_before_it_sent_a_block_that_no_bundle_took_does_not_send_it() -> None:
    """Until ClickHouse has forgotten the block, which the next owner has inserted."""
    store, crew = await _stuck("commit", committed=False)
    sleeper = crew.benches[1]
    assert sleeper.pace
    slots = [asyncio.create_task(sleeper.pace.slots.acquire()) for _ in range(2)]
    await crew.take_over(0, Pace(14.0, 0.2))
    store.fault = lambda _: None
    await until(lambda: not store.ledgers[sleeper.partition].bundle)
    assert not store.ledgers[sleeper.partition].done, "it waits for a slot"
    heir = Bench(sleeper.log, store)
    heir.partition = sleeper.partition
    await heir.run([50])
    # As many blocks as ClickHouse remembers were inserted since.
    store.tokens.clear()
    await asyncio.gather(*slots)
    for _ in slots:
        sleeper.pace.slots.release()
    await until(lambda: bool(sleeper.failures))
    assert isinstance(sleeper.failures[0], Fenced)
    await crew.read(0, 18)
    await crew.benches[0].worker.give_up()
    crew.check()


async def test_heirs_in_one_process_send_a_bundle_together() -> None:
    store, crew = await _stuck("insert", committed=True)
    (name,) = store.bundles
    sent = 0

    def fault(step: str) -> None:
        nonlocal sent
        sent += step == "insert"

    store.fault = fault
    bundles = stores_of(store, Letters()).bundles
    kept = store.bundles[name]
    assert kept is not None and len(kept.blocks) > 1
    assert await asyncio.gather(*(bundles.send_again(name) for _ in range(5))) == [kept.blocks] * 5
    assert sent == 1
    await crew.die()


async def test_heirs_in_one_process_fetch_a_bundle_together(monkeypatch: pytest.MonkeyPatch) -> None:
    store, crew = await _stuck("insert", committed=True)
    await crew.die()
    store.fault = lambda _: None
    fetched, settle = list[str](), MemoryBundles.settle

    async def counted(self: MemoryBundles, name: str) -> Bundle | None:
        fetched.append(name)
        await asyncio.sleep(0.001)
        return await settle(self, name)

    monkeypatch.setattr(MemoryBundles, "settle", counted)
    stores, (name,) = stores_of(store, Letters()), store.bundles
    found = await asyncio.gather(*(stores.bundles.settle(name) for _ in range(50)))
    assert found == [store.bundles[name]] * 50
    assert fetched == [name]


async def test_live_counters_go_on_while_a_bundle_in_doubt_is_refused() -> None:
    store, crew = await _stuck("insert", committed=True)
    await crew.die()
    async with asyncio.timeout(30):
        await crew.take_over(0, Pace(14.0, 0.2))
        while await crew.read(0, 7):
            pass
    assert store.ledgers[crew.benches[0].partition].counted == 18
    store.fault = lambda _: None
    await crew.take_over(1, Pace(14.0, 0.2))
    await crew.read(1, 18)
    await crew.all_in()
    await until(lambda: not store.bundles)
    crew.check()


async def test_a_partition_that_is_given_up_leaves_the_others_their_insert() -> None:
    store, crew = await _stuck("insert", committed=True)
    crew.abandon(0)
    await turns()
    store.fault = lambda _: None
    await until(lambda: store.ledgers[crew.benches[1].partition].done)
    assert not store.ledgers[crew.benches[0].partition].done
    assert store.bundles, "the heir of the other needs it"
    await crew.take_over(0, Pace(14.0, 0.2))
    await crew.read(0, 18)
    await crew.all_in()
    await until(lambda: not store.bundles)
    crew.check()


async def test_records_that_kafka_no_longer_has_are_in_the_bundle() -> None:
    store, crew = await _stuck("insert", committed=True)
    await crew.die()
    store.fault = lambda _: None
    bench = crew.benches[0]
    bench.log = Log(bench.log.records[10:], start=10)
    await crew.take_over(0, Pace(14.0, 0.2))
    await bench.worker.process(Fetched(crew.positions[0], ()))
    assert bench.sought == [10]
    assert len(store.tables["playback_events"]) == 36
    # The bundle has the records after those, too.
    await bench.worker.process(Fetched(10, bench.log.read(10, 50)))
    await bench.worker.give_up()
    assert len(store.tables["playback_events"]) == 36


async def test_records_of_a_deleted_topic_are_in_the_bundle() -> None:
    store, crew = await _stuck("insert", committed=True)
    for partition, ledger in store.ledgers.items():
        store.ledgers[partition] = replace(ledger, topic_ids=("old",))
    await crew.die()
    store.fault = lambda _: None
    bench = crew.benches[0]
    bench.log = Log(topic_id="new")
    for event in view("fresh", _START_MS, 6):
        bench.log.append(event, event["occurredAt"])
    await crew.take_over(0, Pace(14.0, 0.2))
    for _ in range(2):
        await bench.worker.compare_log("new")
    assert bench.sought == [0]
    await bench.worker.process(Fetched(0, bench.log.read(0, 6)))
    await bench.worker.give_up()
    rows = store.tables["playback_events"]
    assert len(rows) == 36 + 6
    generation = store.ledgers[bench.partition].generation
    counted = store.live[bench.partition, generation].counters.values()
    assert sum(measures.get("views", 0) for measures in counted) == 3 + 1


async def crew_with_a_bundle_behind_a_block(store: MemoryStore, pace: Pace) -> Crew:
    """Return two partitions with a bundle whose insert fails; of the first, a block is stored before it."""
    crew = Crew(store, partitions=2, views=3)
    await crew.take_over(0, pace)
    await crew.read(0, 6)
    await until(lambda: store.ledgers[crew.benches[0].partition].landed == 6)
    await crew.take_over(1, pace)
    store.fault = failing("insert")
    await crew.read(1, 18)
    await crew.read(0, 12)
    await until(lambda: bool(store.bundles))
    return crew


@pytest.mark.parametrize(
    "first", ["the one that lost", "the other", "the other, to its end", "both", "both, one slowly"]
)
async def test_clickhouse_that_lost_rows_gets_them_and_those_of_the_bundle_once(
    first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it lost of one partition is read again from before the bundle, so nobody may send that now."""
    store, pace = MemoryStore(), Pace(14.0, 0.05)
    crew = await crew_with_a_bundle_behind_a_block(store, pace)
    await crew.die()
    store.fault = lambda _: None
    store.tables["playback_events"].clear()
    store.tokens.clear()
    if first.startswith("both"):
        for kind, name in (
            (MemoryArchive, "next_offset"),
            (MemoryBundles, "settle"),
            (MemoryBundles, "revoke"),
        ):
            slow = 0.002 if name == "revoke" and "slowly" in first else 0.0
            monkeypatch.setattr(kind, name, _later(getattr(kind, name), slow))
        await asyncio.gather(*(crew.take_over(number, pace) for number in range(2)))
    else:
        for number in (0, 1) if first == "the one that lost" else (1, 0):
            await crew.take_over(number, pace)
            if first.endswith("to its end"):
                await crew.read(number, 18)
                await until(lambda: any(ledger.landed == 18 for ledger in store.ledgers.values()))
    await crew.finish()
    crew.check()


async def test_a_bundle_that_was_revoked_while_its_insert_had_no_answer_is_not_sent() -> None:
    """ClickHouse lost rows of a partition that has moved, and its records are read again."""
    store, pace = MemoryStore(), Pace(14.0, 0.05)
    crew = await crew_with_a_bundle_behind_a_block(store, pace)
    store.tables["playback_events"].clear()
    store.tokens.clear()
    crew.abandon(0)
    await crew.take_over(0, Pace(1000.0, 0.01))
    assert list(store.bundles.values()) == [None]
    store.fault = lambda _: None
    sender = crew.benches[1]
    await until(lambda: bool(sender.failures) or store.ledgers[sender.partition].landed == 18)
    assert [type(error) for error in sender.failures] == [Unexpected]
    crew.abandon(1)
    await crew.take_over(1, Pace(1000.0, 0.01))
    await crew.finish()
    crew.check()


async def test_a_bundle_of_which_a_partition_was_replayed_is_not_sent_though_redis_forgot_that() -> None:
    store, crew = await _stuck("insert", committed=True)
    await crew.die()
    store.fault = lambda _: None
    ((name, bundle),) = store.bundles.items()
    store.bundles[name] = None
    await crew.take_over(0, Pace(1000.0, 0.01))
    assert await crew.read(0, 18)
    await until(lambda: store.ledgers[crew.benches[0].partition].landed == 18)
    store.bundles[name] = bundle  # A replica was promoted that did not know that it was revoked.
    await crew.take_over(1, Pace(1000.0, 0.01))
    await crew.finish()
    crew.check()


async def _died_between_two_finishes() -> tuple[MemoryStore, Crew, int]:
    """Have two partitions' workers die with a bundle that is done for one of them; return which one."""
    store = MemoryStore()
    crew = await _at_work(store, 2, longest=0.05)
    finishes = 0

    def fault(step: str) -> None:
        nonlocal finishes
        finishes += step == "finish"
        if step == "finish" and finishes > 1:
            raise Unavailable(step)

    store.fault = fault
    await until(lambda: any(ledger.landed for ledger in store.ledgers.values()))
    await crew.die()
    store.fault = lambda _: None
    (done,) = (n for n in range(2) if store.ledgers[crew.benches[n].partition].done)
    return store, crew, done


async def test_clickhouse_that_lost_a_bundle_which_was_done_for_some_gets_it_once() -> None:
    store, crew, done = await _died_between_two_finishes()
    store.tables["playback_events"].clear()
    store.tokens.clear()
    for number in (done, 1 - done):
        await crew.take_over(number, Pace(1000.0, 0.01))
        while await crew.read(number, 7):
            await asyncio.sleep(0.01)
    await crew.finish()
    crew.check()


async def test_a_bundle_that_was_lost_with_later_rows_of_a_partition_is_not_sent_for_another() -> None:
    """The ledger of the one that went on names the bundle no longer, and its rows are not there yet."""
    store, crew, done = await _died_between_two_finishes()
    log = crew.benches[done].log
    for event in view("more", _START_MS, _EVENTS):
        log.append(event, event["occurredAt"] + 50)
    await crew.take_over(done, Pace(1000.0, 0.01))
    await crew.read(done, 7)
    await crew.benches[done].worker.give_up()
    store.tables["playback_events"].clear()
    store.tokens.clear()
    await crew.take_over(done, Pace(1000.0, 0.01))
    await crew.take_over(1 - done, Pace(1000.0, 0.01))
    assert await crew.read(1 - done, 18)
    await until(lambda: store.ledgers[crew.benches[1 - done].partition].done)
    await crew.finish()
    rows = [(row.partition, row.offset) for row in store.tables["playback_events"]]
    assert len(set(rows)) == len(rows) == 18 + 24


async def test_clickhouse_that_lost_rows_after_a_bundle_which_it_has_does_not_get_that_again() -> None:
    store, crew, done = await _died_between_two_finishes()
    # The one whose block is done goes on, and ClickHouse loses the rows of that.
    backup, log = list(store.tables["playback_events"]), crew.benches[done].log
    for event in view("more", _START_MS, _EVENTS):
        log.append(event, event["occurredAt"] + 50)
    await crew.take_over(done, Pace(1000.0, 0.01))
    await crew.read(done, 7)
    await crew.benches[done].worker.give_up()
    store.tables["playback_events"] = backup
    store.tokens = {token for token in store.tokens if token.startswith("bundle:")}
    await crew.take_over(1 - done, Pace(1000.0, 0.01))
    assert await crew.read(1 - done, 18)
    await until(lambda: store.ledgers[crew.benches[1 - done].partition].done)
    await crew.take_over(done, Pace(1000.0, 0.01))
    await crew.finish()
    rows = [(row.partition, row.offset) for row in store.tables["playback_events"]]
    assert len(set(rows)) == len(rows) == 18 + 24


@pytest.mark.parametrize("free", [1, 2])
async def test_nobody_waits_for_a_partition_whose_inserts_are_held(
    free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds them waits for the blocks that were begun before."""
    store = MemoryStore()
    crew = await _at_work(store, 3)
    held, begun, begin = True, set[Partition](), MemoryLedgers.begin

    async def hold(self: MemoryLedgers, block: Block, epoch: int, mark: str, bundle: str = "") -> None:
        if held and block.partition not in begun and len(begun) == free:
            raise Held("a rebuild")
        begun.add(block.partition)
        await begin(self, block, epoch, mark, bundle)

    monkeypatch.setattr(MemoryLedgers, "begin", hold)
    await until(lambda: sum(ledger.landed == 18 for ledger in store.ledgers.values()) == free)
    await asyncio.sleep(0.1)
    assert all(ledger.done for ledger in store.ledgers.values())
    held = False
    await crew.all_in()
    crew.check()
    assert len(_bundles(store)) == free - 1


async def test_a_shipment_ends_though_one_of_its_blocks_went_alone() -> None:
    store = MemoryStore()
    crew = await _at_work(store, 3)
    begun = 0

    def fault(step: str) -> None:
        nonlocal begun
        begun += step == "begin"
        if step == "begin" and begun == 2:
            raise Held("a rebuild")
        if step == "insert":
            raise Unavailable(step)

    store.fault = fault
    await until(lambda: bool(store.bundles))
    for number in range(len(crew.benches)):
        crew.abandon(number)
    await until(lambda: not any(task.get_name() == "bundle" for task in asyncio.all_tasks()))


def _later(real: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    async def later(*arguments: Any) -> Any:
        await asyncio.sleep(seconds)
        return await real(*arguments)

    return later
