"""Pace: how long rows wait for their block, and which partitions' blocks go together."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final

from sinks.base import Partition
from streams.budget import Budget

if TYPE_CHECKING:
    from streams.blocks import BlockWriter

#: Rows that come this fast are of partitions in a hurry: larger inserts cost ClickHouse less a row.
_BUSY_ROWS: Final = 16_000
#: Fewer rows are not worth an insert yet, which costs as much as thousands in it: they have this share of
#: the inserts a second.
_FEW_ROWS: Final = 50
_FEW_SHARE: Final = 0.25
#: What a row's wait and its insert may take together, in longest waits, if ClickHouse is quick enough.
_AIM: Final = 0.3
#: How many times the longest wait a block may take while much waits in Kafka behind it. Its rows are late by
#: more than that already, and an insert costs ClickHouse as much as some thousand rows in it.
_BEHIND: Final = 4
#: Records behind a partition, and full blocks of them behind all of a worker's, that make each of them late.
_LATE_RECORDS: Final = 4_000
_LATE_BLOCKS: Final = 4
#: Share of the time that the inserts which may be under way at once are.
_OCCUPIED: Final = 0.75
#: Weight of the newest insert in how long inserts take.
_NEWEST: Final = 0.125
#: Bytes of rows that a worker holds, if nothing else is said.
_BUFFER_BYTES: Final = 256_000_000
#: A block of more rows is worth an insert of its own, and its bytes are not worth a stay in Redis.
SHARED_ROWS: Final = 16_000

Group = tuple[str, int]
"""Table and shard: blocks of one group can go in one insert."""


class Pace:
    """How long rows wait for their block: as long as ClickHouse needs, so that inserts never pile up.

    An insert costs ClickHouse about the same up to some thousand rows. So nobody waits less than makes a
    row visible soon enough; the more inserts a worker makes in turn, and the longer each takes, the longer
    rows wait, `longest` at most, so that inserts end before the next are due and are no more than so many a
    second. Many rows wait the longest, few for more of them, and a partition that is far behind gathers full
    blocks first. `budget` bounds the memory that waiting rows take, over all partitions.
    """

    def __init__(
        self,
        inserts_per_second: float,
        longest: float,
        at_once: int = 2,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        """Keep to `inserts_per_second`; wait no more than `longest` seconds for a block that is worth it."""
        self.budget = Budget(buffer_bytes)
        self._rate = inserts_per_second
        self._longest = longest
        self._writers: dict[Group, list[BlockWriter]] = {}
        #: When an insert of each group, or of a partition alone, began last.
        self._began: dict[Hashable, float] = {}
        self._waiting: dict[Partition, int] = {}
        #: How long one takes, and how many may be under way at once: more do not make ClickHouse faster.
        self._insert_seconds, self._at_once = 0.0, at_once
        self.slots = asyncio.Semaphore(at_once)

    def join(self, writer: BlockWriter) -> None:
        """Take note of who gathers rows."""
        self._writers.setdefault(writer.group, []).append(writer)

    def leave(self, writer: BlockWriter) -> None:
        """Forget who gathers rows no more."""
        self._writers[writer.group].remove(writer)
        self._waiting.pop(writer.partition, None)
        self._began.pop(writer.partition, None)

    def writers(self, group: Group) -> Sequence[BlockWriter]:
        """Return who gathers rows of a group."""
        return self._writers[group]

    def rows(self, group: Group) -> int:
        """Return how many rows of a group wait."""
        return sum(writer.waiting_rows for writer in self._writers[group])

    def note(self, what: Hashable, now: float) -> None:
        """Note that an insert of a group, or of a partition alone, begins."""
        self._began[what] = now

    def took(self, seconds: float) -> None:
        """Note how long an insert took; what took longer than the longest wait was an outage."""
        self._insert_seconds += _NEWEST * (min(seconds, self._longest) - self._insert_seconds)

    def is_behind(self, partition: Partition, records: int, full: int) -> bool:
        """Say whether a partition is far behind, with so many records in Kafka and `full` in a full block.

        It is with a block's worth of its own, or as one of many that have as much together.
        """
        self._waiting[partition] = records
        return records >= full or (
            records >= _LATE_RECORDS and sum(self._waiting.values()) >= _LATE_BLOCKS * full
        )

    def linger(self, now: float, rows: int, *, behind: bool) -> float:
        """Return how long rows may wait of which so many go together, in seconds."""
        if behind:
            return _BEHIND * self._longest
        if rows >= _BUSY_ROWS:
            return self._longest
        rate = self._rate * _FEW_SHARE if rows < _FEW_ROWS else self._rate
        in_turn = max(1, sum(at >= now - 3 * self._longest for at in self._began.values()))
        soon = _AIM * self._longest - self._insert_seconds
        one_by_one = in_turn * self._insert_seconds / (self._at_once * _OCCUPIED)
        return min(self._longest, max(soon, one_by_one, in_turn / rate))
