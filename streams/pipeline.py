"""The pipeline: which partitions are at work here, and what becomes of a batch.

Knows stores only by their protocols and Kafka only by `Broker`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from faust.types import TP

from sinks.base import Fenced, Partition, Unavailable
from streams.assignment import Assignment, Fetched, Limits, LogSeen, MakeFolder, PartitionStatus, Stores
from streams.metrics import METRICS
from streams.pace import Pace
from streams.partition import PartitionWorker
from streams.retry import Released, Retry


class Broker(Protocol):
    """What the pipeline asks of Kafka."""

    async def cluster_id(self) -> str:
        """Return the cluster's id; raises `Unavailable`."""

    async def seek(self, tp: TP, offset: int) -> None:
        """Move the consumer."""

    async def look(self, tp: TP) -> LogSeen:
        """Ask whoever leads a partition now how its log stands; raises `Unavailable`."""

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return Kafka's id of each topic that there is, none where the broker knows no ids.

        Raises `Unavailable`.
        """


class Pipeline:
    """The partitions of one worker."""

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
        """Prepare for topics; `folders` has one maker a topic."""
        self._broker = broker
        self._stores = stores
        self._folders = folders
        self._limits = limits
        self._pace = pace
        self._clock = clock
        self._on_failure = on_failure
        self._workers: dict[TP, PartitionWorker] = {}

    async def take_over(self, tps: set[TP]) -> dict[TP, int]:
        """Claim newly assigned partitions and return where to read each from, less those lost meanwhile."""
        await self.give_up(set(self._workers))
        cluster = await Retry(part="take over").forever(self._broker.cluster_id, "reach Kafka")
        workers = {tp: self._new_worker(cluster, tp) for tp in tps if tp.topic in self._folders}
        self._workers = dict(workers)
        # Asked before anything is read.
        ids = await self._topic_ids({tp.topic for tp in workers})
        positions = await asyncio.gather(
            *(self._position(tp, worker, ids.get(tp.topic, "")) for tp, worker in workers.items())
        )
        found = zip(workers, positions, strict=True)
        return {tp: position for tp, position in found if position is not None}

    async def _position(self, tp: TP, worker: PartitionWorker, topic_id: str) -> int | None:
        try:
            return await worker.take_over(topic_id)
        except Fenced as error:
            self._drop(tp, worker, error)
        except Released:
            pass  # Partitions moved on while a store was waited for.
        return None

    def _new_worker(self, cluster: str, tp: TP) -> PartitionWorker:
        async def seek(offset: int) -> None:
            await self._broker.seek(tp, offset)

        async def look() -> LogSeen:
            return await self._broker.look(tp)

        def on_failure(error: BaseException) -> None:
            if isinstance(error, Fenced):
                self._drop(tp, worker, error)
            elif not isinstance(error, Released):
                self._on_failure(error)

        worker = PartitionWorker(
            Assignment(
                Partition(cluster, tp.topic, tp.partition),
                self._folders[tp.topic],
                self._stores,
                self._limits,
                self._pace,
                clock=self._clock,
                seek=seek,
                look=look,
                on_failure=on_failure,
            )
        )
        return worker

    async def give_up(self, tps: set[TP]) -> None:
        """Let partitions go: what is gathered is written if that is quick."""
        leaving = [worker for tp in tps if (worker := self._workers.pop(tp, None))]
        await asyncio.gather(*(worker.give_up() for worker in leaving))

    async def process(self, tp: TP, fetched: Fetched) -> None:
        """Take a batch into both stores. A partition that is not ours any more, or not yet, is left alone.

        A batch may come late, from before its partition was assigned anew: what counts is sought after that.
        """
        worker = self._workers.get(tp)
        if worker is None or not worker.is_ready:
            return
        try:
            await worker.process(fetched)
        except Fenced as error:
            self._drop(tp, worker, error)
        except Released:
            pass
        except asyncio.CancelledError:
            # Cut short: its memory is no longer what the stores have.
            self._drop(tp, worker, None)
            raise
        except Exception as error:
            self._on_failure(error)
            raise

    async def recount(self) -> None:
        """Count the live windows again for which that was asked, or leave them for the next call."""
        workers = {worker.partition: (tp, worker) for tp, worker in self._workers.items() if worker.is_ready}
        try:
            wanted = await self._stores.ledgers.recounts(list(workers))
        except Unavailable:
            return
        for partition, request in wanted.items():
            tp, worker = workers[partition]
            try:
                await worker.recount(request)
            except Fenced as error:
                self._drop(tp, worker, error)
            except (Released, Unavailable) as error:
                worker.retry.log.warning("not counted again yet", error=str(error)[:300])
            except Exception as error:
                self._on_failure(error)
                raise

    async def compare_logs(self) -> None:
        """Compare each log at work with what Kafka says of it now; call it every few seconds."""
        workers = dict(self._workers)
        ids = await self._topic_ids({tp.topic for tp in workers})
        await asyncio.gather(*(self._compare_log(tp, worker, ids) for tp, worker in workers.items()))

    async def _compare_log(self, tp: TP, worker: PartitionWorker, ids: Mapping[str, str]) -> None:
        try:
            await worker.compare_log(ids.get(tp.topic, ""))
        except Fenced as error:
            self._drop(tp, worker, error)
        except Released:
            pass
        except Unavailable as error:
            worker.retry.log.warning("log not compared yet", error=str(error)[:300])
        except Exception as error:
            self._on_failure(error)
            raise

    async def _topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        try:
            return await self._broker.topic_ids(topics) if topics else {}
        except Unavailable:
            return {}

    def _drop(self, tp: TP, worker: PartitionWorker, error: Fenced | None) -> None:
        """Let go of a worker that may not or cannot go on, and not of one that came after it."""
        if self._workers.get(tp) is worker:
            del self._workers[tp]
            if error is not None:
                METRICS.fenced.labels(tp.topic).inc()
            worker.retry.log.warning("partition lost", reason=str(error or "cancelled"))
        worker.retry.release()
        worker.abandon()

    def safe_offsets(self) -> dict[TP, int]:
        """Return the offset before which both stores have all, by partition."""
        return {tp: worker.safe for tp, worker in self._workers.items() if worker.is_ready}

    def statuses(self) -> dict[TP, PartitionStatus]:
        """Return how each partition at work stands."""
        return {tp: worker.status for tp, worker in self._workers.items() if worker.is_ready}

    def positions(self) -> dict[TP, int]:
        """Return the next offset to fold of each partition at work; none while a store is waited for.

        Partitions share streams, slots for inserts and the budget, so one that waits holds up others.
        """
        now = asyncio.get_running_loop().time()
        if any(worker.retry.is_waiting(now) for worker in self._workers.values()):
            return {}
        return {tp: worker.position for tp, worker in self._workers.items() if worker.is_ready}
