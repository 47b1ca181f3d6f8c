"""Taking a partition over: what its two books say, and from it where to go on and with which memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sinks.base import Block, BlockId, Ledger, log_name
from streams.assignment import Assignment
from streams.batch import BatchFolder
from streams.blocks import BlockWriter
from streams.domain.aggregate import MINUTE_MS, Live
from streams.domain.arrivals import SKEW_MS
from streams.domain.folding import Folder, Place
from streams.domain.generations import MOST_AHEAD
from streams.ledger import Plan, current, in_bundle, plan, time_mark, time_of, withdrawn
from streams.metrics import METRICS
from streams.retry import Retry

#: After every offset of a log.
_EVERYTHING = 1 << 62


@dataclass(slots=True)
class Taken:
    """A partition that was taken over: what its worker goes on with, and how far it is."""

    ledger: Ledger
    folding: BatchFolder
    writer: BlockWriter
    #: The next offset to fold, and to count.
    position: int
    counted: int
    #: Fingerprint that the record before `position` must have; empty if nobody knows it, or once it was seen.
    mark: str
    #: Time of the newest record that was taken (epoch s), by whomever; 0 when there is none, or none known.
    newest_at: float


class TakeOver:
    """Takes one partition over, and begins another log of it."""

    def __init__(self, assignment: Assignment, retry: Retry) -> None:
        """Prepare; `retry` repeats what may pass."""
        self._assignment = assignment
        self._partition, self._stores = assignment.partition, assignment.stores
        self._retry = retry

    def place(self, incarnation: int) -> Place:
        """Return where records of an incarnation of the partition lie."""
        partition = self._partition
        return Place(log_name(partition.cluster, incarnation), partition.topic, partition.number)

    async def decide(self, topic_id: str) -> tuple[Plan, int | None]:
        """Claim the partition, ask both books, and return the plan and where ClickHouse's book ends.

        `topic_id` is Kafka's id of the topic now, which nothing was read of yet; empty when nobody knows. A
        ledger that names no topic takes it: if the topic is exchanged from here on, its id will be another.
        """
        retry, stores, partition = self._retry, self._stores, self._partition
        claimed = await retry.forever(lambda: stores.ledgers.claim(partition), "claim")
        logs = await retry.forever(
            lambda: stores.archive.logs(partition.topic, partition.number), "ask for logs"
        )
        ledger = current(claimed, logs, partition.cluster)
        ledger = await self.name_log(ledger, topic_id)
        place = self.place(ledger.incarnation)
        landed = await retry.forever(
            lambda: stores.archive.next_offset(place.log, place.topic, place.partition), "ask how far"
        )
        if ledger.bundle and (landed or 0) < ledger.landed:
            # ClickHouse lost rows, which are read again from before the bundle: nobody may send it any more.
            await retry.forever(lambda: stores.bundles.store.revoke(ledger.bundle), "revoke a bundle")
        if in_bundle(ledger, landed) and not await self._is_sent(ledger, place):
            await retry.forever(
                lambda: stores.ledgers.withdraw(partition, ledger.epoch, ledger.bundle), "withdraw a block"
            )
            ledger = withdrawn(ledger)
        plan_ = plan(ledger, landed)
        METRICS.recoveries.labels(partition.topic, plan_.why).inc()
        retry.log = retry.log.bind(epoch=ledger.epoch)
        retry.log.info("took over", why=plan_.why, position=plan_.position, in_doubt=plan_.pending)
        return plan_, landed

    async def _is_sent(self, ledger: Ledger, place: Place) -> bool:
        """Say whether the newest block, which went with a bundle, is sent; else it never will be."""
        bundle = await self._retry.forever(
            lambda: self._stores.bundles.store.settle(ledger.bundle), "settle a bundle"
        )
        start, end = ledger.block_from or 0, ledger.block_to or 0
        block = BlockId(place.log, self._partition, start, end)
        is_sent = bundle is not None and block in bundle.blocks
        self._retry.log.info(
            "settled a bundle", bundle=ledger.bundle, sent=is_sent, offset_from=start, offset_to=end
        )
        return is_sent

    async def name_log(self, ledger: Ledger, topic_id: str) -> Ledger:
        """Write down whose log this is, if somebody tells and nobody has; return the ledger that says so."""
        if not topic_id or ledger.topic_ids:
            return ledger
        named = replace(ledger, topic_ids=(topic_id,))
        ledgers = self._stores.ledgers
        await self._retry.forever(
            lambda: ledgers.name_log(self._partition, named.epoch, named.topic_ids), "name the log"
        )
        return named

    async def begin(self, plan_: Plan, landed: int | None) -> Taken:
        """Make what carries a plan out: a memory of what is stored, and a writer behind the last block."""
        ledger, place = plan_.ledger, self.place(plan_.ledger.incarnation)
        folding = await self._folding(place)
        mark = plan_.mark if plan_.position else ""
        if not plan_.mark and plan_.position == landed:
            mark = await self._mark_by_time(place, folding.folder.table, plan_.position - 1)
        shard = ledger.shard or await self._retry.forever(
            lambda: self._stores.blocks.place(place.log, place.topic, place.partition), "find a shard"
        )
        return Taken(
            ledger=ledger,
            folding=folding,
            writer=self._writer(plan_, place, folding.folder, shard),
            position=plan_.position,
            counted=ledger.counted or 0,
            mark=mark,
            newest_at=time_of(mark),
        )

    async def _folding(self, place: Place) -> BatchFolder:
        archive, retry = self._stores.archive, self._retry
        newest = await retry.forever(archive.newest_received, "ask for the newest")
        # Nothing that occurred later than this was stored, but for clocks ahead of their records.
        floor = newest + SKEW_MS if newest else -1
        folder = self._assignment.make_folder(place, floor)
        if folder.memory is not None and newest:
            folder.memory.expect(
                await retry.forever(
                    lambda: archive.ahead(folder.table, floor, MOST_AHEAD + 1), "ask for clocks ahead"
                )
            )
        return BatchFolder(folder, self._stores, retry, self._assignment.limits.retention_ms)

    async def _mark_by_time(self, place: Place, table: str, offset: int) -> str:
        """Have the record before the position compared by its time: the ledger knows no more of it."""
        archive = self._stores.archive
        at = await self._retry.forever(
            lambda: archive.received_at(table, place.log, place.topic, place.partition, offset),
            "ask for a record",
        )
        return "" if at is None else time_mark(at)

    def _writer(self, plan_: Plan, place: Place, folder: Folder, shard: int) -> BlockWriter:
        ledger = plan_.ledger
        cursor = (ledger.block_to if ledger.done else ledger.block_from) or 0
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
            ledger.epoch,
            sink=self._stores.blocks,
            ledgers=self._stores.ledgers,
            bundles=self._stores.bundles,
            pace=self._assignment.pace,
            retry=self._retry,
            max_rows=self._assignment.limits.block_rows,
            exact_end=plan_.pending[1] if plan_.pending else None,
            doubt=ledger.bundle if plan_.pending else "",
            on_failure=self._assignment.on_failure,
        )

    async def count_again(self, folder: Folder, ledger: Ledger) -> None:
        """Count the stored rows of the live window again, under the ledger's generation.

        Nobody reads that generation yet.
        """
        since = self._assignment.live_since()
        for incarnation in range(ledger.incarnation):
            # What the topic held before it was made anew was counted too.
            await self._count_log(folder, ledger, since, self.place(incarnation).log, _EVERYTHING)
        await self._count_log(folder, ledger, since, folder.place.log, ledger.counted or 0)

    async def _count_log(self, folder: Folder, ledger: Ledger, since: int, log: str, before: int) -> None:
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
            folder.live(rows, since, live)
            await stores.live.rebuild(partition, ledger.epoch, ledger.generation, live)
