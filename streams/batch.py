"""Folds a batch of records into live increments, encoded rows, dead letters and counts of records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sinks.base import Books, Encoded
from streams.assignment import Stores
from streams.domain.aggregate import Live
from streams.domain.arrivals import Record, Rejected
from streams.domain.folding import Folder
from streams.domain.generations import Key
from streams.landed import Landed
from streams.metrics import METRICS
from streams.retry import Retry

#: Records folded at once; and while most of their keys must be looked up, so that look-ups are fewer.
_CHUNK: Final = 256
_CHUNK_OF_UNKNOWNS: Final = 4_096


@dataclass(slots=True)
class FoldedBatch:
    """The result of a batch: increments and encoded rows for the stores that lack them, and counts."""

    live: Live = field(default_factory=Live)
    chunks: list[Encoded] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    stored: int = 0
    repeated: int = 0
    late: int = 0
    #: Offset after the last row; 0 when there is none.
    landed: int = 0

    @property
    def books(self) -> Books:
        """Return the counts of records by their fate."""
        rejected = len(self.rejected)
        read = self.stored + self.repeated + self.late + rejected
        return Books(read, self.stored, self.repeated, self.late, rejected)


class BatchFolder:
    """Folds the batches of one partition; looks up in the archive what the folder's memory does not have."""

    def __init__(
        self, folder: Folder, stores: Stores, landed: Landed, retry: Retry, retention_ms: int
    ) -> None:
        """Fold with a topic's folder; events older than `retention_ms` before their record are rejected.

        `landed` is what ClickHouse has of the partition.
        """
        self.folder, self._landed = folder, landed
        self._archive, self._blocks = stores.archive, stores.blocks
        self._retry = retry
        self._retention_ms = retention_ms

    async def fold(
        self, records: Sequence[Record], since: int, *, counting: bool, storing: bool
    ) -> FoldedBatch:
        """Decode and fold a batch, a few hundred records at a time.

        Small chunks keep each step's results in the processor's cache for the next step, which saves a third.
        Increments (from the minute `since` on) are made when `counting`, rows are encoded when `storing`: for
        a store that already has the records, they are folded only for the state that they leave.
        """
        folder, result = self.folder, FoldedBatch()
        begin, size = 0, _CHUNK
        while begin < len(records):
            chunk = records[begin : begin + size]
            begin += size
            arrivals, rejected = folder.decode(chunk, self._retention_ms)
            missing = folder.unknown(arrivals)
            if missing:
                await self._look_up(missing, chunk[0].offset)
            # After a start most keys are unknown: then look-ups are fewer and larger.
            size = _CHUNK_OF_UNKNOWNS if missing else _CHUNK
            folded = folder.fold(arrivals)
            result.rejected += rejected
            result.repeated += folded.repeated
            result.late += folded.late
            if folded.rows:
                result.stored += len(folded.rows)
                result.landed = folded.rows[-1].offset + 1
                if counting:
                    folder.count_live(folded.rows, since, result.live)
                if storing:
                    result.chunks.append(self._blocks.encode(folder.row, folded.rows))
        return result

    async def _look_up(self, missing: set[Key], before: int) -> None:
        """Read the history of keys that may have been stored before an offset, and give it to the folder."""
        folder, place = self.folder, self.folder.place

        async def look_up() -> list[Any]:
            await self._landed.check()  # Or an event whose row was lost would count as new.
            return await self._archive.history(
                folder.table,
                folder.row,
                folder.key_columns,
                missing,
                place.log,
                place.topic,
                place.partition,
                before,
            )

        rows = await self._retry.forever(look_up, "look up")
        folder.learn(missing, rows)
        METRICS.looked_up.labels(place.topic).inc(len(missing))
