"""Pace: how long rows linger in their block, and which partitions' blocks can be inserted together."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Final

from sinks.base import Partition
from streams.budget import Budget

if TYPE_CHECKING:
    from streams.blocks import BlockWriter

#: A block with this many rows waits the longest: larger inserts cost ClickHouse less per row.
_BUSY_ROWS: Final = 16_000
#: Fewer rows than this are hardly worth an insert, which costs as much as thousands of rows in it: such
#: inserts are limited to this share of the inserts per second.
_FEW_ROWS: Final = 50
_FEW_SHARE: Final = 0.25
#: Target for a row's wait plus its insert, as a share of the longest wait, if ClickHouse is fast enough.
_TARGET_SHARE: Final = 0.3
#: A block may wait this many times the longest wait while its partition is far behind: its rows are later
#: than that already, and one insert costs ClickHouse as much as some thousand rows in it.
_BEHIND_FACTOR: Final = 4
#: A partition counts as far behind with this many records of its own in Kafka, if all partitions of the
#: worker together have this many full blocks of them.
_BEHIND_RECORDS: Final = 4_000
_BEHIND_BLOCKS: Final = 4
#: Share of the time for which each insert slot should be busy.
_UTILIZATION: Final = 0.75
#: Weight of the newest insert in the moving average of their duration.
_SMOOTHING: Final = 0.125
#: Default for the bytes of rows that a worker buffers.
_BUFFER_BYTES: Final = 256_000_000
#: A block with more rows is inserted alone: it is worth an insert, and too large to be kept in Redis.
SHARED_ROWS: Final = 16_000
#: A bundle has at most this many bytes of rows, before compression: several times as many as usual ids take.
SHARED_BYTES: Final = 32_000_000
#: How many inserts may run at once: more do not make ClickHouse faster.
_CONCURRENCY: Final = 2

Group = tuple[str, int]
"""Table and shard: blocks of one group can share an insert."""


class Pace:
    """Linger time of blocks, adapted to ClickHouse, so that inserts never pile up.

    An insert costs ClickHouse about the same for one row as for some thousand. So rows always wait as long as
    their visibility allows. They wait longer, up to `max_wait`, the more groups and partitions insert in turn
    and the longer each insert takes: inserts then end before the next ones are due, and stay within the rate.
    Blocks with very few rows wait longer for more of them; large ones wait `max_wait`; a partition that is
    far behind fills its blocks. `budget` limits the memory of buffered rows, over all partitions.
    """

    def __init__(
        self,
        inserts_per_second: float,
        max_wait: float,
        buffer_bytes: int = _BUFFER_BYTES,
    ) -> None:
        """Allow `inserts_per_second`, and `max_wait` seconds of linger; more while a partition is behind."""
        self.budget = Budget(buffer_bytes)
        self._rate = inserts_per_second
        self._max_wait = max_wait
        self._writers: dict[Group, list[BlockWriter]] = {}
        #: When the last insert of each group, or of a partition alone, began (the loop's time).
        self._began_at: dict[Hashable, float] = {}
        self._backlogs: dict[Partition, int] = {}
        #: Average duration of an insert, in seconds.
        self._insert_seconds = 0.0
        self.slots = asyncio.Semaphore(_CONCURRENCY)

    def register(self, writer: BlockWriter) -> None:
        """Add a writer that gathers rows."""
        self._writers.setdefault(writer.group, []).append(writer)

    def unregister(self, writer: BlockWriter) -> None:
        """Remove a writer."""
        self._writers[writer.group].remove(writer)
        self._backlogs.pop(writer.partition, None)
        self._began_at.pop(writer.partition, None)

    def writers(self, group: Group) -> Sequence[BlockWriter]:
        """Return the writers of a group."""
        return self._writers[group]

    def buffered_rows(self, group: Group) -> int:
        """Return how many rows of a group are buffered."""
        return sum(writer.buffered_rows for writer in self._writers[group])

    def note_insert(self, what: Hashable, now: float) -> None:
        """Note that an insert of a group, or of a partition alone, begins."""
        self._began_at[what] = now

    def note_duration(self, seconds: float) -> None:
        """Note how long an insert took; more than the longest wait was an outage, and counts as that wait."""
        self._insert_seconds += _SMOOTHING * (min(seconds, self._max_wait) - self._insert_seconds)

    def is_behind(self, partition: Partition, records: int, block_rows: int) -> bool:
        """Note that Kafka has about `records` more of a partition; say whether it is far behind.

        It is with a full block (`block_rows`) of its own, or as one of many that have several together.
        """
        self._backlogs[partition] = records
        return records >= block_rows or (
            records >= _BEHIND_RECORDS and sum(self._backlogs.values()) >= _BEHIND_BLOCKS * block_rows
        )

    def linger(self, now: float, rows: int, *, behind: bool) -> float:
        """Return how many seconds a block may wait, if `rows` would be inserted together."""
        if behind:
            return _BEHIND_FACTOR * self._max_wait
        if rows >= _BUSY_ROWS:
            return self._max_wait
        rate = self._rate * _FEW_SHARE if rows < _FEW_ROWS else self._rate
        in_turn = max(1, sum(at >= now - 3 * self._max_wait for at in self._began_at.values()))
        soon = _TARGET_SHARE * self._max_wait - self._insert_seconds
        one_by_one = in_turn * self._insert_seconds / (_CONCURRENCY * _UTILIZATION)
        return min(self._max_wait, max(soon, one_by_one, in_turn / rate))
