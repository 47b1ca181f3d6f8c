"""The world of an episode: workers, stores and brokers, and what faults need to know about them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Final

from sinks.base import BlockId, Ledger, Partition, incarnation_of, log_name
from sinks.memory import (
    MemoryArchive,
    MemoryBlocks,
    MemoryBundles,
    MemoryLedgers,
    MemoryLive,
    MemoryStore,
)
from streams.assignment import Limits, MakeFolder, Stores
from streams.bundles import Bundles
from streams.domain.arrivals import Record
from streams.domain.event_ids import UserFolder
from streams.domain.folding import PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.rows import PlaybackRow
from streams.pace import Pace
from tests.oracle.log import PLAYBACK, RETENTION_DAYS, USERS
from tests.pipeline.bench import NOW
from tests.simulation.kafka import Group, Kafka, PartitionLog, Place, Topic
from tests.simulation.loop import Machine, SimulatedLoop, Stuck, outside
from tests.simulation.network import Network, Remote, RemoteArchive, RemoteBlocks, rows_of
from tests.simulation.traffic import Producer
from tests.simulation.worker import Worker

_DAY_MS: Final = 86_400_000
TABLES: Final = {PLAYBACK: "playback_events", USERS: "user_events"}
#: Seconds of the simulated clock in which everything must be done once nothing is disturbed any more.
_PATIENCE: Final = 900.0
#: Seconds within which owners must have noticed what a store lost.
_TIME_TO_NOTICE: Final = 120.0
#: What a world may be like, one of each at random. A `Mutant` narrows it to where its mistake shows.
CHOICES: Final[Mapping[str, tuple[Any, ...]]] = {
    "playback partitions": (1, 1, 2, 3),
    "user partitions": (0, 1, 2),
    "workers": (1, 2, 2, 3),
    "seconds": (8, 20, 45),
    "trouble": (0, 0.01, 0.05, 0.15),
    # Seconds for which a request may be on its way after its sender gave up.
    "lateness": (2, 10, 30),
    "rows of a block": (3, 10, 30, 1_000),
    "inserts a second": (4.0, 10.0, 100.0),
    "longest wait": (0.1, 0.5, 1.0),
    "bytes buffered": (3_000, 1 << 30, 1 << 30),
    "keys in memory": (3, 50, 10_000),
    "seconds in memory": (2.0, 20.0, 1e9),
    # Records that come together, and the share of them that nobody can read.
    "burst": (1, 1, 2, 2, 3, 5, 10, 40),
    "rubbish": (0.03,),
    # The request at which a fault strikes (`tests.simulation.faults`).
    "step": (
        "claim", "write", "begin", "commit", "insert", "finish", "settle", "withdraw", "revoke",
        "rewrite", "rebuild", "finish_recount", "next_offset", "ends", "history", "recent",
    ),
}  # fmt: skip
_REDIS_WRITES: Final = (
    "claim", "begin", "finish", "withdraw", "rewrite", "name_log", "finish_recount", "write", "rebuild",
    "commit", "settle", "revoke", "drop",
)  # fmt: skip


@dataclass
class World:
    """Everything of an episode; the seed decides what there is, what happens, and in which order."""

    seed: int
    loop: SimulatedLoop
    rng: random.Random
    #: Lines of a trace, if one is wanted.
    trace: list[str] | None = None
    #: What may be drawn instead of `CHOICES`.
    shape: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = self.rng
        #: Seconds for which everything stood still.
        self.leapt = 0.0
        self.store = MemoryStore(clock=self.now)
        self.kafka = Kafka()
        self.network = Network(
            rng, self.note, lateness=self.draw("lateness"), is_forbidden=self._is_forbidden
        )
        self.partitions = {PLAYBACK: self.draw("playback partitions"), USERS: self.draw("user partitions")}
        self.topics = [name for name, count in self.partitions.items() if count]
        for name in self.topics:
            self.make_topic(name)
        self.places = [Place(name, n) for name in self.topics for n in range(self.partitions[name])]
        self.group = Group(rng, self.places, self.note)
        bursts = self.shape.get("burst", CHOICES["burst"])
        self.producer = Producer(self.kafka, rng, bursts, rubbish=self.draw("rubbish"))
        self.workers: list[Worker] = []
        #: Every worker that ever ran.
        self.hired: list[Worker] = []
        self.letters: list[tuple[Partition, Record, str]] = []
        self.errors: list[BaseException] = []
        #: Events that must be stored at the end, though Kafka may have lost their records.
        self.expected: dict[Any, set[tuple[str, ...]]] = {}
        #: Whether another worker starts some time after one has ended.
        self.does_hire_again = True
        self.has_lost_redis = False
        #: States of Redis to which it may go back.
        self.snapshots = 0
        #: Stretches of the loop's time of which Redis has forgotten everything.
        self.lost_stretches: list[tuple[float, float]] = []
        #: How often ClickHouse was restored.
        self.restores = 0
        #: Inserts whose beginning Redis has forgotten, and when it did (epoch ms).
        self.doubtful: dict[str, float] = {}
        self._block_rows = self.draw("rows of a block")
        self._rate, self._max_wait = self.draw("inserts a second"), self.draw("longest wait")
        self._buffer_bytes = self.draw("bytes buffered")
        capacity, lifetime = self.draw("keys in memory"), self.draw("seconds in memory")

        def memory(floor: int) -> Generations[Any]:
            return Generations(floor=floor, capacity=capacity, lifetime=lifetime)

        self.folders: Mapping[str, MakeFolder] = {
            PLAYBACK: lambda place, floor: PlaybackFolder(place, memory(floor)),
            USERS: lambda place, floor: UserFolder(place, memory(floor)),
        }

    def draw(self, what: str) -> Any:
        """Draw one of the `CHOICES`."""
        return self.rng.choice(self.shape.get(what, CHOICES[what]))

    # What workers are given.

    def stores_for(self, worker: Worker) -> Stores:
        """Return the stores as a worker reaches them."""
        net, store = self.network, self.store
        ledgers: Any = Remote(MemoryLedgers(store), net, "redis", _REDIS_WRITES)
        bundles: Any = Remote(MemoryBundles(store), net, "redis", _REDIS_WRITES)
        live: Any = Remote(MemoryLive(store), net, "redis", _REDIS_WRITES)
        blocks: Any = RemoteBlocks(MemoryBlocks(store), net, "clickhouse")
        archive: Any = RemoteArchive(MemoryArchive(store), net, "clickhouse")
        return Stores(live, blocks, ledgers, Bundles(bundles, ledgers, blocks, archive), archive, worker)

    def limits(self) -> Limits:
        """Return the limits of a worker."""
        return Limits(self._block_rows, RETENTION_DAYS * _DAY_MS)

    def pace(self) -> Pace:
        """Return the pace of a worker."""
        return Pace(self._rate, self._max_wait, buffer_bytes=self._buffer_bytes)

    # What happens.

    def now(self) -> float:
        """Return the true time (epoch seconds)."""
        return NOW + self.loop.time() + self.leapt

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.time():9.3f} {text}")

    def make_topic(self, name: str) -> None:
        """Create a topic."""
        logs = [PartitionLog() for _ in range(self.partitions[name])]
        self.kafka.topics[name] = Topic(f"id{len(self.kafka.deleted)}", logs)

    def delete_topic(self, name: str) -> None:
        """Delete a topic."""
        self.kafka.deleted.append((name, self.kafka.topics.pop(name)))

    def hire(self) -> Worker:
        """Start another worker."""
        worker = Worker(self, f"w{len(self.hired)}")
        self.workers.append(worker)
        self.hired.append(worker)
        self.note(f"{worker.name} starts")
        worker.start()
        return worker

    def kill(self, worker: Worker) -> None:
        """End a worker's process where it is."""
        self.note(f"{worker.name} is killed")
        worker.machine.kill()
        self.on_exit(worker, None)

    def on_exit(self, worker: Worker, error: BaseException | None) -> None:
        """Note that a worker's process ended, and start another one some time later."""
        self.workers.remove(worker)
        if error is not None:
            self.errors.append(error)

        async def again() -> None:
            await asyncio.sleep(self.rng.uniform(0.5, 5))
            self.hire()

        if self.does_hire_again:
            outside(again())

    # What faults need to know.

    def logs(self) -> list[PartitionLog]:
        """Return all logs that there are."""
        return [log for topic in self.kafka.topics.values() for log in topic.logs]

    def knows_topic(self, tp: Any) -> bool:
        """Say whether a partition's ledger has the id of the topic that there is now."""
        ledger, topic = self.store.ledgers.get(self.partition(tp)), self.kafka.topics.get(tp.topic)
        return ledger is not None and topic is not None and topic.id in ledger.topic_ids

    def has_stored(self, tp: Any) -> bool:
        """Say whether ClickHouse has all rows of a partition that its ledger says are done."""
        ledger = self.store.ledgers.get(self.partition(tp))
        if ledger is None:
            return False
        log = log_name("cluster", ledger.incarnation)
        rows = self.store.tables[TABLES[tp.topic]]
        return ledger.landed <= max(
            (row.offset + 1 for row in rows if (row.log, row.partition) == (log, tp.partition)), default=0
        )

    def kept(self) -> Any:
        """Return what changes when Kafka loses records, or ClickHouse is restored."""
        logs = [(log.start, len(log.ever) - len(log.records)) for log in self.logs()]
        return self.restores, len(self.kafka.deleted), logs

    def expect_stored(self, tp: Any) -> None:
        """Expect at the end what is stored of a partition now: its records may be lost."""
        self.expected.setdefault(tp, set()).update(self.stored(tp))

    def forget_lost_rows(self) -> None:
        """Expect no more rows than there are now: ClickHouse lost some, whose records Kafka may not have."""
        for tp, events in self.expected.items():
            events &= self.stored(tp)

    def stored(self, tp: Any) -> set[tuple[str, ...]]:
        """Return the events of a partition that are stored."""
        rows = self.store.tables[TABLES[tp.topic]]
        return {identity_of(row) for row in rows if row.partition == tp.partition}

    def tokens_in_doubt(self) -> set[str]:
        """Return the tokens of all blocks that were begun and are not done."""
        return {token for where, ledger in self.store.ledgers.items() for token in _tokens(where, ledger)}

    def settle_inserts(self, *, but_awaited: bool = False) -> None:
        """Make inserts that are on their way arrive now or never, perhaps not those that are awaited."""
        for insert in list(self.network.inserts):
            if not (but_awaited and insert.is_awaited()):
                self.rng.choice((insert.land, insert.drop))()

    def doubt_inserts(self) -> None:
        """From now on, nobody may insert the blocks that are in doubt, once others have their partitions.

        Whoever tries is killed. Call this before Redis forgets that these blocks were begun.
        """
        self.doubtful |= dict.fromkeys(self.tokens_in_doubt(), self.now() * 1000)

    def _is_forbidden(self, sender: Machine | None, token: str, packed: bytes) -> bool:
        # A process that ends itself waits for the answers to its inserts.
        if token in self.store.tokens or (sender is not None and sender.has_failed):
            return False
        for log, topic, number in {tuple(row[:3]) for row in rows_of(packed)}:
            where = Partition("cluster", topic, number)
            ledger = self.store.ledgers.get(where)
            if ledger is None or token in _tokens(where, ledger):
                continue
            # Neither is it promised that a block counts once which arrives after its log was read anew.
            is_of_older_log = (incarnation_of(log, "cluster") or 0) < ledger.incarnation
            if is_of_older_log or ledger.epoch >= self.doubtful.get(token, inf):
                for worker in list(self.workers):
                    if worker.machine is sender:
                        self.kill(worker)
                return True
        return False

    def partition(self, tp: Any) -> Partition:
        """Return a partition as the stores name it."""
        return Partition("cluster", tp.topic, tp.partition)

    def unfinished(self) -> list[str]:
        """Say what is not done yet."""
        left = [f"{self.network.troubled} requests"] if self.network.troubled or self.network.inserts else []
        for tp in self.places:
            ledger = self.store.ledgers.get(self.partition(tp))
            end = self.kafka.log(tp).end
            ends = None if ledger is None else {ledger.counted or 0, ledger.block_to or 0}
            if ledger is None or not ledger.done or ends != {end} or not self.has_stored(tp):
                left.append(f"{tp.topic}/{tp.partition} ends at {end}, {ledger}")
        return [*left, *(f"recount of {where}" for where in self.store.recounts)]

    def _has_orphans(self) -> bool:
        """Say whether a late claim has left a partition without an owner."""
        epochs: dict[Partition, int] = {}
        for each in (each for worker in self.workers for each in worker.pipeline._workers.values()):
            if each.is_ready:
                epoch = each._follower.state.ledger.epoch
                epochs[each.partition] = max(epoch, epochs.get(each.partition, 0))
        return any(ledger.epoch > epochs.get(where, 0) for where, ledger in self.store.ledgers.items())

    async def calm_down(self) -> None:
        """Let everything come back, and wait until all is done."""
        self.note("--- everything comes back")
        self.network.trouble, self.kafka.is_up = 0.0, True
        self.network.holds.clear()
        for server in self.network.servers.values():
            server.is_away = server.is_slow = server.is_full = False
        for name in self.topics:
            if name not in self.kafka.topics:
                self.make_topic(name)
        for worker in self.workers:
            worker.machine.resume()
        # That a log which is as long as before is another one can be seen only with another record. Otherwise
        # owners must notice without any what a store lost.
        is_whole = not self.kafka.deleted and all(log.is_whole for log in self.logs())
        will_send = self.rng.random() < 0.5 or not is_whole
        deadline = self.loop.time() + _PATIENCE
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(2)
            left = self.unfinished()
            quiet = 0 if left else quiet + 1
            # That a late claim left a partition without an owner is noticed only once records wait.
            has_waited = self.loop.time() > deadline - _PATIENCE + _TIME_TO_NOTICE
            if will_send or (left and has_waited and self._has_orphans()):
                self.producer.send_to_all(int(self.now() * 1000))
                will_send = False
            if left and self.loop.time() > deadline:
                raise Stuck("; ".join(left))


def identity_of(row: Any) -> tuple[str, ...]:
    """Return what makes the event of a row the same one."""
    if isinstance(row, PlaybackRow):
        return row.video_id, row.view_id, str(row.seq)
    return row.user_id, row.event_id


def _tokens(where: Partition, ledger: Ledger) -> set[str]:
    """Return the tokens under which the newest block may be inserted; none if it is done."""
    if ledger.done:
        return set()
    log = log_name(where.cluster, ledger.incarnation)
    return {ledger.bundle, BlockId(log, where, ledger.block_from or 0, ledger.block_to or 0).token}
