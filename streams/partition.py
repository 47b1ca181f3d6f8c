"""One assigned partition: fold its records, count them live, gather rows for blocks, give it up.

The order within a batch makes it exact. Dead letters go first (they may be repeated, but never missing);
then the live counters, which move their cursor in the same step; then the block, which has its own cursor. A
record that a store already has is folded for the state it leaves, and not sent to that store again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.trace import SpanKind

from sinks.base import Ledger, LiveBatch
from sinks.single_flight import let_go, shared_result
from streams.assignment import Assignment, Fetched, PartitionStatus
from streams.domain import traces
from streams.domain.arrivals import Record, UnreadableBatch, is_unkeyed
from streams.landed import Landed
from streams.ledger import fingerprint
from streams.log_follower import LogFollower
from streams.loop_time import loop_time
from streams.metrics import METRICS
from streams.retry import Released, Retry

#: How long giving up a partition may take to write the gathered rows: the rebalance waits for it, and the
#: next owner would write the same rows.
_CLOSE_SECONDS: Final = 1.0


class PartitionWorker:
    """Moves the records of one partition from Kafka into both stores."""

    def __init__(self, assignment: Assignment) -> None:
        """Prepare; `take_over` begins."""
        self.partition = assignment.partition
        self._assignment, self._stores = assignment, assignment.stores
        self.retry = Retry(
            cluster=self.partition.cluster, topic=self.partition.topic, partition=self.partition.number
        )
        self._follower = LogFollower(assignment, self.retry)
        self._taking_over: asyncio.Task[None] | None = None
        self._busy = False
        #: Held while a batch is processed, or the live window is recounted.
        self._lock = asyncio.Lock()
        self._rotated_at = 0
        self._is_keyed = True

    @property
    def is_ready(self) -> bool:
        """Whether the partition was taken over."""
        return self._follower.is_ready

    @property
    def epoch(self) -> int | None:
        """The epoch as claimed; None before, and once the partition was left."""
        writer = self._follower.writer
        has_ended = self.retry.is_released or (writer is not None and not writer.is_running)
        return None if has_ended else self._follower.epoch

    @property
    def next_fetch(self) -> int:
        """The offset to fetch from next; the partition must be taken over."""
        return self._follower.next_fetch

    @property
    def position(self) -> int:
        """The next offset to fold; the partition must be taken over."""
        return self._follower.state.position

    @property
    def safe(self) -> int:
        """Every record before this offset is in both stores."""
        state = self._follower.state
        return min(state.counted, state.writer.stored_to)

    @property
    def ledger(self) -> Ledger | None:
        """The ledger as Redis acknowledged it; None while a batch or a recount may change it."""
        if not self.is_ready or self._busy or self._lock.locked():
            return None
        state = self._follower.state
        stored = state.writer.done_to
        return replace(state.ledger, counted=state.counted, block_from=stored, block_to=stored, done=True)

    @property
    def landed(self) -> Landed:
        """What ClickHouse has of the partition, which must be taken over."""
        return self._follower.state.landed

    @property
    def status(self) -> PartitionStatus:
        """Return offsets and buffer sizes; the partition must be taken over."""
        state = self._follower.state
        memory = state.batch_folder.folder.memory
        return PartitionStatus(
            state.position,
            self.safe,
            state.newest_at,
            state.writer.buffered_rows,
            state.writer.buffered_bytes,
            len(memory) if memory is not None else 0,
        )

    async def take_over(self, topic_id: str) -> None:
        """Claim the partition and recover its ledger; it is read from `next_fetch` on.

        `topic_id` is Kafka's id of the topic; empty when it is unknown. A call that is cancelled goes on, and
        the next one waits for it: a rebalance must not begin all this anew.
        """
        if self._taking_over is None:
            self._taking_over = asyncio.create_task(self._follower.take_over(topic_id))
        try:
            await shared_result(self._taking_over)
        except asyncio.CancelledError:
            if self._taking_over.cancelled():
                raise Released("take over") from None
            raise

    async def process(self, fetched: Fetched) -> None:
        """Process a fetched batch; on return its live counters are durable and its rows gathered for a block.

        Raises `Fenced` when another worker owns the partition, and `Released` when it was given up. Any other
        error must end the process.
        """
        async with self._lock:
            await self._process(fetched)

    async def recount(self, request: str) -> None:
        """Recount the live window from ClickHouse under a new generation, then switch readers to it.

        Does nothing, to be called again, while ClickHouse still lacks records that were counted. Raises as
        `process` does.
        """
        async with self._lock:
            state = self._follower.state
            writer, counted = state.writer, state.counted
            if self._busy or writer.pending_end is not None or writer.end < counted:
                return
            await self.retry.wait_for(writer.drain())
            if writer.stored_to < counted:
                return  # The writer has ended: its `on_failure` or `give_up` deals with that.
            ledger = await self._follower.recount(replace(state.ledger, counted=counted))
            # Until it is known to be done: if readers switched and this worker did not, they would miss all
            # that it counts from now on.
            await self.retry.forever(
                lambda: self._stores.ledgers.finish_recount(
                    self.partition, state.ledger.generation, ledger, request
                ),
                "finish a recount",
            )
            state.ledger = ledger
            self.retry.log.info("recounted the live window", request=request)

    async def compare_log(self, topic_id: str) -> None:
        """Start a new incarnation if Kafka shows twice that this is another log (see `LogFollower.compare`).

        `topic_id` is Kafka's id of the topic now; empty when it is unknown. Raises as `process` does, and
        `Unavailable`.
        """
        if not self.is_ready:
            return
        end = await self._follower.log_end()
        async with self._lock:
            if not self._busy:  # Otherwise the last batch was interrupted, and this worker must not go on.
                await self._follower.compare(topic_id, end)

    async def _process(self, fetched: Fetched) -> None:
        if self._busy:
            raise RuntimeError(
                f"{self.partition}: the last batch was interrupted, so its state may be inconsistent"
            )
        records = await self._follower.accept(fetched)
        if not records:
            return
        self._busy = True
        self._warn_if_unkeyed(records[0])
        state = self._follower.state
        state.writer.note_backlog(fetched.backlog)
        began, topic = loop_time(), self.partition.topic
        with traces.span(
            "take batch",
            traces.links_of(records),
            kind=SpanKind.CONSUMER,
            topic=topic,
            partition=self.partition.number,
            epoch=state.ledger.epoch,
            offset_from=records[0].offset,
            offset_to=records[-1].offset + 1,
        ):
            for part in _split(records, self._split_points()):
                await self._process_part(part)
        self._rotate_memory(records[-1])
        state.newest_at = records[-1].timestamp / 1000
        METRICS.batch_records.labels(topic).observe(len(records))
        METRICS.batch_seconds.labels(topic).observe(loop_time() - began)
        self._busy = False

    def _warn_if_unkeyed(self, record: Record) -> None:
        """Log once, and count, that a producer sends no keys, or its ids of events: nothing else shows it."""
        if isinstance(record, UnreadableBatch) or not is_unkeyed(record.key, record.value):
            return
        METRICS.unkeyed.labels(self.partition.topic).inc()
        if self._is_keyed:
            self._is_keyed = False
            self.retry.log.warning(
                "records without a key, or with their eventId as key: related events may reach several"
                " partitions, which count them separately; set the key of docs/events.md in the producer",
                offset=record.offset,
            )

    def _split_points(self) -> list[int]:
        """Return offsets at which a batch is split, so that each store has all of a part or none of it."""
        state = self._follower.state
        bounds = [state.counted, state.writer.end]
        if state.writer.pending_end is not None:
            bounds.append(state.writer.pending_end)
        return sorted(bounds)

    async def _process_part(self, records: Sequence[Record]) -> None:
        stores, retry, state = self._stores, self.retry, self._follower.state
        end, mark = records[-1].offset + 1, fingerprint(records[-1])
        counting, storing = end > state.counted, end > state.writer.end
        since = self._assignment.live_since()
        folded = await state.batch_folder.fold(records, since, counting=counting, storing=storing)
        if counting:
            place = {"offset_from": state.counted, "offset_to": end}
            self._assignment.limits.rejections.note(self.partition, records, folded.rejected)
            if rejected := folded.rejected:
                await retry.forever(
                    lambda: stores.dead_letters.send(self.partition, rejected), "dead letter", **place
                )
                METRICS.count_dead_letters(self.partition.topic, rejected)
            batch = LiveBatch(
                self.partition,
                state.ledger.epoch,
                state.ledger.generation,
                state.counted,
                end,
                mark,
                folded.live,
                folded.books,
            )
            began = loop_time()
            with traces.span("count"):
                await retry.forever(lambda: stores.live.write(batch), "count", **place)
            METRICS.count_seconds.labels(self.partition.topic).observe(loop_time() - began)
            retry.log.debug("counted", stored=folded.books.stored, read=folded.books.read, **place)
            state.counted = end
            METRICS.count_records(self.partition.topic, folded.books)
        if storing:
            await state.writer.add(folded.chunks, folded.books.stored, folded.landed, end, mark)
        state.position, state.mark = end, mark

    def _rotate_memory(self, newest: Record) -> None:
        """Rotate the folder's memory if that is due and all keys it would forget can be looked up."""
        state, now = self._follower.state, newest.timestamp
        memory = state.batch_folder.folder.memory
        if memory is not None and state.writer.stored_to >= self._rotated_at and memory.should_rotate(now):
            memory.rotate(now)
            self._rotated_at = state.position

    async def rest(self) -> None:
        """Write the gathered rows if that is quick: the partition may be another worker's next, or stay."""
        if self.is_ready:
            await self._follower.state.writer.flush(_CLOSE_SECONDS)

    async def give_up(self) -> None:
        """Write the gathered rows if that is quick, and stop; every wait then ends with `Released`."""
        if writer := self._follower.writer:
            await writer.close(_CLOSE_SECONDS)
        self.retry.release()
        self._stop_taking_over()

    def abandon(self) -> None:
        """Stop at once: another worker has the partition, or its state cannot be trusted."""
        self.retry.release()
        self._stop_taking_over()
        if writer := self._follower.writer:
            writer.cancel()

    def _stop_taking_over(self) -> None:
        if self._taking_over is not None:
            let_go(self._taking_over)


def _split(records: Sequence[Record], bounds: Sequence[int]) -> Iterator[Sequence[Record]]:
    """Cut records, in order of offset, before each bound that lies within them."""
    begin = 0
    for bound in bounds:
        if records[begin].offset < bound <= records[-1].offset:
            cut = next(i for i in range(begin, len(records)) if records[i].offset >= bound)
            yield records[begin:cut]
            begin = cut
    yield records[begin:]
