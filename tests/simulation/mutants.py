"""Mistakes in the protocol, made on purpose: a simulation that misses one of them would prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from sinks.base import BlockId, Ledger, Partition, log_name
from sinks.memory import MemoryBundles, MemoryLedgers, MemoryLive, MemoryStore
from streams.blocks import BlockWriter
from streams.bundles import Bundles
from streams.landed import Landed
from streams.ledger import plan_recovery
from streams.log_follower import LogFollower
from streams.partition import PartitionWorker
from streams.pipeline import Pipeline
from streams.takeover import Takeover
from tests.simulation.episode import run


def _no_epoch_check(self: MemoryStore, partition: Partition, epoch: int) -> Ledger:
    return replace(self.ledgers.get(partition, Ledger(epoch)), epoch=epoch)


async def _done_before_insert(self: BlockWriter, sealed: Any, **options: bool) -> None:
    await self._finish(sealed)
    await _insert(self, sealed, **options)


_insert = BlockWriter._insert


def _new_token(self: BlockId) -> str:
    return f"{self.log}/{self.partition}/{self.start}-{self.end}/{next(_NUMBERS)}"


_NUMBERS = count()


async def _cursor_after_counters(self: MemoryLive, batch: Any) -> None:
    store = self._store
    ledger = store.owned(batch.partition, batch.epoch)
    if (ledger.counted or 0) == batch.end:
        return
    store.live[batch.partition, batch.generation].merge(batch.live)
    await asyncio.sleep(0.001)
    ledger = store.owned(batch.partition, batch.epoch)
    store.ledgers[batch.partition] = replace(ledger, counted=batch.end, counted_mark=batch.mark)


async def _settle_without_decision(self: MemoryBundles, name: str) -> Any:
    return self._store.bundles.get(name)


async def _claim_without_clock(self: MemoryLedgers, partition: Partition) -> Ledger:
    before = self._store.ledgers.get(partition, Ledger(epoch=0))
    ledger = self._store.ledgers[partition] = replace(before, epoch=before.epoch + 1)
    return ledger


async def _begin_always(
    self: MemoryLedgers, block: Any, epoch: int, from_mark: str, bundle: str = ""
) -> None:
    ledger = self._store.owned(block.partition, epoch)
    self._store.ledgers[block.partition] = replace(
        ledger,
        block_from=block.start,
        block_to=block.end,
        from_mark=from_mark,
        to_mark=block.mark,
        done=False,
        bundle=bundle,
    )


async def _begin_late(self: MemoryLedgers, block: Any, epoch: int, from_mark: str, bundle: str = "") -> None:
    ledger = self._store.owned(block.partition, epoch)
    is_late = block.id.incarnation != ledger.incarnation or block.start < (ledger.stored_to or 0)
    await (_begin_always if is_late else _begin)(self, block, epoch, from_mark, bundle)


async def _begin_behind_a_gap(
    self: MemoryLedgers, block: Any, epoch: int, from_mark: str, bundle: str = ""
) -> None:
    ledger = self._store.owned(block.partition, epoch)
    is_behind = block.id.incarnation == ledger.incarnation and block.start > (ledger.stored_to or 0)
    await (_begin_always if is_behind else _begin)(self, block, epoch, from_mark, bundle)


_begin = MemoryLedgers.begin


def _plan_without_pending(ledger: Ledger, landed: int | None) -> Any:
    return replace(plan_recovery(ledger, landed), pending_block=None)


async def _old_leader(self: LogFollower, leader_epoch: int) -> bool:
    return False


async def _same_generation(self: LogFollower, ledger: Ledger) -> Ledger:
    parts = await self._takeover.recount(self.state.batch_folder.folder, ledger)
    return replace(ledger, parts=parts)


def _rotate_too_early(self: PartitionWorker, newest: Any) -> None:
    memory = self._follower.state.batch_folder.folder.memory
    if memory is not None and memory.should_rotate(newest.timestamp):
        memory.rotate(newest.timestamp)


async def _rewrite_late(
    self: MemoryLedgers, partition: Partition, ledger: Ledger, before: Any = None
) -> None:
    await _rewrite(self, partition, ledger)


_rewrite = MemoryLedgers.rewrite


async def _switch_late(
    self: MemoryLedgers, partition: Partition, before: int, ledger: Ledger, request: str
) -> None:
    await _switch(self, partition, self._store.owned(partition, ledger.epoch).generation, ledger, request)


async def _switch_at_any_offset(
    self: MemoryLedgers, partition: Partition, before: int, ledger: Ledger, request: str
) -> None:
    found = self._store.owned(partition, ledger.epoch)
    await _switch(self, partition, before, replace(ledger, counted=found.counted), request)


_switch = MemoryLedgers.finish_recount


async def _finish_any_log(self: MemoryLedgers, block: Any, epoch: int) -> None:
    ledger = self._store.owned(block.partition, epoch)
    await _finish(self, replace(block, log=log_name(block.partition.cluster, ledger.incarnation)), epoch)


_finish = MemoryLedgers.finish


async def _count_any_generation(self: MemoryLive, batch: Any) -> None:
    ledgers, where = self._store.ledgers, batch.partition
    generation = self._store.owned(where, batch.epoch).generation
    ledgers[where] = replace(ledgers[where], generation=batch.generation)
    try:
        await _count(self, batch)
    finally:
        ledgers[where] = replace(ledgers[where], generation=generation)


_count = MemoryLive.write


async def _rebuild_any_part(
    self: MemoryLive, partition: Partition, epoch: int, generation: int, part: int, live: Any
) -> None:
    self._store.rebuilt[partition] = generation, part - 1
    await _rebuild(self, partition, epoch, generation, part, live)


_rebuild = MemoryLive.rebuild


async def _rebuild_an_earlier_one(
    self: MemoryLive, partition: Partition, epoch: int, generation: int, part: int, live: Any
) -> None:
    if self._store.rebuilt.get(partition, (0, 0))[0] > generation:
        del self._store.rebuilt[partition]
    await _rebuild(self, partition, epoch, generation, part, live)


async def _do_nothing(*_: Any) -> None:
    pass


async def _is_not_replayed(*_: Any) -> bool:
    return False


async def _commit_always(self: MemoryBundles, name: str, bundle: Any) -> bool:
    self._store.bundles[name] = bundle
    return True


async def _is_sent_with_any_block(self: Takeover, ledger: Ledger, place: Any) -> bool:
    return await self._stores.bundles.store.settle(ledger.bundle) is not None


@dataclass(frozen=True)
class Mutant:
    """A mistake, and among which faults, in what kind of world, it shows soonest."""

    make: Callable[[], AbstractContextManager[Any]]
    #: How many schedules, from seed 0, find it at most; 0 if it may take more than a hundred.
    within: int
    #: The faults; none: all of them.
    faults: tuple[str, ...] = ()
    #: What the world is like, where it is not any of `tests.simulation.world.CHOICES`.
    shape: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    #: The mistake without which this one does no harm: that check holds what this one lets through.
    held_by: str = ""
    #: The test that finds it at once, where schedules take long or do not find it.
    elsewhere: str = ""

    @contextmanager
    def made(self) -> Iterator[None]:
        """Make the mistake, and the one that it needs."""
        with self.make(), MUTANTS[self.held_by].make() if self.held_by else nullcontext():
            yield


#: Each by the name of the mistake.
MUTANTS: Final[Mapping[str, Mutant]] = {
    # Fencing
    "the epoch is not checked": Mutant(
        lambda: patch.object(MemoryStore, "owned", _no_epoch_check),
        0,
        ("pause_at_a_step", "rebalance_at_a_step"),
        elsewhere="contract/test_stores.py::TestLedger::test_a_claim_raises_the_epoch_and_fences_the_owner_before",
    ),
    "epochs begin at 1 after a loss": Mutant(
        lambda: patch.object(MemoryLedgers, "claim", _claim_without_clock),
        100,
        ("redis_loses_all", "pause_at_a_step"),
    ),
    "an insert is repeated unchecked": Mutant(
        lambda: patch("streams.blocks.while_owned", lambda operation, *_: operation),
        0,
        ("pause_at_a_step", "clickhouse_away", "clickhouse_forgets_tokens"),
        {"step": ("insert",)},
        elsewhere="unit/test_partition.py::test_a_worker_that_slept_until_clickhouse_forgot_its_block_repeats_no_insert",
    ),
    # Blocks
    "a block is done before its insert": Mutant(
        lambda: patch.object(BlockWriter, "_insert", _done_before_insert), 100, ("kill_at_a_step", "trouble")
    ),
    "a block has another token each time": Mutant(
        lambda: patch.object(BlockId, "token", property(_new_token)), 20, ("trouble",)
    ),
    "a block in doubt is cut anew": Mutant(
        lambda: patch("streams.takeover.plan_recovery", _plan_without_pending),
        100,
        ("kill_at_a_step", "clickhouse_away"),
        {"step": ("insert",), "seconds": (8, 20)},
    ),
    "a late beginning begins": Mutant(
        lambda: patch.object(MemoryLedgers, "begin", _begin_late), 20, ("trouble", "kill_worker")
    ),
    "a block begins behind a gap": Mutant(
        lambda: patch.object(MemoryLedgers, "begin", _begin_behind_a_gap),
        0,
        ("redis_loses_a_moment_at_a_step", "retention_deletes"),
        {"step": ("begin",), "workers": (1,), "seconds": (20,)},
        elsewhere="unit/test_partition.py::test_live_numbers_are_whole_if_redis_and_then_kafka_lost_what_was_counted",
    ),
    # The block that is done too early has the offsets of one of the log before. If its worker dies then, the
    # next owner finds that ClickHouse lacks its rows, and replays them: unless the block before had no row at
    # all.
    "a late end is of any log": Mutant(
        lambda: patch.object(MemoryLedgers, "finish", _finish_any_log),
        0,
        ("echoes", "topic_is_replaced", "kill_at_a_step"),
        elsewhere="contract/test_stores.py::TestLedger::test_an_end_that_comes_late_is_not_of_the_log_that_came_since",
    ),
    "keys are forgotten before they are stored": Mutant(
        lambda: patch.object(PartitionWorker, "_rotate_memory", _rotate_too_early), 100, ("clickhouse_away",)
    ),
    # Bundles
    # A bundle is committed after its settlement only while the other owners have not settled it. Then whoever
    # sends it again sees that a partition has gone on without it (`_is_replayed`); or, before that one has,
    # that one sees rows that it did not send (`Landed.most`). So harm needs all of that within the two
    # seconds between two comparisons.
    "settling a bundle decides nothing": Mutant(
        lambda: patch.object(MemoryBundles, "settle", _settle_without_decision),
        0,
        ("pause_at_a_step", "rebalance_at_a_step", "trouble"),
        {"step": ("begin", "commit"), "playback partitions": (2, 3)},
        elsewhere="unit/test_bundles.py::test_a_bundle_that_was_not_committed_never_is_once_somebody_asked",
    ),
    # The same.
    "a commit overrules what was settled": Mutant(
        lambda: patch.object(MemoryBundles, "commit", _commit_always),
        0,
        ("pause_at_a_step", "rebalance_at_a_step", "trouble"),
        {"step": ("begin", "commit"), "playback partitions": (2, 3)},
        elsewhere="unit/test_bundles.py::test_a_bundle_that_was_not_committed_never_is_once_somebody_asked",
    ),
    "no bundle is in doubt": Mutant(
        lambda: patch("streams.takeover.is_bundle_in_doubt", lambda *_: False),
        50,
        ("redis_node_loses_a_moment", "kill_all_at_a_step"),
        {
            "step": ("finish",),
            "playback partitions": (3,),
            "user partitions": (0,),
            "workers": (1,),
            "seconds": (8,),
        },
    ),
    # A bundle must be sent without a block that names it: its beginning had an effect and no answer, and its
    # sender was released, not fenced.
    "a bundle has any block that names it": Mutant(
        lambda: patch.object(Takeover, "_is_sent", _is_sent_with_any_block),
        0,
        ("rebalance_at_a_step", "trouble", "add_worker"),
        {"step": ("begin",), "playback partitions": (3,), "workers": (1,)},
        elsewhere="unit/test_bundles.py::test_a_block_that_the_bundle_went_without_is_read_again",
    ),
    # A power cut must take a bundle whose sender waits for the answer, or dies then, and another partition
    # must go on.
    "a bundle is sent again though its records are replayed": Mutant(
        lambda: patch.object(Bundles, "_is_replayed", _is_not_replayed),
        0,
        ("clickhouse_loses_a_moment", "redis_loses_a_moment", "trouble"),
        {"playback partitions": (2, 3)},
        elsewhere="unit/test_bundles.py::test_clickhouse_that_lost_rows_gets_them_and_those_of_the_bundle_once",
    ),
    # The same.
    "nobody revokes a bundle": Mutant(
        lambda: patch.object(MemoryBundles, "revoke", _do_nothing),
        0,
        ("clickhouse_loses_a_moment_at_a_step", "rebalance"),
        {"step": ("insert", "finish"), "playback partitions": (2, 3)},
        elsewhere="unit/test_bundles.py::test_clickhouse_that_lost_rows_gets_them_and_those_of_the_bundle_once",
    ),
    # Counting
    "counters and cursor move in two steps": Mutant(
        lambda: patch.object(MemoryLive, "write", _cursor_after_counters), 20, ("trouble", "rebalance")
    ),
    "a late rewriting sets cursors back": Mutant(
        lambda: patch.object(MemoryLedgers, "rewrite", _rewrite_late),
        100,
        ("echoes", "clickhouse_away", "redis_loses_all"),
        {"seconds": (20,)},
    ),
    # It must begin where the cursor of the log that came since is, at its start. Then the owner's next batch
    # is refused, and the fingerprint of the batch, which its ledger has now, is that of another log.
    "a late batch is of any generation": Mutant(
        lambda: patch.object(MemoryLive, "write", _count_any_generation),
        0,
        ("echoes", "topic_is_replaced", "log_is_truncated"),
        elsewhere="contract/test_stores.py::TestLive::test_a_batch_for_a_generation_that_nobody_reads_is_refused_whole",
    ),
    # Recounts
    "a recount adds to what is read": Mutant(
        lambda: patch.object(LogFollower, "recount", _same_generation), 20, ("ask_for_recounts",)
    ),
    "a part of a recount is added twice": Mutant(
        lambda: patch.object(MemoryLive, "rebuild", _rebuild_any_part),
        20,
        ("connections_break", "ask_for_recounts"),
    ),
    "a late part of an earlier recount is added": Mutant(
        lambda: patch.object(MemoryLive, "rebuild", _rebuild_an_earlier_one),
        20,
        ("echoes", "ask_for_recounts"),
    ),
    "a lost part of a recount is not missed": Mutant(
        lambda: patch.object(MemoryLedgers, "_check_parts", lambda *_: None),
        0,
        ("redis_loses_a_moment_at_a_step", "ask_for_recounts"),
        {"step": ("rebuild",)},
        elsewhere="contract/test_stores.py::TestLedger::test_nobody_reads_a_generation_of_which_a_part_was_lost",
    ),
    "a late switch brings an old generation back": Mutant(
        lambda: patch.object(MemoryLedgers, "finish_recount", _switch_late),
        0,
        ("echoes", "ask_for_recounts"),
        held_by="a lost part of a recount is not missed",
        elsewhere="contract/test_stores.py::TestLedger::test_a_switch_that_comes_late_brings_no_old_generation_back",
    ),
    "a recount has other records than the cursor": Mutant(
        lambda: patch.object(MemoryLedgers, "finish_recount", _switch_at_any_offset),
        0,
        ("echoes", "ask_for_recounts"),
        elsewhere="contract/test_stores.py::TestLedger::test_nobody_reads_a_generation_that_has_more_than_the_ledger_says",
    ),
    # The log
    "marks are not compared": Mutant(
        lambda: patch.object(LogFollower, "_differing_record", lambda *_: ""), 20, ("log_is_truncated",)
    ),
    "marks of records ahead are not compared": Mutant(
        lambda: patch("streams.takeover.marks_ahead", lambda _: {}), 100, ("log_is_truncated", "kill_worker")
    ),
    "a new leader is trusted": Mutant(
        lambda: patch.object(LogFollower, "_is_by_new_leader", _old_leader), 20, ("log_is_truncated",)
    ),
    "topic ids are not compared": Mutant(
        lambda: patch("streams.ledger.is_other_topic", lambda *_: False), 20, ("topic_is_replaced",)
    ),
    "ClickHouse's rows of a newer log are not seen": Mutant(
        lambda: patch("streams.takeover.at_newest_incarnation", lambda ledger, *_: ledger),
        20,
        ("topic_is_replaced", "redis_loses_all"),
    ),
    # What a store lost
    "rows that ClickHouse lost are not missed": Mutant(
        lambda: patch("streams.landed._compare", _do_nothing), 20, ("clickhouse_loses_a_moment",)
    ),
    "an insert without an answer raises no doubt": Mutant(
        lambda: patch.object(Landed, "doubt", lambda _: None),
        0,
        ("clickhouse_loses_a_moment_at_a_step",),
        {"step": ("insert",)},
        elsewhere="unit/test_landed.py::test_who_was_seen_a_moment_ago_is_not_asked_again_unless_an_answer_failed_to_come",
    ),
    "rows of another owner are not noticed": Mutant(
        lambda: patch.object(Landed, "most", property(lambda _: 1 << 62, lambda *_: None), create=True),
        0,
        ("redis_loses_a_takeover",),
        elsewhere="unit/test_partition.py::test_who_slept_and_is_the_owner_again_because_redis_forgot_another_stores_nothing_twice",
    ),
    "a worker ends while its insert is under way": Mutant(
        lambda: patch.object(Landed, "settle", _do_nothing),
        0,
        ("redis_loses_a_moment_at_a_step",),
        {"step": ("insert",)},
        elsewhere="unit/test_pipeline.py::test_a_worker_ends_only_once_its_inserts_are_answered",
    ),
    "what Redis lost is noticed with the next record only": Mutant(
        lambda: patch.object(Pipeline, "compare_ledgers", _do_nothing), 20, ("redis_loses_a_moment",)
    ),
}


def first_found(mutant: Mutant, first: int, count: int) -> tuple[int, str] | None:
    """Return the number of the first schedule, from 1, that finds a mistake, and a problem; else None."""
    for seed in range(first, first + count):
        with mutant.made():
            problems = run(seed, only=mutant.faults, shape=mutant.shape).problems
        if problems and not run(seed, only=mutant.faults, shape=mutant.shape).problems:
            return seed - first + 1, problems[0]
    return None
