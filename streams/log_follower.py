"""Follows one partition's log: checks that records come in order, and detects that the log is another one.

A partition's position in its log is kept by the stores, not by Kafka. So nothing that Kafka sends is taken
unchecked: it must start at the position, and come from the log that the position belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sinks.base import Ledger
from streams.assignment import Assignment, Fetched
from streams.blocks import BlockWriter
from streams.domain.arrivals import Record
from streams.ledger import (
    RecoveryPlan,
    fingerprint,
    is_earlier_topic,
    is_other_topic,
    log_mismatch,
    next_incarnation,
)
from streams.loop_time import loop_time
from streams.metrics import METRICS
from streams.retry import Retry
from streams.seeking import SeekTracker
from streams.takeover import PartitionState, Takeover

#: How often in a row Kafka must show an earlier topic's id before that one is taken for the topic: only a
#: restored cluster has it again, and random brokers are asked.
_RESTORED: Final = 30
#: Bits of a recount's generation that have its number; those above have the epoch, which no two claims share.
_RECOUNT_BITS: Final = 20


class LogFollower:
    """Tracks a partition's position in its log, checks fetched records, and starts anew on another log."""

    #: The partition as it is taken over, and since then; the attribute is missing before.
    state: PartitionState
    #: Whether `take_over` is done: before, nothing else may work on the partition.
    is_ready = False

    def __init__(self, assignment: Assignment, retry: Retry) -> None:
        """Prepare; `take_over` begins. `retry` repeats operations that may succeed later."""
        self._partition, self._ledgers = assignment.partition, assignment.stores.ledgers
        self._archive = assignment.stores.archive
        self._log_bounds = assignment.log_bounds
        self._retry = retry
        self._takeover = Takeover(assignment, retry)
        self._seeks = SeekTracker(assignment.seek, loop_time)
        self._recounts = 0
        #: Why the last comparison took the log for another one, empty if it did not, and how often in a row.
        self._mismatch, self._mismatches = "", 0

    @property
    def writer(self) -> BlockWriter | None:
        """The writer of the partition's blocks; None if `take_over` did not get that far."""
        return self.state.writer if hasattr(self, "state") else None

    @property
    def epoch(self) -> int | None:
        """The epoch as claimed; None before."""
        return self._takeover.epoch

    @property
    def next_fetch(self) -> int:
        """Offset to fetch from: one before the position while that record's fingerprint must be compared."""
        return self.state.position - self._must_compare

    @property
    def _must_compare(self) -> bool:
        """Whether the fingerprint of the record before the position must be compared."""
        return self.state.position in self.state.to_compare

    async def take_over(self, topic_id: str) -> None:
        """Claim the partition and recover its ledger; see `PartitionWorker.take_over`."""
        plan, landed, asked_at = await self._takeover.decide(topic_id)
        self.state = await self._takeover.build_state(plan, landed, asked_at)
        if plan.rebuild_live:
            await self._recount_until_done(plan.ledger)
        if plan.rewrite_ledger:
            await self._rewrite_ledger(self.state.ledger)
        self.is_ready = True

    async def _rewrite_ledger(self, ledger: Ledger) -> None:
        async def rewrite() -> None:
            # If this request comes late, the ledger is another one by then, and must not be set back.
            before = await self._ledgers.read(self._partition)
            await self._ledgers.rewrite(self._partition, ledger, before)

        await self._retry.forever(rewrite, "write the ledger")

    async def recount(self, ledger: Ledger) -> Ledger:
        """Recount the live window from ClickHouse; return the ledger with the new generation."""
        await self.state.landed.check()
        self._recounts += 1
        # A recount that fails half way must not be added to: each has a generation of its own.
        again = replace(ledger, generation=(ledger.epoch << _RECOUNT_BITS) + self._recounts)
        parts = await self._takeover.recount(self.state.batch_folder.folder, again)
        return replace(again, parts=parts)

    async def _recount_until_done(self, ledger: Ledger) -> None:
        self.state.ledger = await self._retry.forever(
            lambda: self.recount(ledger), "count the live window again"
        )

    async def accept(self, fetched: Fetched) -> Sequence[Record]:
        """Return the batch's records from the position on; none if the batch is not the expected one.

        Then it is dropped, and the expected one is sought.
        """
        state = self.state
        if fetched.start != self.next_fetch:
            # Fetched before a seek, or after records that were dropped with a closed stream.
            await self._seeks.note_unexpected(self.next_fetch)
            return ()
        self._seeks.note_expected()
        records = fetched.records
        if not records:
            await self._out_of_range()
            return ()
        if is_earlier_topic(state.ledger, fetched.topic_id):
            self._seeks.note_deferred()
            return ()
        if await self._is_by_new_leader(fetched.leader_epochs[0]):
            return ()
        if different := self._differing_record(records):
            await self._restart_log(different)
            return ()
        if is_other_topic(state.ledger, fetched.topic_id):
            # Records of another topic would be out of order now: it is read from its start, once `compare`
            # has confirmed it.
            self._seeks.note_deferred()
            return ()
        end = records[-1].offset + 1
        state.to_compare = {at: mark for at, mark in state.to_compare.items() if at > end}
        if records[0].offset < state.position:
            records = records[1:]
        if records:
            state.leader_epoch = fetched.leader_epochs[1]
        return records

    async def _is_by_new_leader(self, leader_epoch: int) -> bool:
        """Say whether records were written by another leader than those before, and seek the one before them.

        An unclean leader election truncates the log, and other records may have filled it beyond the position
        before anything was fetched: then the record before the position is another one, too.
        """
        state = self.state
        if not state.mark or self._must_compare or leader_epoch == state.leader_epoch:
            return False
        # Once the record before has been compared, records of this leader may follow it.
        state.leader_epoch, state.to_compare[state.position] = leader_epoch, state.mark
        await self._seeks.seek(self.next_fetch)
        return True

    def _differing_record(self, records: Sequence[Record]) -> str:
        """Say, for the log, which record is not the one that the ledger knows; empty if none is.

        Records that compaction has removed are not compared.
        """
        for end, mark in self.state.to_compare.items():
            if records[0].offset < end <= records[-1].offset + 1:
                found = next((record for record in records if record.offset == end - 1), None)
                if found is not None and not fingerprint(found).startswith(mark):
                    before = "the position" if end == self.state.position else f"offset {end}"
                    return f"the record before {before} is a different one"
        return ""

    async def log_end(self) -> int | None:
        """Return the log's end offset; None if no fingerprint is left to compare. Raises `Unavailable`."""
        return (await self._log_bounds()).end if self.state.to_compare else None

    async def compare(self, topic_id: str, end: int | None) -> None:
        """Start a new incarnation if Kafka shows twice in a row that this is another log.

        By the topic's id: a topic that is deleted and created again gets a new id, and no id is used twice.
        So an id that the ledger does not have is that of another topic. Records that were read of it in the
        meantime are read again from its start, and are recognized as repeats. A ledger without ids adopts
        the first one.

        By the log's end, where brokers send no ids or the log was truncated: of a log that ends one record
        before the position, Kafka returns no record whose fingerprint could be compared; nor of one that
        ends before the last record that a store has, while it does not grow. All records that
        were read are below the high watermark, and a leader returns its end offset only once its high
        watermark has reached the start of its epoch (KIP-207), which is at or beyond everything that earlier
        leaders let consumers read. So an end before the position is that of another log, or of a log that an
        unclean leader election truncated.

        One case remains: a broker that is partitioned away, knows the old topic, and does not know that it
        is no longer the leader. So either sign must be seen twice, with the metadata refreshed in between. If
        both were wrong, records would be read again in vain; none would be lost or counted twice. An id that
        the ledger has, and is not the newest, is most likely from such a broker: it must be seen for long.

        Args:
            topic_id: Kafka's id of the topic now; empty when it is unknown.
            end: what `log_end` returned, possibly a moment ago.
        """
        state = self.state
        await self._seeks.seek_again_if_lost(self.next_fetch)
        state.ledger = await self._takeover.name_log(state.ledger, topic_id)
        known = max(state.to_compare, default=0)
        mismatch = log_mismatch(state.ledger, topic_id, known, end)
        self._mismatches = self._mismatches + 1 if mismatch == self._mismatch else 1
        needed = _RESTORED if is_earlier_topic(state.ledger, topic_id) else 2
        if mismatch and self._mismatches >= needed:
            await self._restart_log(mismatch)
            mismatch = ""
        self._mismatch = mismatch

    async def _out_of_range(self) -> None:
        """Handle a position that Kafka does not have: retention deleted it, or the log is another one."""
        state = self.state
        seen = await self._retry.forever(self._log_bounds, "look at the log")
        if is_earlier_topic(state.ledger, seen.topic_id):
            self._seeks.note_deferred()
            return
        start = seen.start
        if start <= self.next_fetch:
            await self._restart_log("the position is beyond the end of the log")
            return
        lost = max(0, start - state.position)
        if lost:
            METRICS.lost.labels(self._partition.topic).inc(lost)
            self._retry.log.error(
                "records lost to retention: the worker was away for longer than the topic keeps them",
                lost=lost,
                offset_from=state.position,
                offset_to=start,
            )
        state.position, state.mark = max(start, state.position), ""
        state.to_compare = {at: mark for at, mark in state.to_compare.items() if at > state.position}
        if state.writer.pending_end is not None and state.writer.end < start:
            await self._abandon_pending_block(start)
        await self._seeks.seek(self.next_fetch)

    async def _abandon_pending_block(self, start: int) -> None:
        """Go on at an offset without the records of the block in doubt, whose first ones Kafka lost."""
        writer, where = self.state.writer, self.state.batch_folder.folder.place
        place = {"offset_from": writer.end, "offset_to": writer.pending_end}
        landed = await self._retry.forever(
            lambda: self._archive.next_offset(where.log, where.topic, where.partition), "ask how far"
        )
        if not await writer.abandon_pending_block(start, landed or 0):
            self._retry.log.error(
                "a block in doubt cannot be read again from Kafka; its rows that were inserted stay", **place
            )

    async def _restart_log(self, why: str) -> None:
        """Start a new incarnation: the topic was created anew, or its log was truncated before the position.

        Gathered rows are written first, because they cannot be read again. Records that were stored before
        and come again are recognized by their views and event ids. Records that were counted, but reached no
        block because a worker died, are not: so the live window is recounted from ClickHouse.
        """
        before = self.state
        METRICS.replaced.labels(self._partition.topic).inc()
        writer = before.writer
        if writer.pending_end is not None and writer.end < writer.pending_end:
            await self._abandon_pending_block(writer.end)
        await self._retry.wait_for(writer.close(None))
        seen = await self._retry.forever(self._log_bounds, "look at the log")
        ledger = next_incarnation(before.ledger, seen.start, seen.topic_id)
        self._retry.log.error(
            "the partition's log was replaced (recreated or truncated); it is read from its start",
            why=why,
            expected=before.position,
            log_start=seen.start,
            incarnation=ledger.incarnation,
        )
        self.state = await self._takeover.build_state(RecoveryPlan("new", ledger, seen.start, "", None), None)
        await self._recount_until_done(ledger)
        await self._rewrite_ledger(self.state.ledger)
        await self._seeks.seek(seen.start)
