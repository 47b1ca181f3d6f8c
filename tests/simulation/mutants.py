"""Mistakes in the protocol, made on purpose: a simulation that misses one of them would prove nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final
from unittest.mock import patch

from sinks.base import BlockId, Ledger, Partition, log_name
from sinks.memory import MemoryBundles, MemoryLedgers, MemoryLive, MemoryStore
from streams.blocks import BlockWriter
from streams.landed import Landed
from streams.ledger import plan_recovery
from streams.log_follower import LogFollower
from streams.partition import PartitionWorker
from streams.pipeline import Pipeline


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


async def _begin_late(self: MemoryLedgers, block: Any, epoch: int, from_mark: str, bundle: str = "") -> None:
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
    found = self._store.owned(partition, ledger.epoch)
    await _switch(self, partition, found.generation, replace(ledger, counted=found.counted), request)


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


async def _rebuild_what_is_read(
    self: MemoryLive, partition: Partition, epoch: int, generation: int, part: int, live: Any
) -> None:
    ledgers, read = self._store.ledgers, self._store.owned(partition, epoch).generation
    ledgers[partition] = replace(ledgers[partition], generation=0)
    try:
        await _rebuild(self, partition, epoch, generation, part, live)
    finally:
        ledgers[partition] = replace(ledgers[partition], generation=read)


async def _do_not_compare(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Mutant:
    """A mistake, and the faults among which it shows soonest (none: all of them)."""

    make: Callable[[], AbstractContextManager[Any]]
    faults: tuple[str, ...] = ()


#: Each by the name of the mistake.
MUTANTS: Final[Mapping[str, Mutant]] = {
    "the epoch is not checked": Mutant(
        lambda: patch.object(MemoryStore, "owned", _no_epoch_check), ("pause_worker", "rebalance")
    ),
    "a block is done before its insert": Mutant(
        lambda: patch.object(BlockWriter, "_insert", _done_before_insert), ("kill_worker", "trouble")
    ),
    "a block has another token each time": Mutant(
        lambda: patch.object(BlockId, "token", property(_new_token)), ("trouble",)
    ),
    "counters and cursor move in two steps": Mutant(
        lambda: patch.object(MemoryLive, "write", _cursor_after_counters), ("trouble", "rebalance")
    ),
    "marks are not compared": Mutant(
        lambda: patch.object(LogFollower, "_differing_record", lambda *_: ""), ("log_is_truncated",)
    ),
    "a new leader is trusted": Mutant(
        lambda: patch.object(LogFollower, "_is_by_new_leader", _old_leader), ("log_is_truncated",)
    ),
    "topic ids are not compared": Mutant(
        lambda: patch("streams.ledger.is_other_topic", lambda *_: False), ("topic_is_replaced",)
    ),
    "settling a bundle decides nothing": Mutant(
        lambda: patch.object(MemoryBundles, "settle", _settle_without_decision),
        ("pause_worker", "rebalance", "trouble", "redis_away"),
    ),
    "no bundle is in doubt": Mutant(
        lambda: patch("streams.takeover.is_bundle_in_doubt", lambda *_: False),
        ("kill_all_workers", "clickhouse_away"),
    ),
    "a late beginning begins": Mutant(
        lambda: patch.object(MemoryLedgers, "begin", _begin_late), ("trouble", "kill_worker")
    ),
    "an insert is repeated unchecked": Mutant(
        lambda: patch("streams.blocks.while_owned", lambda operation, *_: operation),
        ("pause_worker", "trouble", "clickhouse_forgets_tokens"),
    ),
    "a block in doubt is cut anew": Mutant(
        lambda: patch("streams.takeover.plan_recovery", _plan_without_pending),
        ("kill_worker", "clickhouse_away", "trouble"),
    ),
    "a recount adds to what is read": Mutant(
        lambda: patch.object(LogFollower, "recount", _same_generation), ("ask_for_recounts",)
    ),
    "keys are forgotten before they are stored": Mutant(
        lambda: patch.object(PartitionWorker, "_rotate_memory", _rotate_too_early), ("clickhouse_away",)
    ),
    "a late rewriting sets cursors back": Mutant(
        lambda: patch.object(MemoryLedgers, "rewrite", _rewrite_late), ("trouble", "rebalance", "kill_worker")
    ),
    "a late switch brings an old generation back": Mutant(
        lambda: patch.object(MemoryLedgers, "finish_recount", _switch_late), ("trouble", "ask_for_recounts")
    ),
    # No schedule finds this one. The block that is done too early has the offsets of one of the log before.
    # If its worker dies then, the next owner finds that ClickHouse lacks its rows, and replays them. So only
    # the contract suite holds the scripts to it.
    "a late end is of any log": Mutant(
        lambda: patch.object(MemoryLedgers, "finish", _finish_any_log),
        ("trouble", "topic_is_replaced", "log_is_truncated", "kill_worker"),
    ),
    "a late batch is of any generation": Mutant(
        lambda: patch.object(MemoryLive, "write", _count_any_generation),
        ("echoes", "topic_is_replaced", "log_is_truncated"),
    ),
    "a part of a recount is added twice": Mutant(
        lambda: patch.object(MemoryLive, "rebuild", _rebuild_any_part), ("trouble", "ask_for_recounts")
    ),
    "a lost part of a recount is not missed": Mutant(
        lambda: patch.object(MemoryLedgers, "_check_parts", lambda *_: None),
        ("redis_loses_a_moment", "ask_for_recounts"),
    ),
    "rows that ClickHouse lost are not missed": Mutant(
        lambda: patch("streams.landed._compare", _do_not_compare), ("clickhouse_loses_a_moment",)
    ),
    "rows of another owner are not noticed": Mutant(
        lambda: patch.object(Landed, "most", property(lambda _: 1 << 62, lambda *_: None), create=True),
        ("redis_loses_a_takeover",),
    ),
    "what Redis lost is noticed with the next record only": Mutant(
        lambda: patch.object(Pipeline, "compare_ledgers", _do_not_compare), ("redis_loses_a_moment",)
    ),
    "a late part of a recount is added": Mutant(
        lambda: patch.object(MemoryLive, "rebuild", _rebuild_what_is_read), ("echoes", "topic_is_replaced")
    ),
    "epochs begin at 1 after a loss": Mutant(
        lambda: patch.object(MemoryLedgers, "claim", _claim_without_clock),
        ("redis_loses_all", "pause_worker"),
    ),
}
