"""One partition at work: fold, count, gather, give up.

The order within a batch is what makes it exact. Dead letters first (they may repeat, never be missing);
then the live counters, which move their cursor in the same step; then the block, which has its own. A
record that a store has already is folded for its state and kept from that store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.trace import SpanKind

from sinks.base import LiveBatch
from streams.assignment import Assignment, Fetched, PartitionStatus
from streams.domain import traces
from streams.domain.arrivals import Record
from streams.ledger import fingerprint
from streams.log_follower import LogFollower
from streams.metrics import METRICS
from streams.retry import Retry

#: How long giving up a partition may take to write what has gathered: the group waits, and its heir would
#: write the same.
_CLOSE_SECONDS: Final = 1.0


class PartitionWorker:
    """Takes one partition of one cluster from Kafka into both stores."""

    def __init__(self, assignment: Assignment) -> None:
        """Prepare; `take_over` begins."""
        self.partition = assignment.partition
        self._assignment, self._stores = assignment, assignment.stores
        self.retry = Retry(
            cluster=self.partition.cluster, topic=self.partition.topic, partition=self.partition.number
        )
        self._follower = LogFollower(assignment, self.retry)
        self._busy = False
        #: Held while a batch is taken, or the live window counted again.
        self._turn = asyncio.Lock()
        self._turned_at = 0
        self._is_keyed = True

    @property
    def is_ready(self) -> bool:
        """Say whether the partition was taken over."""
        return self._follower.is_ready

    @property
    def position(self) -> int:
        """The next offset to fold; the partition was taken over."""
        return self._follower.at.position

    @property
    def safe(self) -> int:
        """Every record before this offset is in both stores."""
        at = self._follower.at
        return min(at.counted, at.writer.stored_to)

    @property
    def status(self) -> PartitionStatus:
        """Return how the partition stands; it was taken over."""
        at = self._follower.at
        memory = at.folding.folder.memory
        return PartitionStatus(
            at.position,
            self.safe,
            at.newest_at,
            at.writer.waiting_rows,
            at.writer.waiting_bytes,
            len(memory) if memory is not None else 0,
        )

    async def take_over(self, topic_id: str = "") -> int:
        """Claim the partition, put its books in order and return the offset to read from.

        `topic_id` is Kafka's id of the topic; empty when nobody knows.
        """
        await self._follower.take_over(topic_id)
        return self._follower.next_fetch

    async def process(self, fetched: Fetched) -> None:
        """Take a fetched batch into both stores; on return its live part is durable.

        Raises `Fenced` when another worker owns the partition, `Released` when it was given up, and
        anything else only for what must end the process.
        """
        async with self._turn:
            await self._process(fetched)

    async def recount(self, request: str) -> None:
        """Count the live window again from ClickHouse, beside the one that is read, and switch over.

        Left for the next time when ClickHouse is still to be replayed. Raises as `process` does.
        """
        async with self._turn:
            at = self._follower.at
            writer, counted = at.writer, at.counted
            if self._busy or writer.exact_end is not None or writer.end < counted:
                return
            await self.retry.until(writer.settle())
            if writer.stored_to < counted:
                return  # The writer has ended; who told it so knows.
            ledger = await self._follower.count_again(replace(at.ledger, counted=counted))
            await self._stores.ledgers.recounted(self.partition, ledger.epoch, ledger.generation, request)
            at.ledger = ledger
            self.retry.log.info("counted the live window again", request=request)

    async def compare_log(self, topic_id: str) -> None:
        """Begin another log if Kafka says twice in a row that this is one (see `LogFollower.compare`).

        `topic_id` is Kafka's id of the topic now; empty when nobody knows. Raises as `process` does, and
        `Unavailable`.
        """
        if not self.is_ready:
            return
        end = await self._follower.log_end()
        async with self._turn:
            if not self._busy:  # Else the last batch was cut short: this worker is done.
                await self._follower.compare(topic_id, end)

    async def _process(self, fetched: Fetched) -> None:
        if self._busy:
            raise RuntimeError(
                f"{self.partition}: the last batch was cut short, its state is not to be trusted"
            )
        records = await self._follower.due(fetched)
        if not records:
            return
        self._busy = True
        self._note_key(records[0])
        at = self._follower.at
        at.writer.note_waiting(fetched.waiting)
        began, topic = _now(), self.partition.topic
        with traces.span(
            "take batch",
            traces.links_of(records),
            kind=SpanKind.CONSUMER,
            topic=topic,
            partition=self.partition.number,
            epoch=at.ledger.epoch,
            offset_from=records[0].offset,
            offset_to=records[-1].offset + 1,
        ):
            for part in _split(records, self._bounds()):
                await self._take(part)
        self._forget(records[-1])
        at.newest_at = records[-1].timestamp / 1000
        METRICS.batch_records.labels(topic).observe(len(records))
        METRICS.batch_seconds.labels(topic).observe(_now() - began)
        self._busy = False

    def _note_key(self, record: Record) -> None:
        """Tell of a producer that gives no keys, in the log once: nothing else shows that."""
        if record.key is not None:
            return
        METRICS.unkeyed.labels(self.partition.topic).inc()
        if self._is_keyed:
            self._is_keyed = False
            self.retry.log.warning(
                "records without a key: events that belong together may be in several partitions, where each"
                " counts anew; docs/events.md says which key",
                offset=record.offset,
            )

    def _bounds(self) -> list[int]:
        """Offsets at which a batch is split, so that a store has all of a part or none of it."""
        at = self._follower.at
        bounds = [at.counted, at.writer.end]
        if at.writer.exact_end is not None:
            bounds.append(at.writer.exact_end)
        return sorted(bounds)

    async def _take(self, records: Sequence[Record]) -> None:
        stores, retry, at = self._stores, self.retry, self._follower.at
        end, mark = records[-1].offset + 1, fingerprint(records[-1])
        counting, storing = end > at.counted, end > at.writer.end
        since = self._assignment.live_since()
        folded = await at.folding.fold(records, since, counting=counting, storing=storing)
        if counting:
            place = {"offset_from": at.counted, "offset_to": end}
            self._assignment.limits.rejections.note(self.partition, records, folded.rejected)
            if rejected := folded.rejected:
                await retry.forever(
                    lambda: stores.dead_letters.send(self.partition, rejected), "dead letter", **place
                )
                METRICS.letters(self.partition.topic, rejected)
            batch = LiveBatch(
                self.partition,
                at.ledger.epoch,
                at.ledger.generation,
                at.counted,
                end,
                mark,
                folded.live,
                folded.books,
            )
            began = _now()
            with traces.span("count"):
                await retry.forever(lambda: stores.live.write(batch), "count", **place)
            METRICS.count_seconds.labels(self.partition.topic).observe(_now() - began)
            retry.log.debug("counted", stored=folded.books.stored, read=folded.books.read, **place)
            at.counted = end
            METRICS.count(self.partition.topic, folded.books)
        if storing:
            await at.writer.add(folded.chunks, folded.books.stored, folded.landed, end, mark)
        at.position = end

    def _forget(self, newest: Record) -> None:
        """Let the folder's memory turn, once all it would forget can be looked up."""
        at, now = self._follower.at, newest.timestamp
        memory = at.folding.folder.memory
        if memory is not None and at.writer.stored_to >= self._turned_at and memory.is_due(now):
            memory.turn(now)
            self._turned_at = at.position

    async def give_up(self) -> None:
        """Write what has gathered if that is quick, and stop; every wait ends with `Released`."""
        if self.is_ready:
            await self._follower.at.writer.close(_CLOSE_SECONDS)
        self.retry.release()

    def abandon(self) -> None:
        """Stop at once: the partition is another's, or its state is not to be trusted."""
        if self.is_ready:
            self._follower.at.writer.cancel()


def _split(records: Sequence[Record], bounds: Sequence[int]) -> Iterator[Sequence[Record]]:
    """Cut records, in order of offset, before each bound that lies within them."""
    begin = 0
    for bound in bounds:
        if records[begin].offset < bound <= records[-1].offset:
            cut = next(i for i in range(begin, len(records)) if records[i].offset >= bound)
            yield records[begin:cut]
            begin = cut
    yield records[begin:]


def _now() -> float:
    return asyncio.get_running_loop().time()
