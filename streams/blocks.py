"""Blocks: rows of one partition gather until they are worth an insert, and are inserted in order.

A block is begun in the ledger before it is inserted and finished there after it, so whoever comes next
knows which block may or may not be in, and inserts exactly that one again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from opentelemetry.trace import Link

from sinks.base import Block, BlockSink, Encoded, LedgerStore, Partition
from streams.budget import Budget
from streams.domain import traces
from streams.metrics import METRICS
from streams.retry import Retry

#: A block that fills this fast belongs to a partition in a hurry: larger blocks cost ClickHouse less a row.
_BUSY_ROWS: Final = 4_000
#: A block of fewer rows is not worth an insert yet, which costs as much as thousands in it. Such blocks have
#: this share of the inserts a second, and wait for so many longest waits at most.
_FEW_ROWS: Final = 50
_FEW_SHARE: Final = 0.25
_FEW_WAIT: Final = 4
#: What a row's wait and its insert may take together, in longest waits, if ClickHouse is quick enough.
_AIM: Final = 0.35
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


class Pace:
    """How long rows wait for their block: as long as ClickHouse needs, so that inserts never pile up.

    An insert costs ClickHouse about the same up to some thousand rows. So nobody waits less than makes a
    row visible soon enough; the more partitions a worker writes, and the longer inserts take, the longer
    each waits, `longest` at most, so that inserts end before the next are due and are no more than so many a
    second. A block with many rows waits the longest, and a partition that is far behind gathers full blocks
    first. Where several partitions have few rows each, they wait for more: half a core for fifty events a
    second is too much. `budget` bounds the memory that waiting rows take, over all partitions.
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
        #: When a block of each partition was taken up last.
        self._taken_up: dict[Partition, float] = {}
        self._waiting: dict[Partition, int] = {}
        #: How long one takes, and how many may be under way at once: more do not make ClickHouse faster.
        self._insert_seconds, self._at_once = 0.0, at_once
        self.slots = asyncio.Semaphore(at_once)

    def note(self, partition: Partition, now: float) -> None:
        """Note that a block of the partition was taken up."""
        self._taken_up[partition] = now

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

    def leave(self, partition: Partition) -> None:
        """Forget a partition that is written no more."""
        self._waiting.pop(partition, None)
        self._taken_up.pop(partition, None)

    def linger(self, now: float, rows: int, *, behind: bool) -> float:
        """Return how long a block that has gathered so many rows may wait, in seconds."""
        if behind:
            return _BEHIND * self._longest
        if rows >= _BUSY_ROWS:
            return self._longest
        longest, rate = self._longest, self._rate
        if rows < _FEW_ROWS:
            longest, rate = longest * _FEW_WAIT, rate * _FEW_SHARE
        partitions = max(1, sum(at >= now - 3 * longest for at in self._taken_up.values()))
        soon = _AIM * self._longest - self._insert_seconds
        in_turn = partitions * self._insert_seconds / (self._at_once * _OCCUPIED)
        return min(longest, max(soon, in_turn, partitions / rate))


