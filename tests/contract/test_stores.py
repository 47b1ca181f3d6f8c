"""One suite for every implementation of the store protocols: in memory, and on real servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from redis.asyncio import Redis

from sinks.base import (
    Block,
    BlockId,
    BlockSink,
    Books,
    Bundle,
    BundleStore,
    Fenced,
    Held,
    Ledger,
    LedgerStore,
    LiveBatch,
    LiveSink,
    Partition,
    Unavailable,
    Unexpected,
)
from sinks.clickhouse import client as clickhouse
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.sink import ClickHouseBlocks
from sinks.memory import (
    MemoryArchive,
    MemoryBlocks,
    MemoryBundles,
    MemoryLedgers,
    MemoryLive,
    MemoryStore,
)
from sinks.redis import keys
from sinks.redis.bundles import RedisBundles
from sinks.redis.client import connect as connect_redis
from sinks.redis.holds import HeldByAnother, HoldLost, Holds
from sinks.redis.ledger import FORMAT, RedisLedgers, ledger_key, read_ledgers, request_recount
from sinks.redis.sink import RedisLive
from streams.domain.aggregate import LIVE_MINUTES, Live, fold_playback
from streams.domain.arrivals import SKEW_MS
from streams.domain.events import LATEST_MS
from streams.domain.rows import CatalogRow, PlaybackRow
from tests.pipeline.bench import Log, view
from tests.pipeline.fold import LOG, block_of, fold_log

#: The servers expire minutes by their own clock, so events happen now.
NOW = float(int(time.time()))


@dataclass
class Stores:
    """One implementation of the protocols for counting, and a way to read the live counters."""

    live: LiveSink
    ledgers: LedgerStore
    bundles: BundleStore
    counters: Callable[[Partition, int], Any]
    #: Asks for a recount.
    ask: Callable[[Partition, str], Any]
    #: Holds inserts of a partition for some seconds.
    hold: Callable[[Partition, float], Any]


@dataclass
class Tables:
    """One implementation of the protocols that store rows, and its number of rows."""

    blocks: BlockSink
    archive: MemoryArchive | ClickHouseArchive
    rows: Callable[[], Any]


def rows_of(views: int, start: int = 0) -> list[PlaybackRow]:
    log = Log(start=start)
    for n in range(views):
        for event in view(f"v{start}-{n}", int(NOW * 1000) - 60_000):
            log.append(event, event["occurredAt"] + 20)
    return fold_log(log)


@pytest.fixture
def partition() -> Partition:
    return Partition(f"c{uuid4().hex[:8]}", "playback.events", 0)


@pytest.fixture(params=["memory", "redis", "redis-cluster"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        store = MemoryStore()

        async def counters(partition: Partition, generation: int) -> dict[str, int]:
            total: dict[str, int] = {}
            for cell in store.live[partition, generation].counters.values():
                for name, value in cell.items():
                    total[name] = total.get(name, 0) + value
            return total

        async def ask(partition: Partition, request: str) -> None:
            store.recounts[partition] = request

        async def hold(partition: Partition, seconds: float) -> None:
            store.held_until[partition] = store.clock() + seconds

        yield Stores(MemoryLive(store), MemoryLedgers(store), MemoryBundles(store), counters, ask, hold)
        return
    server = "redis_cluster_server" if request.param == "redis-cluster" else "redis_server"
    # A busy machine is no outage.
    redis = connect_redis(request.getfixturevalue(server), connect_timeout=10, read_timeout=20)
    yield Stores(
        RedisLive(redis, clock=lambda: NOW),
        RedisLedgers(redis),
        RedisBundles(redis),
        lambda partition, generation: _redis_counters(redis, partition, generation),
        lambda partition, request: request_recount(redis, [partition], request),
        lambda partition, seconds: Holds(redis, "a rebuild", seconds).take([partition]),
    )
    await redis.aclose()


@pytest.fixture(params=["memory", "clickhouse"])
async def tables(request: pytest.FixtureRequest) -> AsyncIterator[Tables]:
    if request.param == "memory":
        store = MemoryStore()

        async def rows() -> int:
            return len(store.tables["playback_events"])

        yield Tables(MemoryBlocks(store), MemoryArchive(store), rows)
        return
    base = request.getfixturevalue("clickhouse_server").rstrip("/")
    url = f"{base}/{request.getfixturevalue('clickhouse_database')}"
    migrate(url)
    client = await clickhouse.connect(url)
    yield Tables(ClickHouseBlocks(client), ClickHouseArchive(client), lambda: _count(client))
    await client.close()


async def _redis_counters(redis: Redis, partition: Partition, generation: int) -> dict[str, int]:
    tag = keys.tag(partition.cluster, partition.topic, partition.number)
    total: dict[str, int] = {}
    async for key in redis.scan_iter(match=keys.prefix(tag, generation) + "t:*", count=1000):
        fields: dict[Any, Any] = await redis.hgetall(key)
        for name, value in fields.items():
            total[name.decode()] = total.get(name.decode(), 0) + int(value)
    return total


async def _count(client: Any) -> int:
    return int((await client.query("SELECT count() FROM playback_events")).result_rows[0][0])


async def claimed(stores: Stores, partition: Partition) -> int:
    ledger = await stores.ledgers.claim(partition)
    await stores.ledgers.rewrite(partition, replace(ledger, counted=0, block_from=0, block_to=0))
    return ledger.epoch


def batch(partition: Partition, epoch: int, start: int, end: int, live: Live) -> LiveBatch:
    return LiveBatch(partition, epoch, 0, start, end, "mark", live, Books(read=end - start))


class TestLedger:
    async def test_a_claim_raises_the_epoch_and_fences_the_owner_before(
        self, stores: Stores, partition: Partition
    ) -> None:
        first = await claimed(stores, partition)
        second = (await stores.ledgers.claim(partition)).epoch
        assert second > first
        with pytest.raises(Fenced):
            await stores.ledgers.begin(block_of(partition, [], 0, 5), first, "")
        with pytest.raises(Fenced):
            await stores.live.write(batch(partition, first, 0, 5, Live()))

    async def test_it_knows_a_block_in_doubt(self, stores: Stores, partition: Partition) -> None:
        epoch = await claimed(stores, partition)
        rows = rows_of(1)
        block = block_of(partition, rows, 0, 9)
        await stores.ledgers.begin(block, epoch, "before")
        ledger = await stores.ledgers.claim(partition)
        assert (ledger.block_from, ledger.block_to, ledger.done) == (0, 9, False)
        assert (ledger.from_mark, ledger.to_mark) == ("before", "m9")
        await stores.ledgers.finish(block, ledger.epoch)
        ledger = await stores.ledgers.claim(partition)
        assert (ledger.done, ledger.landed) == (True, rows[-1].offset + 1)

    async def test_while_inserts_are_held_only_a_block_that_was_begun_before_is_begun_again(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        first, second = block_of(partition, [], 0, 9), block_of(partition, [], 9, 12)
        await stores.ledgers.begin(first, epoch, "")
        await stores.hold(partition, 60)
        await stores.ledgers.begin(first, epoch, "")
        await stores.ledgers.finish(first, epoch)
        with pytest.raises(Held):
            await stores.ledgers.begin(second, epoch, "m9")
        assert (await stores.ledgers.read(partition)).block_to == 9
        await stores.hold(partition, 0.01)
        await asyncio.sleep(0.02)
        await stores.ledgers.begin(second, epoch, "m9")
        assert (await stores.ledgers.read(partition)).block_to == 12

    async def test_a_beginning_that_comes_late_opens_nothing(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        first, second = block_of(partition, [], 0, 9), block_of(partition, [], 9, 12)
        await stores.ledgers.begin(first, epoch, "", "bundle:1")
        await stores.ledgers.finish(first, epoch)
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(first, epoch, "", "bundle:1")
        await stores.ledgers.begin(second, epoch, "m9")
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(first, epoch, "", "bundle:1")
        ledger = await stores.ledgers.claim(partition)
        assert (ledger.block_from, ledger.block_to, ledger.bundle) == (9, 12, "")
        await stores.ledgers.finish(second, ledger.epoch)
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(second, ledger.epoch, "m9")
        assert (await stores.ledgers.read(partition)).done

    async def test_a_beginning_that_comes_late_is_not_of_the_log_that_came_since(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        ledger = await stores.ledgers.read(partition)
        await stores.ledgers.rewrite(
            partition, replace(ledger, incarnation=1, counted=30, block_from=30, block_to=30)
        )
        before = block_of(partition, [], 30, 60)
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(before, epoch, "")
        assert (await stores.ledgers.read(partition)).done
        await stores.ledgers.begin(replace(before, log=f"{partition.cluster}#1"), epoch, "")
        assert (await stores.ledgers.read(partition)).block_to == 60

    async def test_no_block_begins_behind_a_gap(self, stores: Stores, partition: Partition) -> None:
        """As when Redis came back as it was before the last blocks: nobody would rebuild what they had."""
        epoch = await claimed(stores, partition)
        first, third = block_of(partition, [], 0, 9), block_of(partition, [], 12, 15)
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(third, epoch, "m12")
        await stores.ledgers.begin(first, epoch, "")
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(third, epoch, "m12")
        await stores.ledgers.finish(first, epoch)
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(third, epoch, "m12")
        ledger = await stores.ledgers.read(partition)
        assert (ledger.block_from, ledger.block_to, ledger.done) == (0, 9, True)

    async def test_a_longer_block_takes_the_place_of_one_in_doubt(
        self, stores: Stores, partition: Partition
    ) -> None:
        """As when Kafka lost the first records of that one."""
        epoch = await claimed(stores, partition)
        await stores.ledgers.begin(block_of(partition, [], 0, 9), epoch, "", "bundle:1")
        await stores.ledgers.begin(block_of(partition, [], 0, 12), epoch, "")
        ledger = await stores.ledgers.read(partition)
        assert (ledger.block_from, ledger.block_to, ledger.done, ledger.bundle) == (0, 12, False, "")

    async def test_an_end_that_comes_late_ends_no_other_block(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        first, second = block_of(partition, [], 0, 9), block_of(partition, [], 9, 12)
        await stores.ledgers.begin(first, epoch, "")
        await stores.ledgers.finish(first, epoch)
        await stores.ledgers.begin(second, epoch, "m9")
        await stores.ledgers.finish(first, epoch)
        assert not (await stores.ledgers.read(partition)).done

    async def test_an_end_that_comes_late_is_not_of_the_log_that_came_since(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        before = block_of(partition, [], 0, 9)
        await stores.ledgers.begin(before, epoch, "")
        await stores.ledgers.finish(before, epoch)
        ledger = await stores.ledgers.read(partition)
        await stores.ledgers.rewrite(partition, replace(ledger, incarnation=1, block_to=0))
        await stores.ledgers.begin(replace(before, log=f"{partition.cluster}#1"), epoch, "")
        await stores.ledgers.finish(before, epoch)
        assert not (await stores.ledgers.read(partition)).done
        await stores.ledgers.finish(replace(before, log=f"{partition.cluster}#1"), epoch)
        assert (await stores.ledgers.read(partition)).done

    async def test_a_rewriting_that_comes_late_sets_nothing_back(
        self, stores: Stores, partition: Partition
    ) -> None:
        before = await stores.ledgers.claim(partition)
        ledger = replace(before, counted=0, block_from=0, block_to=0)
        for _ in range(2):  # The first answer may have been lost.
            await stores.ledgers.rewrite(partition, ledger, before)
        await stores.live.write(batch(partition, ledger.epoch, 0, 5, Live()))
        with pytest.raises(Unavailable):
            await stores.ledgers.rewrite(partition, ledger, before)
        counted = await stores.ledgers.read(partition)
        assert counted.counted == 5
        await stores.ledgers.rewrite(partition, replace(counted, incarnation=1), counted)
        with pytest.raises(Unavailable):
            await stores.ledgers.rewrite(partition, ledger, before)
        assert (await stores.ledgers.read(partition)).incarnation == 1

    async def test_a_switch_that_comes_late_brings_no_old_generation_back(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        first, second = (Ledger(epoch, generation=(1 << 61) + n) for n in range(2))
        for _ in range(2):  # The first answer may have been lost.
            await stores.ledgers.finish_recount(partition, 0, first, "first")
        await stores.ledgers.finish_recount(partition, first.generation, second, "second")
        with pytest.raises(Unexpected):
            await stores.ledgers.finish_recount(partition, 0, first, "first")
        assert (await stores.ledgers.read(partition)).generation == second.generation

    async def test_nobody_reads_a_generation_that_has_more_than_the_ledger_says(
        self, stores: Stores, partition: Partition
    ) -> None:
        """As when a replica of Redis takes over that lacks the last batch: it will be counted again."""
        epoch = await claimed(stores, partition)
        await stores.live.write(batch(partition, epoch, 0, 5, Live()))
        with pytest.raises(Unexpected):
            await stores.ledgers.finish_recount(
                partition, 0, Ledger(epoch, generation=7, counted=9), "a request"
            )
        assert (await stores.ledgers.read(partition)).generation == 0
        await stores.ledgers.finish_recount(partition, 0, Ledger(epoch, generation=7, counted=5), "a request")
        assert (await stores.ledgers.read(partition)).generation == 7

    async def test_a_part_that_comes_late_is_not_added_to_what_is_read_by_then(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch, live = await claimed(stores, partition), fold_playback(rows_of(1), 0)
        for before, generation in ((0, 7), (7, 8)):
            ledger = Ledger(epoch, generation=generation, counted=0, parts=1)
            await stores.live.rebuild(partition, epoch, generation, 1, live)
            await stores.ledgers.finish_recount(partition, before, ledger, "a request")
        once = await stores.counters(partition, 8)
        for generation in (7, 8):
            await stores.live.rebuild(partition, epoch, generation, 1, live)
        assert await stores.counters(partition, 8) == once

    async def test_a_part_that_comes_late_is_not_added_to_a_later_generation_by_another_one(
        self, stores: Stores, partition: Partition
    ) -> None:
        """Nobody reads the later one yet, and it must be remembered that it has the part."""
        epoch, live = await claimed(stores, partition), fold_playback(rows_of(1), 0)
        first, second = ((epoch << 20) + n for n in (9, 10))
        await stores.live.rebuild(partition, epoch, first, 1, live)
        await stores.live.rebuild(partition, epoch, second, 1, live)
        once = await stores.counters(partition, second)
        for generation in (first, second):
            await stores.live.rebuild(partition, epoch, generation, 1, live)
        assert await stores.counters(partition, second) == once
        ledger = Ledger(epoch, generation=second, counted=0, parts=1)
        await stores.ledgers.finish_recount(partition, 0, ledger, "a request")

    async def test_nobody_reads_a_generation_of_which_a_part_was_lost(
        self, stores: Stores, partition: Partition
    ) -> None:
        """As when a replica of Redis takes over that has the claim, and lacks what was rebuilt since."""
        ledger = replace(await stores.ledgers.claim(partition), generation=7, parts=2)
        for part in (1, 2):
            with pytest.raises(Unexpected):
                await stores.ledgers.rewrite(partition, ledger)
            with pytest.raises(Unexpected):
                await stores.ledgers.finish_recount(partition, 0, ledger, "a request")
            await stores.live.rebuild(partition, ledger.epoch, 7, part, fold_playback(rows_of(1), 0))
        await stores.ledgers.rewrite(partition, ledger)
        await stores.ledgers.finish_recount(partition, 7, ledger, "a request")
        assert (await stores.ledgers.read(partition)).generation == 7

    async def test_it_keeps_the_shard_that_took_the_first_block(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        assert (await stores.ledgers.claim(partition)).shard == 0
        ledger = await stores.ledgers.claim(partition)
        assert ledger.epoch > epoch
        await stores.ledgers.begin(replace(block_of(partition, [], 0, 9), shard=3), ledger.epoch, "")
        ledger = await stores.ledgers.claim(partition)
        await stores.ledgers.rewrite(partition, ledger)
        assert (await stores.ledgers.claim(partition)).shard == 3

    async def test_a_ledger_names_the_topics_whose_logs_it_was_of(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = (await stores.ledgers.claim(partition)).epoch
        await stores.ledgers.name_log(partition, epoch, ["first"])
        ledger = await stores.ledgers.claim(partition)
        assert (ledger.topic_ids, ledger.is_new) == (("first",), True)
        with pytest.raises(Fenced):
            await stores.ledgers.name_log(partition, epoch, ["other"])
        await stores.ledgers.rewrite(partition, replace(ledger, topic_ids=("first", "second")))
        assert (await stores.ledgers.claim(partition)).topic_ids == ("first", "second")

    async def test_a_block_without_rows_leaves_what_landed(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        for block in (block_of(partition, rows_of(1), 0, 6), block_of(partition, [], 6, 9)):
            await stores.ledgers.begin(block, epoch, "")
            await stores.ledgers.finish(block, epoch)
        assert (await stores.ledgers.claim(partition)).landed == 6

    async def test_a_ledger_that_is_gone_is_not_made_up(self, stores: Stores, partition: Partition) -> None:
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(block_of(partition, [], 0, 5), 1, "")
        with pytest.raises(Unexpected):
            await stores.live.write(batch(partition, 1, 0, 5, Live()))

    async def test_several_are_read_at_once(self, stores: Stores, partition: Partition) -> None:
        other = replace(partition, number=1)
        await claimed(stores, partition)
        # Each field with a value of its own: none is left out.
        ledger = await stores.ledgers.read(partition)
        known = replace(
            ledger,
            incarnation=1,
            generation=2,
            counted=3,
            counted_mark="counted",
            block_from=4,
            block_to=5,
            from_mark="from",
            to_mark="to",
            done=False,
            landed=4,
            topic_ids=("a", "b"),
            bundle="bundle:a",
        )
        await stores.ledgers.rewrite(partition, known)
        found = await stores.ledgers.read_all([partition, other])
        assert found == {partition: known, other: Ledger(0)}
        assert await stores.ledgers.read(partition) == known
        assert await stores.ledgers.read_all([]) == {}

    async def test_a_request_to_count_again_is_there_until_its_owner_has_done_it(
        self, stores: Stores, partition: Partition
    ) -> None:
        ledgers, other = stores.ledgers, replace(partition, number=1)
        epoch = await claimed(stores, partition)
        assert await ledgers.requested_recounts([partition, other]) == {}
        await stores.ask(partition, "first")
        assert await ledgers.requested_recounts([partition, other]) == {partition: "first"}
        await stores.ask(partition, "second")
        with pytest.raises(Fenced):
            await ledgers.finish_recount(partition, 0, Ledger(epoch - 1, generation=77), "second")
        assert await ledgers.requested_recounts([partition]) == {partition: "second"}
        await ledgers.finish_recount(partition, 0, Ledger(epoch, generation=77), "second")
        assert await ledgers.requested_recounts([partition]) == {}
        assert (await ledgers.claim(partition)).generation == 77

    async def test_no_claim_is_older_than_one_before_a_loss_of_all_ledgers(
        self, stores: Stores, partition: Partition
    ) -> None:
        epochs = [await claimed(stores, replace(partition, number=number)) for number in range(2)]
        assert min(epochs) >= int(NOW * 1000)

    async def test_a_ledger_that_went_back_in_time_fences_nobody(
        self, stores: Stores, partition: Partition
    ) -> None:
        """The owner must recover: if it were fenced, no worker would own the partition."""
        later = await claimed(stores, partition) + 1
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(block_of(partition, [], 0, 5), later, "")
        with pytest.raises(Unexpected):
            await stores.live.write(batch(partition, later, 0, 5, Live()))
        with pytest.raises(Unexpected):
            await stores.live.rebuild(partition, later, 1, 1, fold_playback(rows_of(1), 0))


_BLOCKS = (
    BlockId("c", Partition("c", "t", 0), 5, 9),
    BlockId("c#1", Partition("c", "t", 1), 0, 4),
)


class TestBundles:
    @pytest.fixture
    def name(self) -> str:
        return f"bundle:{uuid4().hex}"

    async def test_a_bundle_that_is_committed_is_there_for_everybody(self, stores: Stores, name: str) -> None:
        bundle = Bundle(_BLOCKS, bytes(range(256)))
        for _ in range(2):  # The first answer may have been lost.
            assert await stores.bundles.commit(name, bundle)
        for _ in range(2):
            assert await stores.bundles.settle(name) == bundle
        await stores.bundles.drop(name)
        assert await stores.bundles.settle(name) is None

    async def test_a_bundle_that_somebody_asked_for_before_is_never_committed(
        self, stores: Stores, name: str
    ) -> None:
        assert await stores.bundles.settle(name) is None
        assert not await stores.bundles.commit(name, Bundle(_BLOCKS, b"late"))
        assert await stores.bundles.settle(name) is None

    async def test_a_bundle_that_is_revoked_is_nobodys_any_more(self, stores: Stores, name: str) -> None:
        assert await stores.bundles.commit(name, Bundle(_BLOCKS, b"body"))
        await stores.bundles.revoke(name)
        assert await stores.bundles.settle(name) is None
        assert not await stores.bundles.commit(name, Bundle(_BLOCKS, b"body"))

    async def test_the_ledger_names_the_bundle_of_its_newest_block(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        block = block_of(partition, [], 0, 5)
        await stores.ledgers.begin(block, epoch, "", "bundle:1")
        assert (await stores.ledgers.read(partition)).bundle == "bundle:1"
        await stores.ledgers.begin(block, epoch, "")
        assert (await stores.ledgers.read(partition)).bundle == ""
        with pytest.raises(Unexpected):
            await stores.ledgers.begin(block, epoch, "", "bundle:1")
        assert (await stores.ledgers.read(partition)).bundle == "", "a request that came late"

    async def test_a_block_of_a_bundle_that_is_never_sent_is_withdrawn_and_no_other(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        await stores.ledgers.begin(block_of(partition, [], 0, 5), epoch, "m0", "bundle:1")
        await stores.ledgers.withdraw(partition, epoch, "bundle:2")
        assert not (await stores.ledgers.read(partition)).done
        await stores.ledgers.withdraw(partition, epoch, "bundle:1")
        ledger = await stores.ledgers.read(partition)
        assert (ledger.block_from, ledger.block_to, ledger.to_mark) == (0, 0, "m0")
        assert (ledger.done, ledger.bundle) == (True, "")
        await stores.ledgers.begin(block_of(partition, [], 0, 7), epoch, "m0", "bundle:2")
        await stores.ledgers.finish(block_of(partition, [], 0, 7), epoch)
        await stores.ledgers.withdraw(partition, epoch, "bundle:2")
        assert (await stores.ledgers.read(partition)).block_to == 7, "it is done"
        with pytest.raises(Fenced):
            await stores.ledgers.withdraw(partition, epoch - 1, "bundle:2")

    async def test_what_is_left_in_redis_expires(self, redis_server: str, name: str) -> None:
        redis = connect_redis(redis_server)
        bundles = RedisBundles(redis)
        await bundles.commit(name, Bundle(_BLOCKS, b"body"))
        await bundles.settle(f"{name}-never")
        for key in (name, f"{name}-never"):
            assert 0 < await redis.ttl(keys.bundle(key)) <= keys.BUNDLE_SECONDS
        await redis.aclose()


async def count_live(redis: Any, partition: Partition, live: Live, now: float) -> int:
    """Count increments in an empty partition; return their generation."""
    ledgers = RedisLedgers(redis)
    ledger = await ledgers.claim(partition)
    await ledgers.rewrite(partition, ledger)
    batch = LiveBatch(partition, ledger.epoch, ledger.generation, 0, 1, "", live, Books())
    await RedisLive(redis, clock=lambda: now).write(batch)
    return ledger.generation


async def test_what_a_clock_years_ahead_counted_does_not_stay_in_redis_for_years(
    redis_server: str, partition: Partition
) -> None:
    redis = connect_redis(redis_server)
    live = Live()
    rows = rows_of(1)
    for row in rows:
        row.occurred_at = row.received_at = row.started_at = row.attempted_at = LATEST_MS
    fold_playback(rows, 0, live)
    generation = await count_live(redis, partition, live, NOW)
    tag = keys.tag(partition.cluster, partition.topic, partition.number)
    found = [key async for key in redis.scan_iter(match=f"{keys.prefix(tag, generation)}*")]
    assert len(found) > 3
    for key in found:
        assert 0 < await redis.ttl(key) <= keys.KEPT_SECONDS + 3600, key
    await redis.aclose()


async def test_a_view_that_is_ahead_is_kept_for_as_long_as_it_counts_as_watching(
    redis_server: str, partition: Partition
) -> None:
    redis = connect_redis(redis_server)
    live = Live()
    now_ms = int(time.time() * 1000)
    rows = rows_of(1)
    for row in rows:
        row.occurred_at = now_ms + SKEW_MS
    fold_playback(rows, now_ms // 60_000 - LIVE_MINUTES, live)
    generation = await count_live(redis, partition, live, now_ms / 1000)
    name = keys.watching(keys.tag(partition.cluster, partition.topic, partition.number), generation)
    found = [key async for key in redis.scan_iter(match=f"{name}*")]
    assert len(found) == 2
    for key in found:
        counts_for_ms = now_ms + SKEW_MS + keys.WATCHING_MS - time.time() * 1000
        assert await redis.pttl(key) > counts_for_ms, key
    await redis.aclose()


async def test_a_ledger_of_a_newer_format_is_left_as_it_is(redis_server: str, partition: Partition) -> None:
    redis = connect_redis(redis_server)
    ledgers = RedisLedgers(redis)
    # A ledger from before ledgers had a format version.
    await redis.hset(ledger_key(partition), mapping={"epoch": 7, "counted": 5})
    epoch = (await ledgers.claim(partition)).epoch
    assert await redis.hget(ledger_key(partition), "format") == str(FORMAT).encode()
    await redis.hset(ledger_key(partition), "format", FORMAT + 1)
    with pytest.raises(Unexpected, match=f"newer version .format {FORMAT + 1}"):
        await ledgers.claim(partition)
    # The ledger's owner is not fenced.
    await ledgers.name_log(partition, epoch, ["topic"])
    await redis.delete(ledger_key(partition))
    await redis.aclose()


class TestHolds:
    """What a holder of inserts sees; only Redis has holders."""

    @pytest.fixture
    async def redis(self, redis_server: str) -> AsyncIterator[Redis]:
        client = connect_redis(redis_server)
        yield client
        # A hold outlives its test, and a rebuild holds all existing partitions.
        async for key in client.scan_iter(match=keys.ledger("*")):
            await client.hdel(key, "hold", "hold_until")
        await client.aclose()

    async def _claimed(self, redis: Redis, partition: Partition) -> tuple[RedisLedgers, int]:
        ledgers = RedisLedgers(redis)
        ledger = await ledgers.claim(partition)
        await ledgers.rewrite(partition, replace(ledger, counted=0, block_from=0, block_to=0))
        return ledgers, ledger.epoch

    async def test_no_block_is_begun_while_inserts_are_held(self, redis: Redis, partition: Partition) -> None:
        ledgers, epoch = await self._claimed(redis, partition)
        holds = Holds(redis, "me")
        await holds.take([partition])
        with pytest.raises(Unavailable, match="held"):
            await ledgers.begin(block_of(partition, [], 0, 5), epoch, "")
        await holds.keep([partition])
        await holds.release([partition], checked=True)
        await ledgers.begin(block_of(partition, [], 0, 5), epoch, "")

    async def test_a_block_that_was_begun_goes_on_and_another_owner_may_begin_it_again(
        self, redis: Redis, partition: Partition
    ) -> None:
        ledgers, epoch = await self._claimed(redis, partition)
        block = block_of(partition, [], 0, 5)
        await ledgers.begin(block, epoch, "")
        await Holds(redis, "me").take([partition])
        heir = (await ledgers.claim(partition)).epoch
        await ledgers.begin(block, heir, "")
        with pytest.raises(Unavailable):
            await ledgers.begin(block_of(partition, [], 0, 9), heir, "")
        await ledgers.finish(block, heir)
        assert (await read_ledgers(redis))[partition][0].done
        with pytest.raises(Unavailable):
            await ledgers.begin(block_of(partition, [], 5, 9), heir, "")

    async def test_a_hold_ends_by_itself_and_its_holder_learns_of_it(
        self, redis: Redis, partition: Partition
    ) -> None:
        ledgers, epoch = await self._claimed(redis, partition)
        holds = Holds(redis, "me", seconds=0.05)
        await holds.take([partition])
        await asyncio.sleep(0.1)
        await ledgers.begin(block_of(partition, [], 0, 5), epoch, "")
        with pytest.raises(HoldLost):
            await holds.keep([partition])
        with pytest.raises(HoldLost):
            await holds.release([partition], checked=True)

    async def test_one_holds_at_a_time(self, redis: Redis, partition: Partition) -> None:
        await self._claimed(redis, partition)
        await Holds(redis, "me").take([partition])
        with pytest.raises(HeldByAnother, match="me"):
            await Holds(redis, "you").take([partition])


class TestLive:
    async def test_a_batch_counts_once_however_often_it_is_sent(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        rows = rows_of(3)
        live = fold_playback(rows, 0)
        sent = batch(partition, epoch, 0, 18, live)
        for _ in range(3):
            await stores.live.write(sent)
        counters = await stores.counters(partition, 0)
        assert counters["views"] == 3
        assert counters["watched_ms"] == 3 * 4000
        assert counters["country:unknown"] == 3
        assert (await stores.ledgers.claim(partition)).counted == 18

    async def test_a_batch_that_does_not_follow_is_refused_whole(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        with pytest.raises(Unexpected):
            await stores.live.write(batch(partition, epoch, 7, 18, fold_playback(rows_of(1), 0)))
        assert await stores.counters(partition, 0) == {}

    async def test_a_batch_before_what_is_counted_is_not_taken_for_counted(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        await stores.live.write(batch(partition, epoch, 0, 18, Live()))
        # As when Redis lost that the topic is another one now, which is read from its start.
        with pytest.raises(Unexpected):
            await stores.live.write(batch(partition, epoch, 0, 6, fold_playback(rows_of(1), 0)))
        assert await stores.counters(partition, 0) == {}

    async def test_a_batch_for_a_generation_that_nobody_reads_is_refused_whole(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        ledger = await stores.ledgers.read(partition)
        await stores.ledgers.rewrite(partition, replace(ledger, incarnation=1, generation=7))
        with pytest.raises(Unexpected):
            await stores.live.write(batch(partition, epoch, 0, 6, fold_playback(rows_of(1), 0)))
        assert (await stores.ledgers.read(partition)).counted == 0
        assert await stores.counters(partition, 0) == {}

    async def test_a_ledger_that_was_claimed_after_a_loss_takes_no_batch(
        self, stores: Stores, partition: Partition
    ) -> None:
        """The owner before the loss must recover, whether somebody has claimed the partition or not."""
        epoch = (await stores.ledgers.claim(partition)).epoch
        for owner in (epoch, epoch - 1):
            with pytest.raises(Unexpected):
                await stores.live.write(batch(partition, owner, 0, 5, Live()))

    async def test_no_sum_is_too_large_to_go_on(self, stores: Stores, partition: Partition) -> None:
        # Batches of views that claim a week each, at ten gigabits a second.
        weights = [7 * 86_400_000 * 10_000_000 * views for views in (2, 20, 1_500, 2_000, 5_000, 2)]
        epoch, minute = await claimed(stores, partition), int(NOW) // 60
        for n, weight in enumerate(weights):
            live = Live()
            live.add((minute, "vid"), attempts=1, views=2, bitrate_weight=weight, bitrate_ms=3)
            await stores.live.write(batch(partition, epoch, n, n + 1, live))
            await stores.live.rebuild(partition, epoch, 7, n + 1, live)
        for generation in (0, 7):
            counted = await stores.counters(partition, generation)
            assert (counted["attempts"], counted["views"], counted["bitrate_ms"]) == (6, 12, 18)
            assert counted["bitrate_weight"] >= weights[0]

    async def test_a_rebuilt_generation_is_apart_from_the_one_that_is_read(
        self, stores: Stores, partition: Partition
    ) -> None:
        epoch = await claimed(stores, partition)
        live = fold_playback(rows_of(2), 0)
        for part in (1, 1, 2, 1):  # The second answer was lost, and the last one comes late.
            await stores.live.rebuild(partition, epoch, 1, part, live)
        assert await stores.counters(partition, 0) == {}
        assert (await stores.counters(partition, 1))["views"] == 4
        with pytest.raises(Unexpected):  # The third one was lost.
            await stores.live.rebuild(partition, epoch, 1, 4, live)


class TestBlocks:
    async def test_a_block_counts_once_under_its_token(self, tables: Tables, partition: Partition) -> None:
        rows = rows_of(4)
        block = block_of(partition, rows, 0, 24, tables.blocks)
        await tables.blocks.write(block)
        await tables.blocks.write(block)
        assert await tables.rows() == 24
        await tables.blocks.write(block_of(partition, rows_of(1, start=24), 24, 30, tables.blocks))
        assert await tables.rows() == 30

    async def test_the_latest_instant_that_is_taken_fits_every_table(
        self, tables: Tables, partition: Partition
    ) -> None:
        rows = rows_of(1)
        for row in rows:
            row.occurred_at = row.received_at = row.started_at = row.attempted_at = LATEST_MS
        await tables.blocks.write(block_of(partition, rows, 0, 6, tables.blocks))
        assert await tables.archive.newest_received() == LATEST_MS

    async def test_an_empty_block_is_no_insert(self, tables: Tables, partition: Partition) -> None:
        await tables.blocks.write(block_of(partition, [], 0, 24, tables.blocks))
        assert await tables.rows() == 0

    async def test_blocks_of_several_partitions_go_in_one_insert_and_count_once(
        self, tables: Tables, partition: Partition
    ) -> None:
        rows = rows_of(4)
        for row in rows[12:]:
            row.partition = 1
        blocks = [
            block_of(partition, rows[:6], 0, 6, tables.blocks),
            block_of(partition, rows[6:12], 6, 12, tables.blocks),
            block_of(replace(partition, number=1), rows[12:], 12, 24, tables.blocks),
        ]
        packed = tables.blocks.pack(blocks)
        for _ in range(3):
            await tables.blocks.send(f"bundle:{partition.cluster}", packed)
        assert await tables.rows() == 24
        assert await tables.archive.next_offset(LOG, "playback.events", 0) == 12
        assert await tables.archive.next_offset(LOG, "playback.events", 1) == 24
        wanted = {("vid", "v0-0"), ("vid", "v0-3")}
        found = await tables.archive.history(
            *("playback_events", PlaybackRow, ("video_id", "view_id"), wanted, LOG, "playback.events", 0, 99)
        )
        assert sorted(found, key=lambda row: row.offset) == rows[:6] + rows[18:]


class TestArchive:
    async def test_it_says_how_far_a_log_has_landed(self, tables: Tables, partition: Partition) -> None:
        here = (LOG, "playback.events", 0)
        assert await tables.archive.next_offset(*here) is None
        assert await tables.archive.newest_received() == 0
        rows = rows_of(2)
        await tables.blocks.write(block_of(partition, rows, 0, 20, tables.blocks))
        assert await tables.archive.next_offset(*here) == rows[-1].offset + 1
        assert await tables.archive.next_offset(LOG, "playback.events", 1) is None
        assert await tables.archive.newest_received() == max(r.received_at for r in rows)

    async def test_it_says_how_far_several_logs_have_landed(
        self, tables: Tables, partition: Partition
    ) -> None:
        assert await tables.archive.ends([(LOG, "playback.events", 0)]) == {}
        rows, other = rows_of(2), "cluster#1"
        await tables.blocks.write(block_of(partition, rows, 0, 20, tables.blocks))
        moved = [msgspec.structs.replace(row, log=other, partition=3) for row in rows[:5]]
        await tables.blocks.write(replace(block_of(partition, moved, 0, 20, tables.blocks), log=other))
        here, there = (LOG, "playback.events", 0), (other, "playback.events", 3)
        assert await tables.archive.ends([here, (other, "playback.events", 0)]) == {here: rows[-1].offset + 1}
        assert await tables.archive.ends([here, there]) == {
            here: rows[-1].offset + 1,
            there: rows[4].offset + 1,
        }

    async def test_it_names_the_logs_of_a_partition(self, tables: Tables, partition: Partition) -> None:
        assert await tables.archive.logs("playback.events", 0) == []
        await tables.blocks.write(block_of(partition, rows_of(2), 0, 20, tables.blocks))
        assert await tables.archive.logs("playback.events", 0) == [LOG]
        assert await tables.archive.logs("playback.events", 1) == []

    async def test_it_knows_when_a_record_was_received(self, tables: Tables, partition: Partition) -> None:
        rows = rows_of(2)
        await tables.blocks.write(block_of(partition, rows, 0, 20, tables.blocks))
        here = ("playback_events", LOG, "playback.events", 0)
        assert await tables.archive.received_at(*here, rows[3].offset) == rows[3].received_at
        assert await tables.archive.received_at(*here, 1000) is None

    async def test_history_gives_rows_back_as_they_were_before_an_offset(
        self, tables: Tables, partition: Partition
    ) -> None:
        rows = rows_of(3)
        await tables.blocks.write(block_of(partition, rows, 0, 20, tables.blocks))
        wanted = {("vid", "v0-1"), ("vid", "nobody")}

        async def history(log: str, before: int) -> list[Any]:
            return await tables.archive.history(
                "playback_events",
                PlaybackRow,
                ("video_id", "view_id"),
                wanted,
                log,
                "playback.events",
                0,
                before,
            )

        assert await history(LOG, 100) == rows[6:12]
        assert await history(LOG, 8) == rows[6:8]
        assert await history("another", 0) == rows[6:12]

    async def test_rows_come_back_whatever_their_text_and_however_they_were_gathered(
        self, tables: Tables, partition: Partition
    ) -> None:
        rows = rows_of(1)
        for row, text in zip(rows, ["", "x" * 200, "é" * 64, "日本\n\t\\'\"", "\x00", "🎬"], strict=True):
            row.session_id = row.user_id = row.code = text
        block = block_of(partition, rows, 0, 6)
        block.chunks.extend(
            tables.blocks.encode(PlaybackRow, some) for some in (rows[:1], rows[1:4], rows[4:])
        )
        await tables.blocks.write(block)
        found = await tables.archive.history(
            *("playback_events", PlaybackRow, ("video_id", "view_id"), {("vid", "v0-0")}),
            *(LOG, "playback.events", 0, 100),
        )
        assert found == rows

    async def test_history_is_in_the_order_of_acceptance_though_a_replayed_record_has_an_old_time(
        self, tables: Tables, partition: Partition
    ) -> None:
        rows = rows_of(1)
        rows[4].received_at = rows[0].received_at - 3_600_000
        await tables.blocks.write(block_of(partition, rows, 0, 6, tables.blocks))
        found = await tables.archive.history(
            *("playback_events", PlaybackRow, ("video_id", "view_id"), {("vid", "v0-0")}),
            *(LOG, "playback.events", 0, 100),
        )
        assert [row.offset for row in found] == [0, 1, 2, 3, 4, 5]

    async def test_recent_rows_come_in_order_however_many_come_at_once(
        self, tables: Tables, partition: Partition, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = rows_of(2)
        await tables.blocks.write(block_of(partition, rows, 0, 20, tables.blocks))
        for at_once in (4, 5, 1000):
            monkeypatch.setattr("sinks.clickhouse.archive._ROWS_AT_ONCE", at_once)
            found = [
                some
                async for some in tables.archive.recent(
                    "playback_events", PlaybackRow, LOG, "playback.events", 0, 10, int(NOW - 3600) * 1000
                )
            ]
            assert [row for some in found for row in some] == rows[:10]
            assert all(found)

    async def test_the_catalog_is_told_by_time_and_by_what_is_not_known_yet(self, tables: Tables) -> None:
        topic = "video.catalog"

        def version(video: str, number: int, offset: int, ago_ms: int) -> CatalogRow:
            at = int(NOW * 1000) - ago_ms
            return CatalogRow(
                *(LOG, topic, number, offset, "", "catalog.entry", at, at, 0),
                *(video, "Title", 60_000, "", 0, False, False),
            )

        rows = [version("a", 0, 4, 100_000), version("b", 0, 5, 50_000), version("c", 1, 3, 70_000)]
        for row in rows:
            partition = Partition(LOG, topic, row.partition)
            block = Block(
                *(partition, LOG, "video_catalog", CatalogRow, row.offset, row.offset + 1, "m", 1),
                *(row.offset + 1, [tables.blocks.encode(CatalogRow, [row])]),
            )
            await tables.blocks.write(block)
        now = int(NOW * 1000)

        async def videos(since: int, **ends: int) -> str:
            known = {(LOG, topic, int(number[1:])): end for number, end in ends.items()}
            return "".join(row.video_id for row in await tables.archive.catalog(since, known))

        assert await videos(0) == "acb"
        assert await videos(now) == "acb"
        assert await videos(now, p0=6, p1=4) == ""
        assert await videos(now, p0=5, p1=4) == "b"
        assert await videos(now, p0=6) == "c"
        assert await videos(now - 60_000, p0=6, p1=4) == "b"


async def test_a_server_that_is_away_is_unavailable() -> None:
    redis = connect_redis("redis://127.0.0.1:1/0")
    with pytest.raises(Unavailable):
        await RedisLedgers(redis).claim(Partition("c", "t", 0))
    with pytest.raises(Unavailable):
        await clickhouse.connect("http://127.0.0.1:1/videocloud", connect_timeout=1.0)
