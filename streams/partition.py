"""One partition at work: check the log, fold, count, gather, give up.

The order within a batch is what makes it exact. Dead letters first (they may repeat, never be missing);
then the live counters, which move their cursor in the same step; then the block, which has its own. A
record that a store has already is folded for its state and kept from that store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from opentelemetry.trace import SpanKind

from sinks.base import Ledger, LiveBatch, Partition
from streams.batch import BatchFolder
from streams.blocks import BlockWriter, Pace
from streams.domain import traces
from streams.domain.aggregate import LIVE_MINUTES
from streams.domain.arrivals import Record
from streams.domain.folding import Folder, Place
from streams.ledger import Plan, another_log, doubt_of, fingerprint, is_other, time_of
from streams.metrics import METRICS
from streams.retry import Retry
from streams.seeking import Seeking
from streams.takeover import Taken, TakeOver
from streams.work import Fetched, Limits, LogSeen, Standing, Stores

#: Generations of recounts lie far above those of take-overs, which are epochs.
_RECOUNT_BITS: Final = 20
#: How long giving up a partition may take to write what has gathered: the group waits, and its heir would
#: write the same.
_CLOSE_SECONDS: Final = 1.0


class PartitionWorker:
    """Takes one partition of one cluster from Kafka into both stores."""

    def __init__(
        self,
        partition: Partition,
        make_folder: Callable[[Place, int], Folder],
        stores: Stores,
        limits: Limits,
        pace: Pace,
        *,
        clock: Callable[[], float],
        seek: Callable[[int], Awaitable[None]],
        look: Callable[[], Awaitable[LogSeen]],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Prepare; `take_over` begins.

        Args:
            partition: whose records these are.
            make_folder: makes the topic's folder for a place and a floor (see `Generations`).
            stores: what is written and asked.
            limits: bounds.
            pace: of ClickHouse inserts, shared by a worker's partitions.
            clock: epoch seconds, for what counts as live.
            seek: moves the consumer to an offset of the partition.
            look: asks whoever leads the partition now how its log stands; raises `Unavailable`.
            on_failure: told of what must end the process.
        """
        self.partition = partition
        self._stores = stores
        self._limits = limits
        self._clock = clock
        self._look = look
        self.retry = Retry(cluster=partition.cluster, topic=partition.topic, partition=partition.number)
        self._taking = TakeOver(partition, make_folder, stores, limits, pace, self.retry, on_failure)
        self._busy = False
        #: Held while a batch is taken, or the live window counted again.
        self._turn = asyncio.Lock()
        self._recounts = 0
        self._seeking = Seeking(seek, _now)
        #: What was last said against the log being the one that was read.
        self._doubt = ""
        self._turned_at = 0
        self._newest_at = 0.0

    # What `take_over` sets.
    _ledger: Ledger
    _folding: BatchFolder
    _writer: BlockWriter
    #: The next offset to fold, and to count.
    position: int
    counted: int
    #: Fingerprint that the record before `position` must have; empty once it was checked.
    _mark: str

    @property
    def next_fetch(self) -> int:
        """Offset to read from: the record before the position comes again, to be compared."""
        return self.position - 1 if self._mark else self.position

    @property
    def is_ready(self) -> bool:
        """Say whether the partition was taken over."""
        return hasattr(self, "_writer")

    @property
    def safe(self) -> int:
        """Every record before this offset is in both stores."""
        return min(self.counted, self._writer.stored_to)

    @property
    def standing(self) -> Standing:
        """Return how the partition stands; it was taken over."""
        memory = self._folding.folder.memory
        return Standing(
            self.position,
            self.safe,
            self._newest_at,
            self._writer.waiting_rows,
            self._writer.waiting_bytes,
            len(memory) if memory is not None else 0,
        )

    async def take_over(self, topic_id: str = "") -> int:
        """Claim the partition, put its books in order and return the offset to read from.

        `topic_id` is Kafka's id of the topic; empty when nobody knows.
        """
        plan, landed = await self._taking.decide(topic_id)
        self._go_on(await self._taking.begin(plan, landed))
        if plan.rebuild:
            await self._count_again(plan.ledger)
        if plan.restart:
            ledgers = self._stores.ledgers
            await self.retry.forever(lambda: ledgers.restart(self.partition, plan.ledger), "write the ledger")
        return self.next_fetch

    def _go_on(self, taken: Taken) -> None:
        self._ledger, self._folding, self._writer = taken.ledger, taken.folding, taken.writer
        self.position, self.counted, self._mark = taken.position, taken.counted, taken.mark
        self._newest_at = time_of(taken.mark)

    async def _count_again(self, ledger: Ledger) -> None:
        await self._taking.count_again(self._folding.folder, ledger, self._since())

    async def _counted_again(self, ledger: Ledger) -> Ledger:
        """Count the live window again; return the ledger with the generation that it is counted under."""
        self._recounts += 1
        # A count that fails half way is never added to: each has a generation of its own.
        again = replace(ledger, generation=(ledger.epoch << _RECOUNT_BITS) + self._recounts)
        await self._count_again(again)
        return again

    def _since(self) -> int:
        return int(self._clock()) // 60 - LIVE_MINUTES

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
            writer, counted = self._writer, self.counted
            if self._busy or writer.exact_end is not None or writer.end < counted:
                return
            await self.retry.until(writer.settle())
            if writer.stored_to < counted:
                return  # The writer has ended; who told it so knows.
            ledger = await self._counted_again(replace(self._ledger, counted=counted))
            await self._stores.ledgers.recounted(self.partition, ledger.epoch, ledger.generation, request)
            self._ledger = ledger
            self.retry.log.info("counted the live window again", request=request)

    async def _process(self, fetched: Fetched) -> None:
        if self._busy:
            raise RuntimeError(
                f"{self.partition}: the last batch was cut short, its state is not to be trusted"
            )
        records = await self._due(fetched)
        if not records:
            return
        self._busy = True
        self._writer.note_waiting(fetched.waiting)
        began, topic = _now(), self.partition.topic
        with traces.span(
            "take batch",
            traces.links_of(records),
            kind=SpanKind.CONSUMER,
            topic=topic,
            partition=self.partition.number,
            epoch=self._ledger.epoch,
            offset_from=records[0].offset,
            offset_to=records[-1].offset + 1,
        ):
            for part in _split(records, self._bounds()):
                await self._take(part)
        self._forget(records[-1])
        self._newest_at = records[-1].timestamp / 1000
        METRICS.batch_records.labels(topic).observe(len(records))
        METRICS.batch_seconds.labels(topic).observe(_now() - began)
        self._busy = False

    async def _due(self, fetched: Fetched) -> Sequence[Record]:
        """Return the batch's records from the position on, none if it is not what must come next."""
        if fetched.start != self.next_fetch:
            # Fetched before a seek, or what lies between was dropped with a closed stream.
            await self._seeking.dropped(self.next_fetch)
            return ()
        self._seeking.found()
        records = fetched.records
        if not records:
            await self._out_of_range()
            return ()
        if self._mark and records[0].offset < self.position:
            if not fingerprint(records[0]).startswith(self._mark):
                await self._restart_log("the record before the position is another one")
                return ()
            records = records[1:]
        if is_other(self._ledger, fetched.topic_id):
            # Taken now they would come out of order: another log begins at its start, or it is a mistake.
            self._seeking.put_off()
            return ()
        self._mark = ""
        return records

    async def compare_log(self, topic_id: str) -> None:
        """Begin another log if Kafka says twice in a row that this is one; raises as `process` does.

        A topic that is made again has an id of its own, and no id comes twice: it is another topic if it has
        one that was never heard of. Whatever was read of it in the meantime comes again from its start, and
        is known by its ids. A ledger without any id takes the first that it is told.

        Where ids are not told, and where a log was cut, its end must do. Kafka sends nothing of a log that
        ends one record before the position, so there is nothing to compare, though it may hold all but that
        record. What was read is below the high watermark, and a leader answers a question for the end only
        once its own is at the beginning of its epoch (KIP-207): at or beyond all that any leader before it
        let anybody read. So an end before the position is that of another log, or of one that an unclean
        election cut.

        One doubt is left: a broker that was cut off, knows an old topic, and does not know that it leads no
        more. That is why both are believed only when they are told again, after asking anew who leads. Were
        they wrong then too, records would be read again for nothing, none lost and none counted twice.

        Args:
            topic_id: Kafka's id of the topic now; empty when nobody knows.
        """
        if not self.is_ready:
            return
        end = (await self._look()).end if self._mark else None
        async with self._turn:
            if self._busy:
                return  # The last batch was cut short: this worker is done.
            await self._seeking.again(self.next_fetch)
            self._ledger = await self._taking.name_log(self._ledger, topic_id)
            doubt = doubt_of(self._ledger, topic_id, self.position, end if self._mark else None)
            if doubt and doubt == self._doubt:
                await self._restart_log(doubt)
                doubt = ""
            self._doubt = doubt

    async def _out_of_range(self) -> None:
        """Deal with a position that Kafka does not have: retention was faster, or the log is another."""
        start = (await self.retry.forever(self._look, "look at the log")).start
        if start <= self.next_fetch:
            await self._restart_log("it has no such position")
            return
        lost = max(0, start - self.position)
        if lost:
            METRICS.lost.labels(self.partition.topic).inc(lost)
            self.retry.log.error(
                "records lost to retention: the worker was away for longer than the topic keeps them",
                lost=lost,
                offset_from=self.position,
                offset_to=start,
            )
        self.position, self._mark = max(start, self.position), ""
        if self._writer.exact_end is not None and self._writer.end < start:
            self.retry.log.error(
                "a block in doubt cannot be read again; what landed of it stays",
                offset_from=self._writer.end,
                offset_to=self._writer.exact_end,
            )
            self._writer.give_up_exactness(start)
        await self._seeking.go_to(self.next_fetch)

    async def _restart_log(self, why: str) -> None:
        """Begin a new incarnation: the topic was made anew or its log was cut behind the cursor.

        What has gathered is written first: nobody can read it again. Records that were taken before and come
        again are known by their views and event ids. Those that were counted, and are in no block because
        somebody died, are not: so the live window is counted again from ClickHouse.
        """
        METRICS.replaced.labels(self.partition.topic).inc()
        await self.retry.until(self._writer.close(None))
        seen = await self.retry.forever(self._look, "look at the log")
        ledger = another_log(self._ledger, seen.start, seen.topic_id)
        self.retry.log.error(
            "this is another log than the one that was read before; it is read from its start",
            why=why,
            expected=self.position,
            log_start=seen.start,
            incarnation=ledger.incarnation,
        )
        self._go_on(await self._taking.begin(Plan("new", ledger, seen.start, "", None), None))
        self._ledger = ledger = await self.retry.forever(
            lambda: self._counted_again(ledger), "count the live window again"
        )
        await self.retry.forever(
            lambda: self._stores.ledgers.restart(self.partition, ledger), "write the ledger"
        )
        await self._seeking.go_to(seen.start)

    def _bounds(self) -> list[int]:
        """Offsets at which a batch is split, so that a store has all of a part or none of it."""
        bounds = [self.counted, self._writer.end]
        if self._writer.exact_end is not None:
            bounds.append(self._writer.exact_end)
        return sorted(bounds)

    async def _take(self, records: Sequence[Record]) -> None:
        stores, retry = self._stores, self.retry
        end, mark = records[-1].offset + 1, fingerprint(records[-1])
        counting, storing = end > self.counted, end > self._writer.end
        folded = await self._folding.fold(records, self._since(), counting=counting, storing=storing)
        if counting:
            place = {"offset_from": self.counted, "offset_to": end}
            self._limits.rejections.note(self.partition, records, folded.rejected)
            if rejected := folded.rejected:
                await retry.forever(
                    lambda: stores.dead_letters.send(self.partition, rejected), "dead letter", **place
                )
                METRICS.letters(self.partition.topic, rejected)
            batch = LiveBatch(
                self.partition,
                self._ledger.epoch,
                self._ledger.generation,
                self.counted,
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
            self.counted = end
            METRICS.count(self.partition.topic, folded.books)
        if storing:
            await self._writer.add(folded.chunks, folded.books.stored, folded.landed, end, mark)
        self.position = end

    def _forget(self, newest: Record) -> None:
        """Let the folder's memory turn, once all it would forget can be looked up."""
        memory = self._folding.folder.memory
        if memory is not None and self._writer.stored_to >= self._turned_at:
            at = newest.timestamp
            if memory.is_due(at):
                memory.turn(at)
                self._turned_at = self.position

    async def give_up(self) -> None:
        """Write what has gathered if that is quick, and stop; every wait ends with `Released`."""
        if self.is_ready:
            await self._writer.close(_CLOSE_SECONDS)
        self.retry.release()

    def abandon(self) -> None:
        """Stop at once: the partition is another's, or its state is not to be trusted."""
        if self.is_ready:
            self._writer.cancel()


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