class BlockWriter:
    """Gathers and writes the blocks of one partition."""

    def __init__(
        self,
        empty: Block,
        epoch: int,
        *,
        sink: BlockSink,
        ledgers: LedgerStore,
        pace: Pace,
        retry: Retry,
        max_rows: int,
        exact_end: int | None,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Begin after the last block.

        Args:
            empty: a block without rows whose start, end and mark are the cursor's.
            epoch: the partition's, as claimed.
            sink: where blocks go.
            ledgers: where they are announced.
            pace: shared by the partitions of a worker.
            retry: repeats what may pass.
            max_rows: rows that make a block full; twice that stops the partition.
            exact_end: the first block must end there: it is one whose insert is in doubt.
            on_failure: told of what ends the writer.
        """
        self._open = empty
        #: Fingerprint of the record before the next block.
        self._before = empty.mark
        self._epoch = epoch
        self._sink, self._ledgers, self._pace, self._retry = sink, ledgers, pace, retry
        self._max_rows = max_rows
        self._exact_end = exact_end
        self._opened_at = 0.0
        #: Bytes of rows in the open block, and in the one that is being written.
        self._gathered = self._in_hand = 0
        self._changed = asyncio.Event()
        pace.budget.watch(self._changed)
        self._taken = asyncio.Event()
        self._written = asyncio.Event()
        self._closing = False
        self._behind = False
        #: Traces of the batches whose rows gather.
        self._batches: list[Link] = []
        #: Every record before this offset is in ClickHouse.
        self.stored_to = empty.end
        self._task = asyncio.create_task(self._run(), name=f"blocks {empty.partition}")
        self._task.add_done_callback(lambda _: self._ended(on_failure))

    @property
    def end(self) -> int:
        """Offset after the last record that was added."""
        return self._open.end

    @property
    def exact_end(self) -> int | None:
        """Where the block in doubt ends, while it gathers."""
        return self._exact_end

    @property
    def waiting_rows(self) -> int:
        """Rows gathered and not yet taken up."""
        return self._open.rows

    def note_waiting(self, records: int) -> None:
        """Take note of how many records Kafka has behind those that were added or will be next."""
        self._behind = self._pace.is_behind(self._open.partition, records, self._max_rows)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of those rows, and of those on their way to ClickHouse."""
        return self._gathered + self._in_hand

    async def add(self, chunks: list[Encoded], rows: int, landed: int, end: int, mark: str) -> None:
        """Add the encoded rows of the records up to `end`; waits while the store is far behind.

        `landed` is the offset after the last row, of any value when there are no rows.
        """
        await self._room()
        block = self._open
        self._batches += traces.here()
        if block.start == block.end:
            self._opened_at = _now()
        block.chunks.extend(chunks)
        size = sum(chunk.size for chunk in chunks)
        self._gathered += size
        self._pace.budget.take(size)
        self._open = replace(
            block, end=end, mark=mark, rows=block.rows + rows, landed=landed if rows else block.landed
        )
        self._changed.set()

    async def _room(self) -> None:
        """Wait until there is room: in the open block, and in what the worker may hold in all."""
        budget = self._pace.budget
        while not self._task.done():
            if self._is_full():
                self._taken.clear()
                await self._retry.until(self._taken.wait())
            elif budget.is_spent and self._exact_end is None:
                # A block in doubt is exempt: it is written whole or not at all, and must not wait for
                # others that wait for it.
                await self._retry.until(budget.room())
            else:
                return

    def _is_full(self) -> bool:
        if self._exact_end is not None:
            return self._open.end == self._exact_end  # However many rows: it must end there.
        return self._open.rows >= 2 * self._max_rows

    async def settle(self) -> None:
        """Wait until all that was added is in ClickHouse; nothing may be added meanwhile."""
        while self.stored_to < self.end and not self._task.done():
            self._written.clear()
            await self._written.wait()

    def give_up_exactness(self, start: int) -> None:
        """Go on at `start`: the records of the block in doubt are gone from Kafka."""
        self._exact_end = None
        if self._open.start == self._open.end:
            self._open = replace(self._open, start=start, end=start, landed=start)

    async def close(self, timeout: float | None) -> None:
        """Write what has gathered, if the stores take it within `timeout` seconds (None: ever), and end."""
        self._closing = True
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await asyncio.wait({self._task})
        self.cancel()
        await asyncio.wait({self._task})

    def cancel(self) -> None:
        """End at once; a block in doubt is left to whoever takes the partition over."""
        self._task.cancel()

    def _ended(self, on_failure: Callable[[BaseException], None]) -> None:
        self._written.set()
        self._taken.set()  # Nobody makes room any more: let go of who waits for it.
        self._pace.leave(self._open.partition)
        budget = self._pace.budget
        budget.leave(self._changed)
        budget.give(self._gathered + self._in_hand)
        self._gathered = self._in_hand = 0
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            on_failure(error)

    async def _run(self) -> None:
        while await self._due():
            # The block is taken up when its insert can begin: until then it gathers what comes.
            async with self._pace.slots:
                await self._take_up()

    async def _take_up(self) -> None:
        block, opened_at, self._open = self._open, self._opened_at, self._next()
        self._in_hand, self._gathered = self._gathered, 0
        self._exact_end = None
        self._taken.set()
        self._pace.note(block.partition, _now())
        await self._write(block, opened_at)
        block.chunks.clear()
        self._pace.budget.give(self._in_hand)
        self._in_hand = 0
        self.stored_to = block.end
        self._written.set()
        self._before = block.mark

    async def _write(self, block: Block, opened_at: float) -> None:
        forever, ledgers, epoch = self._retry.forever, self._ledgers, self._epoch
        place = {"offset_from": block.start, "offset_to": block.end}
        batches, self._batches = self._batches, []
        await forever(lambda: ledgers.begin(block, epoch, self._before), "begin a block", **place)
        if block.rows:
            began = _now()
            with traces.span("insert block", batches, token=block.token, rows=block.rows):
                await forever(lambda: self._sink.write(block), "insert a block", **place)
            topic, now = block.partition.topic, _now()
            self._pace.took(now - began)
            METRICS.insert_seconds.labels(topic).observe(now - began)
            METRICS.row_wait_seconds.labels(topic).observe(now - opened_at)
            METRICS.block_rows.labels(topic).observe(block.rows)
            METRICS.inserted_bytes.labels(topic).inc(self._in_hand)
        await forever(lambda: ledgers.finish(block, epoch), "finish a block", **place)
        self._retry.log.debug("stored", rows=block.rows, **place)

    def _next(self) -> Block:
        end = self._open.end
        return replace(self._open, start=end, end=end, landed=end, rows=0, chunks=[])

    def _linger(self) -> float:
        return self._pace.linger(_now(), self._open.rows, behind=self._behind)

    async def _due(self) -> bool:
        """Wait until the open block should be written; False when there is nothing left to do."""
        while True:
            self._changed.clear()
            block = self._open
            empty = block.start == block.end
            if self._exact_end is not None:
                if block.end == self._exact_end:
                    return True
                if self._closing:
                    return False
                wait = None
            elif self._closing:
                return not empty
            elif block.rows >= self._max_rows or (block.rows and self._pace.budget.is_spent):
                return True
            else:
                wait = None if empty else self._opened_at + self._linger() - _now()
                if wait is not None and wait <= 0:
                    return True
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
