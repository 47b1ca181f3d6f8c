"""The pipeline: keeps a worker for each assigned partition, and hands it the partition's batches.

It knows the stores only by their protocols, and Kafka only by `Broker`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Final, Protocol

from faust.types import TP

from sinks.base import Fenced, Partition, Unavailable, Unexpected
from sinks.together import Together
from streams.assignment import Assignment, Fetched, Limits, LogBounds, MakeFolder, PartitionStatus, Stores
from streams.landed import check
from streams.ledger import both_have, is_behind
from streams.loop_time import loop_time
from streams.metrics import METRICS
from streams.pace import Pace
from streams.partition import PartitionWorker
from streams.retry import Released, Retry

#: Partitions that are taken over at a time: the Redis client has a limited number of connections.
_TAKEN_AT_ONCE: Final = 32
#: Seconds between two seeks of partitions that are taken over one after the other: for each of them the
#: fetcher looks at all partitions that there are.
_SEEK_SECONDS: Final = 0.1


Seek = Callable[[Mapping[TP, int]], Awaitable[None]]
"""Makes the consumer read partitions from offsets on."""


class Broker(Protocol):
    """The operations that the pipeline needs of Kafka."""

    async def cluster_id(self) -> str:
        """Return the cluster's id; raises `Unavailable`."""

    async def seek(self, tp: TP, offset: int) -> None:
        """Make the consumer read a partition from an offset on."""

    async def log_bounds(self, tp: TP) -> LogBounds:
        """Return the bounds of a partition's log, from its current leader; raises `Unavailable`."""

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return Kafka's id of each existing topic; none where brokers have no ids.

        Raises `Unavailable`.
        """


class Pipeline:
    """The partitions that are assigned to one worker process."""

    def __init__(
        self,
        broker: Broker,
        stores: Stores,
        folders: Mapping[str, MakeFolder],
        limits: Limits,
        pace: Pace,
        *,
        clock: Callable[[], float],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Prepare for the topics in `folders`, which has a factory per topic.

        `clock` gives epoch seconds; `on_failure` is called with an error that must end the process.
        """
        self._broker = broker
        self._stores = stores
        self._folders = folders
        self._limits = limits
        self._pace = pace
        self._clock = clock
        self._on_failure = on_failure
        self._workers: dict[TP, PartitionWorker] = {}
        #: Those of partitions that Kafka has taken away, until it is known who has these next.
        self._resting: dict[TP, PartitionWorker] = {}
        #: What Kafka has assigned to this worker, and not taken away since.
        self._assigned: set[TP] = set()
        #: A strong reference to what ends the process: the event loop holds its tasks weakly.
        self._ending: asyncio.Future[None] | None = None
        #: Partitions whose worker was dropped, and that Kafka has not taken away since.
        self._lost: dict[TP, Partition] = {}
        self._take_overs = asyncio.Semaphore(_TAKEN_AT_ONCE)

    async def take_over(self, tps: set[TP], seek: Seek) -> None:
        """Take assigned partitions over; `seek` those that are owned, each once its offset is known.

        Those that this worker had before, and nobody has claimed since, go on where they are. In a rebalance
        Kafka takes all partitions away and gives many back: if each were claimed and looked up anew every
        time, none would get any further while rebalances come faster than that takes.
        """
        await self.give_up(set(self._workers))
        self._lost.clear()
        for tp in self._resting.keys() - tps:
            self._resting.pop(tp).abandon()
        self._assigned = {tp for tp in tps if tp.topic in self._folders}
        retry = Retry(part="take over")
        cluster = await retry.forever(self._broker.cluster_id, "reach Kafka")
        # Before any record is read: see `Takeover.decide`.
        ids = await self._topic_ids({tp.topic for tp in self._assigned})
        owned = await retry.forever(lambda: self._still_owned(cluster), "read the ledgers")
        workers: dict[TP, PartitionWorker] = {}
        # What Kafka has taken away meanwhile must not be claimed: its next owner may have it.
        for tp in self._assigned:
            before = self._resting.pop(tp, None)
            if before is not None and tp not in owned:
                before.abandon()
            workers[tp] = owned.get(tp) or self._new_worker(cluster, tp)
        self._workers = dict(workers)
        ready = {tp: worker.next_fetch for tp, worker in workers.items() if worker.is_ready}
        await seek(ready)
        sought_at = loop_time() if ready else -inf

        async def seek_some(tps: Collection[TP]) -> dict[TP, int]:
            nonlocal sought_at
            await asyncio.sleep(sought_at + _SEEK_SECONDS - loop_time())
            sought_at = loop_time()
            offsets = {tp: workers[tp].next_fetch for tp in tps if self._workers.get(tp) is workers[tp]}
            await seek(offsets)
            return offsets

        seek_together = Together(seek_some)

        async def take(tp: TP, worker: PartitionWorker) -> None:
            if await self._take_over_one(tp, worker, ids.get(tp.topic, "")):
                await seek_together([tp])

        await asyncio.gather(*(take(tp, workers[tp]) for tp in workers.keys() - ready.keys()))

    async def _still_owned(self, cluster: str) -> dict[TP, PartitionWorker]:
        """Return the resting workers whose partitions nobody has claimed since; raises `Unavailable`.

        They are as they would be if they had not noticed the rebalance. If Redis has lost a claim of theirs,
        `compare_ledgers` finds that.
        """
        workers = {tp: one for tp, one in self._resting.items() if one.partition.cluster == cluster}
        ledgers = await self._stores.ledgers.read_all([one.partition for one in workers.values()])
        return {
            tp: one
            for tp, one in workers.items()
            if (epoch := one.epoch) is not None and ledgers[one.partition].epoch <= epoch
        }

    async def _take_over_one(self, tp: TP, worker: PartitionWorker, topic_id: str) -> bool:
        """Take a partition over; return whether it is owned now."""
        try:
            async with self._take_overs:
                # A partition that was given up meanwhile must not be claimed: its next owner may have it.
                if self._workers.get(tp) is worker:
                    await worker.take_over(topic_id)
                    return True
        except Fenced as error:
            self._drop(tp, worker, error)
        except Released:
            pass  # The partition was revoked while the takeover waited for a store.
        return False

    def _new_worker(self, cluster: str, tp: TP) -> PartitionWorker:
        async def seek(offset: int) -> None:
            await self._broker.seek(tp, offset)

        async def log_bounds() -> LogBounds:
            return await self._broker.log_bounds(tp)

        def on_failure(error: BaseException) -> None:
            if isinstance(error, Fenced):
                self._drop(tp, worker, error)
            elif not isinstance(error, Released):
                self._ending = asyncio.ensure_future(self._end(error))

        worker = PartitionWorker(
            Assignment(
                Partition(cluster, tp.topic, tp.partition),
                self._folders[tp.topic],
                self._stores,
                self._limits,
                self._pace,
                clock=self._clock,
                seek=seek,
                log_bounds=log_bounds,
                on_failure=on_failure,
            )
        )
        return worker

    async def give_up(self, tps: set[TP]) -> None:
        """Stop with partitions that Kafka takes away; their gathered rows are written if that is quick.

        `take_over` decides which of them go on.
        """
        self._assigned -= tps
        for tp in tps:
            self._lost.pop(tp, None)
        leaving = {tp: worker for tp in tps if (worker := self._workers.pop(tp, None))}
        self._resting |= {tp: worker for tp, worker in leaving.items() if worker.epoch is not None}
        await asyncio.gather(
            *(worker.rest() if tp in self._resting else worker.give_up() for tp, worker in leaving.items())
        )

    async def process(self, tp: TP, fetched: Fetched) -> None:
        """Process a batch; one of a partition that is not taken over is dropped.

        Such a batch was fetched before a rebalance; after it, the consumer seeks to the position anyway.
        """
        worker = self._workers.get(tp)
        if worker is None or not worker.is_ready:
            return
        async with self._judged(tp, worker):
            try:
                await worker.process(fetched)
            except asyncio.CancelledError:
                # Interrupted: the folder's memory no longer matches the stores.
                self._drop(tp, worker, None)
                raise

    @asynccontextmanager
    async def _judged(self, tp: TP, worker: PartitionWorker) -> AsyncIterator[None]:
        """Drop a worker that lost its partition; end the process for an error that nobody expects."""
        try:
            yield
        except Fenced as error:
            self._drop(tp, worker, error)
        except Released:
            pass
        except Exception as error:
            await self._end(error)
            raise

    async def recount(self) -> None:
        """Do the requested recounts of live windows; one that fails is left for the next call."""
        workers = {worker.partition: (tp, worker) for tp, worker in self._workers.items() if worker.is_ready}
        try:
            wanted = await self._stores.ledgers.requested_recounts(list(workers))
        except Unavailable:
            return
        for partition, request in wanted.items():
            tp, worker = workers[partition]
            async with self._judged(tp, worker):
                try:
                    await worker.recount(request)
                except (Released, Unavailable) as error:
                    worker.retry.log.warning(
                        "recount of the live window failed; it will be retried", error=str(error)[:300]
                    )

    async def compare_ledgers(self) -> None:
        """Check that Redis has lost nothing; call this every few seconds.

        A partition with records notices that with its next batch. Without any, its live numbers would stay
        too low until another worker takes it over.
        """
        known = {tp: (worker, ledger) for tp, worker in self._workers.items() if (ledger := worker.ledger)}
        try:
            found = await self._stores.ledgers.read_all([worker.partition for worker, _ in known.values()])
        except Unavailable:
            return
        for tp, (worker, ledger) in known.items():
            if self._workers.get(tp) is worker and is_behind(found[worker.partition], ledger):
                error = Unexpected(f"the ledger of {worker.partition} is out of date: Redis lost data")
                await self._end(error)
                raise error

    async def compare_rows(self) -> None:
        """Check that ClickHouse has lost nothing; call this every few seconds.

        A partition with records notices that before its next block (`streams.landed`).
        """
        try:
            await check([worker.landed for worker in self._workers.values() if worker.is_ready])
        except (Unavailable, Fenced):
            return
        except Exception as error:
            await self._end(error)
            raise

    async def compare_logs(self) -> None:
        """Check that each partition's log is still the same one; call this every few seconds."""
        workers = dict(self._workers)
        ids = await self._topic_ids({tp.topic for tp in workers})
        await asyncio.gather(*(self._compare_log(tp, worker, ids) for tp, worker in workers.items()))

    async def _compare_log(self, tp: TP, worker: PartitionWorker, ids: Mapping[str, str]) -> None:
        async with self._judged(tp, worker):
            try:
                await worker.compare_log(ids.get(tp.topic, ""))
            except Unavailable as error:
                worker.retry.log.warning(
                    "the partition's log could not be compared with Kafka; it will be retried",
                    error=str(error)[:300],
                )

    async def _topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        try:
            return await self._broker.topic_ids(topics) if topics else {}
        except Unavailable:
            return {}

    async def _end(self, error: BaseException) -> None:
        """End the process, once the inserts are answered of which Redis may have lost that they began.

        Otherwise one could arrive after the next owner has looked how far ClickHouse is.
        """
        if isinstance(error, Unexpected):
            workers = [*self._workers.values(), *self._resting.values()]
            landed = [worker.landed for worker in workers if worker.is_ready]
            await asyncio.gather(*(each.settle() for each in landed))
        self._on_failure(error)

    def _drop(self, tp: TP, worker: PartitionWorker, error: Fenced | None) -> None:
        """Stop a worker that lost its partition or was interrupted, but not a newer one for the partition."""
        if self._workers.get(tp) is worker:
            del self._workers[tp]
            self._lost[tp] = worker.partition
            if error is not None:
                METRICS.fenced.labels(tp.topic).inc()
                worker.retry.log.warning("partition lost", reason=str(error))
            else:
                # As this worker is told to end; nothing is lost.
                worker.retry.log.info("batch interrupted; the partition's next owner processes it")
        worker.abandon()

    def safe_offsets(self) -> dict[TP, int]:
        """Return by partition the offset before which both stores have every record."""
        return {tp: worker.safe for tp, worker in self._workers.items() if worker.is_ready}

    def statuses(self) -> dict[TP, PartitionStatus]:
        """Return the status of each partition that was taken over."""
        return {tp: worker.status for tp, worker in self._workers.items() if worker.is_ready}

    def positions(self) -> dict[TP, int]:
        """Return the next offset to fold of each partition; nothing while any of them waits for a store.

        Partitions share streams, insert slots and the budget, so one that waits holds up the others.
        """
        now = loop_time()
        if any(worker.retry.is_waiting(now) for worker in self._workers.values()):
            return {}
        return {tp: worker.position for tp, worker in self._workers.items() if worker.is_ready}

    async def lost_positions(self) -> dict[TP, int]:
        """Return by lost partition, still assigned to this worker, the next offset for its owner.

        Both stores have every record before it. Usually Kafka takes them away in a moment. But the claim that
        fenced this worker may have been on its way for long, and then there is no other owner. Raises
        `Unavailable`, also while ClickHouse does not answer: an owner waits for it then, and its ledger
        stands still like one without an owner.
        """
        lost = dict(self._lost)
        ledgers = await self._stores.ledgers.read_all(list(lost.values()))
        logs = self._stores.archive.logs
        await asyncio.gather(*(logs(partition.topic, partition.number) for partition in lost.values()))
        return {tp: both_have(ledgers[partition]) for tp, partition in lost.items() if tp in self._lost}
