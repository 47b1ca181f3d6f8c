"""Takeover of a partition: reads its ledger and ClickHouse's offsets, and decides where to go on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from math import inf

from sinks.base import BEYOND_ALL, Block, BlockId, Ledger, log_name
from streams.assignment import Assignment
from streams.batch import BatchFolder
from streams.blocks import BlockWriter
from streams.domain.aggregate import MINUTE_MS, Live
from streams.domain.arrivals import SKEW_MS
from streams.domain.folding import Folder, Place
from streams.domain.generations import MAX_AHEAD
from streams.landed import Landed
from streams.ledger import (
    RecoveryPlan,
    at_newest_incarnation,
    is_bundle_in_doubt,
    marks_ahead,
    plan_recovery,
    time_mark,
    time_of,
    withdrawn,
)
from streams.loop_time import loop_time
from streams.metrics import METRICS
from streams.retry import Retry


@dataclass(slots=True)
class PartitionState:
    """A partition that was taken over: its ledger, folder and writer, and its position."""

    ledger: Ledger
    batch_folder: BatchFolder
    writer: BlockWriter
    landed: Landed
    #: The next offset to fold, and to count.
    position: int
    counted: int
    #: Fingerprint of the record before `position`; empty if it is unknown.
    mark: str
    #: Time of the newest record processed by any worker (epoch s); 0 when there is none, or it is unknown.
    newest_at: float
    #: Epoch of the leader that wrote the record before `position` to the log; -1 when unknown.
    leader_epoch: int = -1
    #: Fingerprints to be compared once their records are read, by the offset after the record.
    to_compare: dict[int, str] = field(default_factory=dict)


class Takeover:
    """Takes one partition over, and prepares a new incarnation of its log."""

    def __init__(self, assignment: Assignment, retry: Retry) -> None:
        """Prepare; `retry` repeats operations that may succeed later."""
        self._assignment = assignment
        self._partition, self._stores = assignment.partition, assignment.stores
        self._retry = retry
        #: As claimed; None before.
        self.epoch: int | None = None

    def place(self, incarnation: int) -> Place:
        """Return log, topic and partition of an incarnation."""
        partition = self._partition
        return Place(log_name(partition.cluster, incarnation), partition.topic, partition.number)

    async def decide(self, topic_id: str) -> tuple[RecoveryPlan, int | None, float]:
        """Claim the partition; return the recovery plan, and what ClickHouse has.

        That is the offset after its last row or None, and when it was asked for that (the loop's time).

        `topic_id` is Kafka's id of the topic, read before any record; empty when it is unknown. A ledger
        without ids adopts it: if the topic is replaced from now on, its id will be another one.
        """
        retry, stores, partition = self._retry, self._stores, self._partition
        claimed = await retry.forever(lambda: stores.ledgers.claim(partition), "claim")
        self.epoch = claimed.epoch
        # Both at once: in a storm of rebalances, and with a slow ClickHouse, each answer counts.
        logs, (landed, asked_at) = await asyncio.gather(
            retry.forever(lambda: stores.archive.logs(partition.topic, partition.number), "ask for logs"),
            self._ask_how_far(claimed.incarnation),
        )
        ledger = at_newest_incarnation(claimed, logs, partition.cluster)
        if ledger.incarnation != claimed.incarnation:
            landed, asked_at = await self._ask_how_far(ledger.incarnation)
        ledger = await self.name_log(ledger, topic_id)
        place = self.place(ledger.incarnation)
        if ledger.bundle and (landed or 0) < ledger.landed:
            # ClickHouse lost rows. They are read again from before the bundle, so nobody may send it any
            # more.
            await retry.forever(lambda: stores.bundles.store.revoke(ledger.bundle), "revoke a bundle")
        if is_bundle_in_doubt(ledger, landed) and not await self._is_sent(ledger, place):
            await retry.forever(
                lambda: stores.ledgers.withdraw(partition, ledger.epoch, ledger.bundle), "withdraw a block"
            )
            ledger = withdrawn(ledger)
        plan = plan_recovery(ledger, landed)
        METRICS.recoveries.labels(partition.topic, plan.why).inc()
        retry.log = retry.log.bind(epoch=ledger.epoch)
        retry.log.info("took over", why=plan.why, position=plan.position, in_doubt=plan.pending_block)
        return plan, landed, asked_at

    async def _ask_how_far(self, incarnation: int) -> tuple[int | None, float]:
        place, asked_at = self.place(incarnation), 0.0

        async def ask() -> int | None:
            nonlocal asked_at
            asked_at = loop_time()
            return await self._stores.archive.next_offset(place.log, place.topic, place.partition)

        return await self._retry.forever(ask, "ask how far"), asked_at

    async def _is_sent(self, ledger: Ledger, place: Place) -> bool:
        """Settle the bundle of the newest block; return whether it is sent with it. Otherwise it never is."""
        bundle = await self._retry.forever(
            lambda: self._stores.bundles.settle(ledger.bundle), "settle a bundle"
        )
        start, end = ledger.block_from or 0, ledger.block_to or 0
        block = BlockId(place.log, self._partition, start, end)
        is_sent = bundle is not None and block in bundle.blocks
        self._retry.log.info(
            "settled a bundle", bundle=ledger.bundle, sent=is_sent, offset_from=start, offset_to=end
        )
        return is_sent

    async def name_log(self, ledger: Ledger, topic_id: str) -> Ledger:
        """Write the topic's id into a ledger that has none; return the ledger."""
        if not topic_id or ledger.topic_ids:
            return ledger
        named = replace(ledger, topic_ids=(topic_id,))
        ledgers = self._stores.ledgers
        await self._retry.forever(
            lambda: ledgers.name_log(self._partition, named.epoch, named.topic_ids), "name the log"
        )
        return named

    async def build_state(
        self, plan: RecoveryPlan, landed: int | None, asked_at: float = -inf
    ) -> PartitionState:
        """Return the state that carries out a plan: an empty folder, and a writer after the last block.

        ClickHouse was seen with `landed` by an answer to what was asked at `asked_at`, if it was asked.
        """
        ledger, place = plan.ledger, self.place(plan.ledger.incarnation)
        stores, pending = self._stores, plan.pending_block
        end = ledger.landed if pending else landed or 0
        known = Landed(
            stores.archive,
            stores.ledgers,
            place.log,
            self._partition,
            ledger.epoch,
            end=end,
            most=pending[1] if pending else end,
        )
        known.seen(asked_at)
        batch_folder = await self._batch_folder(place, known)
        # Now that its floor is known: if ClickHouse has lost rows since `landed`, it may be too low.
        await self._retry.forever(known.check, "ask how far")
        mark = plan.mark if plan.position else ""
        if not plan.mark and plan.position == landed:
            mark = await self._mark_by_time(place, batch_folder.folder.table, plan.position - 1)
        shard = ledger.shard or await self._retry.forever(
            lambda: self._stores.blocks.find_shard(place.log, place.topic, place.partition), "find a shard"
        )
        return PartitionState(
            ledger=ledger,
            batch_folder=batch_folder,
            writer=self._writer(plan, place, batch_folder.folder, shard, known),
            landed=known,
            position=plan.position,
            counted=ledger.counted or 0,
            mark=mark,
            newest_at=time_of(mark),
            to_compare=marks_ahead(plan) | ({plan.position: mark} if mark else {}),
        )

    async def _batch_folder(self, place: Place, landed: Landed) -> BatchFolder:
        archive, retry = self._stores.archive, self._retry
        newest = await retry.forever(archive.newest_received, "ask for the newest")
        # No stored event occurred later than this, except those whose clocks were ahead of their records.
        floor = newest + SKEW_MS if newest else -1
        folder = self._assignment.make_folder(place, floor)
        if folder.memory is not None and newest:
            folder.memory.add_ahead(
                await retry.forever(
                    lambda: archive.ahead(folder.table, floor, MAX_AHEAD + 1), "ask for clocks ahead"
                )
            )
        return BatchFolder(folder, self._stores, landed, retry, self._assignment.limits.retention_ms)

    async def _mark_by_time(self, place: Place, table: str, offset: int) -> str:
        """Return a fingerprint of the record's time alone, for a ledger that has none; empty if unknown."""
        archive = self._stores.archive
        at = await self._retry.forever(
            lambda: archive.received_at(table, place.log, place.topic, place.partition, offset),
            "ask for a record",
        )
        return "" if at is None else time_mark(at)

    def _writer(
        self, plan: RecoveryPlan, place: Place, folder: Folder, shard: int, landed: Landed
    ) -> BlockWriter:
        ledger = plan.ledger
        cursor = ledger.stored_to or 0
        empty = Block(
            partition=self._partition,
            log=place.log,
            table=folder.table,
            row=folder.row,
            start=cursor,
            end=cursor,
            mark=ledger.to_mark if ledger.done else ledger.from_mark,
            rows=0,
            landed=cursor,
            chunks=[],
            shard=shard,
        )
        return BlockWriter(
            empty,
            landed,
            sink=self._stores.blocks,
            ledgers=self._stores.ledgers,
            bundles=self._stores.bundles,
            pace=self._assignment.pace,
            retry=self._retry,
            max_rows=self._assignment.limits.block_rows,
            pending_end=plan.pending_block[1] if plan.pending_block else None,
            pending_bundle=ledger.bundle if plan.pending_block else "",
            on_failure=self._assignment.on_failure,
        )

    async def recount(self, folder: Folder, ledger: Ledger) -> int:
        """Count the stored rows of the live window under the ledger's generation; return the number of parts.

        No reader uses that generation yet.
        """
        since, parts = self._assignment.live_since(), 0
        for incarnation in range(ledger.incarnation):
            # Records of the topic before it was created anew were counted, too.
            log = self.place(incarnation).log
            parts = await self._recount_log(folder, ledger, since, log, BEYOND_ALL, parts)
        return await self._recount_log(folder, ledger, since, folder.place.log, ledger.counted or 0, parts)

    async def _recount_log(
        self, folder: Folder, ledger: Ledger, since: int, log: str, before: int, parts: int
    ) -> int:
        partition, stores = self._partition, self._stores
        async for rows in stores.archive.recent(
            folder.table,
            folder.row,
            log,
            partition.topic,
            partition.number,
            before=before,
            since=since * MINUTE_MS,
        ):
            live = Live()
            folder.count_live(rows, since, live)
            if live:
                parts += 1
                await stores.live.rebuild(partition, ledger.epoch, ledger.generation, parts, live)
        return parts
