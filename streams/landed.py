"""What ClickHouse acknowledged of a partition's rows, and whether it has just these.

A server that loses its power may come back without its last blocks, because it does not fsync inserts by
default; behind the next block nobody would see that gap. And it may have more: Redis can forget a takeover,
and then a worker that slept through that is not fenced, and would store again what the other owner stored. So
before a block is begun, inserted or sent again, and before old rows are looked up, ClickHouse must have been
seen with the right end a moment ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import inf
from typing import Final

from sinks.base import Archive, Fenced, LedgerStore, Partition, Unexpected
from streams.loop_time import loop_time

#: A server that lost its power is not back sooner than this, in seconds.
_AWAY: Final = 2.0
#: How long a worker that ends waits for the answer to an insert, in seconds.
_PATIENCE: Final = 30.0
#: How often a comparison is repeated that itself took longer. If ClickHouse is so slow, it must go on.
_TRIES: Final = 2


class Landed:
    """The end of one partition's rows in ClickHouse, as its owner knows it."""

    def __init__(
        self,
        archive: Archive,
        ledgers: LedgerStore,
        log: str,
        partition: Partition,
        epoch: int,
        *,
        end: int,
        most: int,
    ) -> None:
        """Prepare for a partition that was taken over.

        Args:
            archive: where the rows are.
            ledgers: where the partition's owner is.
            log: cluster and incarnation.
            partition: topic and number.
            epoch: as claimed.
            end: offset after the last row that ClickHouse certainly has.
            most: where its rows end at most; beyond `end` while a block is in doubt.
        """
        self.log, self.partition, self.epoch = log, partition, epoch
        self.end, self.most = end, most
        self._archive, self._ledgers = archive, ledgers
        #: When ClickHouse was last seen to have these rows (the loop's time).
        self._seen_at = -inf
        #: Is done when the newest insert was answered, or is given up.
        self.answered: asyncio.Future[None] | None = None

    @property
    def is_certain(self) -> bool:
        """Whether ClickHouse was seen so shortly ago that it cannot have lost rows since, if it answers."""
        return loop_time() - self._seen_at <= _AWAY

    def expect(self, end: int) -> None:
        """Note that a block with rows before offset `end` may be inserted from now on."""
        self.most = max(self.most, end)

    def note(self, end: int) -> None:
        """Note that ClickHouse acknowledged all rows before offset `end`."""
        self.end, self.most = max(self.end, end), max(self.most, end)

    def seen(self, began: float) -> None:
        """Note that ClickHouse has these rows, by an answer to what was sent at `began` (the loop's time)."""
        self._seen_at = max(self._seen_at, began)

    def doubt(self) -> None:
        """Note that ClickHouse did not answer: it may have lost rows, however soon it is back."""
        self._seen_at = -inf

    async def settle(self) -> None:
        """Wait for the answer to an insert that is under way; give up after some time."""
        if self.answered is not None:
            await asyncio.wait({self.answered}, timeout=_PATIENCE)

    async def check(self) -> None:
        """Compare with ClickHouse, unless `is_certain`; see `check`."""
        await check([self])

    async def _compare_closely(self) -> None:
        """Compare with all replicas; raise `Unexpected` if rows are missing, or too many."""
        end = self.end
        place = self.log, self.partition.topic, self.partition.number
        found = await self._archive.next_offset(*place) or 0
        if end <= found <= self.most:
            return
        if (await self._ledgers.read(self.partition)).epoch > self.epoch:
            raise Fenced("another worker took the partition over, and stores its rows")
        lost = "it lost data" if found < end else "another worker stores them, and Redis lost its claim"
        raise Unexpected(
            f"{self.partition}: rows end at offset {found} in ClickHouse, and not at {end}: {lost}"
        )


async def check(partitions: Sequence[Landed]) -> None:
    """Compare partitions of one worker with ClickHouse, unless it was seen with their rows a moment ago.

    Raises `Fenced` if others own all of them, `Unexpected` if ClickHouse has fewer rows of one than it
    acknowledged, or more than its owner sent, and `Unavailable`. After the first two nothing must be
    inserted: the next owner recovers.
    """
    for _ in range(_TRIES):
        open_ = [each for each in partitions if not each.is_certain]
        if not open_:
            return
        await _compare(open_)


async def still_owned(partitions: Sequence[Landed]) -> list[Landed]:
    """Return the partitions that nobody else took over; raise `Fenced` if others own all of them."""
    ledgers = await partitions[0]._ledgers.read_all([each.partition for each in partitions])
    owned = [each for each in partitions if ledgers[each.partition].epoch <= each.epoch]
    if not owned:
        raise Fenced("other workers took over")
    return owned


async def _compare(partitions: Sequence[Landed]) -> None:
    began = loop_time()
    owned = await still_owned(partitions)
    ends = [each.end for each in owned]
    places = [(each.log, each.partition.topic, each.partition.number) for each in owned]
    found = await owned[0]._archive.ends(places)
    for each, place, end in zip(owned, places, ends, strict=True):
        if not end <= found.get(place, 0) <= each.most:
            await each._compare_closely()
    for each in partitions:
        each.seen(began)
