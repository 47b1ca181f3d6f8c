"""The rows of a log, made by decoding and folding alone; and a block of rows."""

from __future__ import annotations

from sinks.base import Block, BlockSink, Partition
from streams.domain.folding import Place, PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.rows import PlaybackRow
from tests.pipeline.bench import DAY_MS, Log

LOG = "cluster"


def fold_log(log: Log) -> list[PlaybackRow]:
    """Return the rows of a log of valid playback events."""
    place = Place(LOG, "playback.events", 0)
    folder = PlaybackFolder(place, Generations(floor=-1, capacity=10**6, lifetime=1e9))
    arrivals, rejected = folder.decode(log.records, 180 * DAY_MS)
    assert not rejected
    assert not folder.unknown(arrivals)
    return folder.fold(arrivals).rows


def block_of(
    partition: Partition, rows: list[PlaybackRow], start: int, end: int, sink: BlockSink | None = None
) -> Block:
    """Return a block of rows that stands for the records from `start` to before `end`.

    The block holds the rows as `sink` encodes them; without a sink the block is for the ledger alone.
    """
    chunks = [sink.encode(PlaybackRow, rows)] if rows and sink else []
    landed = rows[-1].offset + 1 if rows else start
    return Block(
        partition, LOG, "playback_events", PlaybackRow, start, end, f"m{end}", len(rows), landed, chunks
    )
