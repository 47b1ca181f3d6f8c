"""A simulated Kafka: topics with ids, logs that are cut and replaced, and a consumer group."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from faust.types import TP

from sinks.base import Unavailable
from streams.assignment import Fetched, LogBounds
from tests.pipeline.bench import Raw

#: Seconds without a heartbeat after which a member is dead, and for which a rebalance waits for members.
SESSION: Final = 6.0
REBALANCE: Final = 6.0


class Place(TP):
    """A partition whose hash is the same in every process, and so the order of sets."""

    def __hash__(self) -> int:
        return crc32(self.topic.encode()) + int(self.partition)


@dataclass
class PartitionLog:
    """One partition's log: its records, and by which leader each was written.

    `ever` has all records that were ever in it. A log is `whole` until records are lost or deleted.
    """

    records: list[Raw] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    start: int = 0
    epoch: int = 0
    ever: list[Raw] = field(default_factory=list)
    is_whole: bool = True

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.start + len(self.records)

    def append(self, key: bytes | None, value: bytes | None, timestamp: int) -> Raw:
        """Add a record."""
        raw = Raw(self.end, timestamp, key, value)
        self.records.append(raw)
        self.ever.append(raw)
        self.epochs.append(self.epoch)
        return raw

    def truncate(self, end: int) -> None:
        """Lose the records from an offset on to an unclean leader election."""
        keep = max(0, end - self.start)
        del self.records[keep:], self.epochs[keep:]
        self.epoch += 1
        self.is_whole = False

    def delete_before(self, start: int) -> None:
        """Delete records as retention does."""
        gone = min(max(0, start - self.start), len(self.records))
        del self.records[:gone], self.epochs[:gone]
        self.start += gone
        self.is_whole = self.is_whole and not gone

    def fetch(self, position: int, count: int) -> Fetched:
        """Return up to `count` records from a position on; none if the log does not have it."""
        first = position - self.start
        taken = self.records[first : first + count] if 0 <= first <= len(self.records) else []
        if not taken:
            return Fetched(position, ())
        epochs = self.epochs[first], self.epochs[first + len(taken) - 1]
        return Fetched(position, taken, self.end - position - len(taken), leader_epochs=epochs)


@dataclass
class Topic:
    """A topic under one id."""

    id: str
    logs: list[PartitionLog]


@dataclass
class Kafka:
    """The brokers, as one. `topics` lacks a topic that is deleted and not made again yet."""

    topics: dict[str, Topic] = field(default_factory=dict)
    #: Topics that were deleted.
    deleted: list[tuple[str, Topic]] = field(default_factory=list)
    is_up: bool = True

    def log(self, tp: TP) -> PartitionLog:
        """Return a partition's log; raises `Unavailable` while there is none."""
        if not self.is_up or tp.topic not in self.topics:
            raise Unavailable("kafka: no leader", "kafka")
        return self.topics[tp.topic].logs[tp.partition]

    def bounds(self, tp: TP) -> LogBounds:
        """Return the bounds of a partition's log."""
        log = self.log(tp)
        return LogBounds(self.topics[tp.topic].id, log.start, log.end)

    def ids(self, topics: Collection[str]) -> Mapping[str, str]:
        """Return the ids of topics."""
        if not self.is_up:
            raise Unavailable("kafka: no broker", "kafka")
        return {name: self.topics[name].id for name in topics if name in self.topics}


class Group:
    """The coordinator of the consumer group: rebalances whenever a member comes, goes or is silent."""

    def __init__(self, rng: random.Random, tps: Sequence[TP], note: Callable[[str], None]) -> None:
        self._rng, self._tps, self._note = rng, tps, note
        self._seen: dict[str, float] = {}
        self._joining: dict[str, asyncio.Future[tuple[int, list[TP]]]] = {}
        self._generation = 0
        self._is_rebalancing = False

    def heartbeat(self, member: str, generation: int) -> bool:
        """Note that a member lives; return whether its assignment still holds."""
        if generation != self._generation or member not in self._seen:
            return False
        self._seen[member] = _now()
        return not self._is_rebalancing

    async def join(self, member: str) -> tuple[int, list[TP]]:
        """Wait for the end of a rebalance; return the generation and the member's partitions."""
        future: asyncio.Future[tuple[int, list[TP]]] = asyncio.get_running_loop().create_future()
        self._joining[member] = future
        self._seen[member] = _now()
        self._is_rebalancing = True
        return await future

    def leave(self, member: str) -> None:
        """Leave the group."""
        self._seen.pop(member, None)
        self._joining.pop(member, None)
        self._is_rebalancing = True

    def rebalance(self) -> None:
        """Begin a rebalance for no reason."""
        self._is_rebalancing = True

    async def run(self) -> None:
        """Watch the members, and end rebalances."""
        began = 0.0
        while True:
            await asyncio.sleep(0.2)
            now = _now()
            for member, seen in list(self._seen.items()):
                if now - seen > SESSION and member not in self._joining:
                    self._note(f"group: {member} is silent")
                    self.leave(member)
            if not self._is_rebalancing:
                began = now
            elif self._joining and (len(self._joining) == len(self._seen) or now - began > REBALANCE):
                self._assign()
                began = now

    def _assign(self) -> None:
        self._generation += 1
        self._is_rebalancing = False
        joined, self._joining = self._joining, {}
        members = sorted(joined)
        tps = self._rng.sample(self._tps, len(self._tps))
        shares: dict[str, list[TP]] = {member: tps[n :: len(members)] for n, member in enumerate(members)}
        self._seen = dict.fromkeys(members, _now())
        self._note(f"group: generation {self._generation}, {_told(shares)}")
        for member, future in joined.items():
            if not future.done():
                future.set_result((self._generation, shares[member]))


def _told(shares: Mapping[str, Collection[TP]]) -> str:
    return "; ".join(
        f"{member}: {' '.join(f'{tp.topic}/{tp.partition}' for tp in sorted(tps))}"
        for member, tps in shares.items()
    )


def _now() -> float:
    return asyncio.get_running_loop().time()
