"""A worker process: the real pipeline and lanes, on a consumer that stands in for Faust's and aiokafka's.

`transport.py` and Faust are the only parts of a worker that are imitated here: a consumer that knows from
where the next batch comes, one queue and one agent for each topic, and the callbacks of a rebalance.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from faust.types import TP

from sinks.base import Partition, Unavailable
from streams.assignment import Fetched, LogBounds
from streams.domain.arrivals import Rejected
from streams.lanes import Lanes
from streams.pipeline import Pipeline
from streams.watchdog import Watchdog
from tests.simulation.kafka import SESSION, Kafka
from tests.simulation.loop import Machine

if TYPE_CHECKING:
    from tests.simulation.world import World

#: As in `streams.app`, and the age of topic ids as in `streams.transport`.
_RECOUNT_SECONDS: Final = 1.0
_COMPARE_SECONDS: Final = 2.0
_COMPARE_ROWS_SECONDS: Final = 10.0
_BATCHES_BUFFERED: Final = 4
_ID_MAX_AGE: Final = 0.1
_ID_PAUSE: Final = 5.0
#: Shorter than in production, so that a stalled worker is found before the end of an episode.
_STALL_SECONDS: Final = 30.0


@dataclass
class Consumer:
    """The consumer of one worker: `next` are the offsets from which the next batches come."""

    world: World
    topics: Collection[str]
    #: Returns Kafka as this worker reaches it.
    kafka: Callable[[], Kafka]

    def __post_init__(self) -> None:
        self.assigned: set[TP] = set()
        self.next: dict[TP, int] = {}
        self.is_flowing = False
        self.queues = {name: asyncio.Queue[tuple[TP, Fetched]](_BATCHES_BUFFERED) for name in self.topics}
        self._ids: Mapping[str, str] = {}
        self._ids_at = -1.0

    def seek(self, offsets: Mapping[TP, int]) -> None:
        """Seek the partitions that are still assigned."""
        self.next |= {tp: offset for tp, offset in offsets.items() if tp in self.assigned}

    def assign(self, tps: Collection[TP]) -> None:
        """Begin with an assignment: nothing is read before it is sought."""
        self.assigned, self.next = set(tps), {}

    def revoke(self) -> None:
        """Stop reading, and forget what nobody has taken yet."""
        self.is_flowing = False
        self.assigned, self.next = set(), {}
        for queue in self.queues.values():
            while not queue.empty():
                queue.get_nowait()

    async def run(self) -> None:
        """Read for ever."""
        rng = self.world.rng
        while True:
            await asyncio.sleep(rng.uniform(0.02, 0.5))
            if not self.is_flowing or not self.world.kafka.is_up:
                continue
            for tp, start in list(self.next.items()):
                if (fetched := self._fetch(tp, start)) is not None:
                    await self.queues[tp.topic].put((tp, fetched))

    def _fetch(self, tp: TP, start: int) -> Fetched | None:
        rng, kafka = self.world.rng, self.kafka()
        if self.next.get(tp) != start or tp.topic not in kafka.topics or not kafka.is_up:
            return None
        log = kafka.log(tp)
        if not log.start <= start <= log.end:
            return Fetched(start, ())
        fetched = log.fetch(start, rng.choice((1, 5, 20, 50)))
        if not fetched.records:
            return None
        self.next[tp] = fetched.records[-1].offset + 1
        return replace(fetched, topic_id=self._topic_id(tp.topic))

    def _topic_id(self, topic: str) -> str:
        """Return a topic's id as it was at most a tenth of a second ago; nothing after a failed query."""
        now, network = asyncio.get_running_loop().time(), self.world.network
        if now > self._ids_at + _ID_MAX_AGE:
            if network.rng.random() < network.trouble:
                self._ids, self._ids_at = {}, now + _ID_PAUSE
            else:
                self._ids, self._ids_at = self.kafka().ids(self.topics), now
        return self._ids.get(topic, "")

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the ends of logs, for the watchdog."""
        kafka = self.kafka()
        return {tp: kafka.log(tp).end for tp in tps if kafka.is_up and tp.topic in kafka.topics}

    def readable_end(self, tp: TP, broker_end: int | None = None) -> int | None:
        """Return how far a log can be read."""
        return broker_end


class Worker:
    """One process; `start` it once."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.machine = Machine(name)
        #: How far the clock of its machine is off, in seconds.
        self.skew = 0.0
        #: Kafka as it reaches it: a broker may be isolated from the others.
        self.kafka = world.kafka
        self.consumer = Consumer(world, world.topics, lambda: self.kafka)
        self.rebalancing = True
        self._stopping = asyncio.Event()
        self.pipeline = Pipeline(
            self,
            world.stores_for(self),
            world.folders,
            world.limits(),
            world.pace(),
            clock=self.clock,
            on_failure=self.fail,
        )

    def clock(self) -> float:
        """Return what this machine takes for the time (epoch seconds)."""
        return self.world.now() + self.skew

    def fail(self, error: BaseException) -> None:
        """End the process, as `streams.app.end_process` does."""
        if not self.machine.is_dead:
            self.world.note(f"{self.name} ends: {error!r}")
            self.machine.has_failed = True
            self.machine.kill()
            self.world.on_exit(self, error)

    def start(self) -> None:
        """Start its tasks."""
        watchdog = Watchdog(self, self.pipeline, _STALL_SECONDS, self.fail)
        works = [
            self._member(),
            self.consumer.run(),
            self._every(_RECOUNT_SECONDS, self.pipeline.recount),
            self._every(_COMPARE_SECONDS, self.pipeline.compare_logs),
            self._every(_COMPARE_SECONDS, self.pipeline.compare_ledgers),
            self._every(_COMPARE_ROWS_SECONDS, self.pipeline.compare_rows),
            watchdog.run(),
        ]
        for work in [*works, *map(self._agent, self.world.topics)]:
            self.machine.spawn(self._guarded(work))

    def stop(self) -> None:
        """Stop in order, as after SIGTERM: partitions are given up, and the group is told."""
        self._stopping.set()

    async def _guarded(self, work: Any) -> None:
        try:
            await work
        except Exception as error:
            self.fail(error)

    async def _member(self) -> None:
        """Take part in the group, until the process is stopped."""
        group, taking = self.world.group, None
        while not self._stopping.is_set():
            generation, tps = await group.join(self.name)
            if taking is not None:
                taking.cancel()  # Faust cancels a seek that a later rebalance overtakes.
            self.consumer.assign(tps)
            taking = asyncio.create_task(self._take_over(set(tps)))
            self.consumer.is_flowing, self.rebalancing = True, False
            while group.heartbeat(self.name, generation) and not self._stopping.is_set():
                await asyncio.sleep(self.world.rng.uniform(0.2, SESSION / 4))
            self.rebalancing = True
            revoked = self.consumer.assigned
            self.consumer.revoke()
            await self.pipeline.give_up(revoked)
        group.leave(self.name)
        self.world.note(f"{self.name} has stopped")
        self.machine.kill()
        self.world.on_exit(self, None)

    async def _take_over(self, tps: set[TP]) -> None:
        try:
            await self.pipeline.take_over(tps, self._read_from)
        except Exception as error:
            self.fail(error)

    async def _read_from(self, offsets: Mapping[TP, int]) -> None:
        self.consumer.seek(offsets)

    async def _agent(self, topic: str) -> None:
        async with Lanes(self.pipeline.process) as lanes:
            while True:
                tp, fetched = await self.consumer.queues[topic].get()
                await lanes.submit(tp, fetched)

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await work()

    # The pipeline's broker.

    async def cluster_id(self) -> str:
        async def effect() -> str:
            self.world.kafka.ids(())
            return "cluster"

        return str(await self._ask("cluster_id", effect))

    async def seek(self, tp: TP, offset: int) -> None:
        await asyncio.sleep(self.world.rng.choice((0.0, 0.001, 0.05)))
        self.consumer.seek({tp: offset})

    async def log_bounds(self, tp: TP) -> LogBounds:
        async def effect() -> LogBounds:
            return self.kafka.bounds(tp)

        found: LogBounds = await self._ask("log_bounds", effect)
        return found

    async def topic_ids(self, topics: Collection[str]) -> Mapping[str, str]:
        async def effect() -> Mapping[str, str]:
            return self.kafka.ids(topics)

        found: Mapping[str, str] = await self._ask("topic_ids", effect)
        return found

    async def _ask(self, what: str, effect: Any) -> Any:
        return await self.world.network.ask(self.world.network.servers["kafka"], what, effect)

    # Its dead letters.

    async def send(self, partition: Partition, rejected: Sequence[Rejected]) -> None:
        """Send dead letters."""

        async def effect() -> None:
            if not self.world.kafka.is_up:
                raise Unavailable("kafka: no leader", "kafka")
            for letter in rejected:
                self.world.letters.append((partition, letter.record, letter.error))

        await self._ask(f"dead letters of {partition}", effect)
