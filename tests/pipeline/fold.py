"""A log's rows by the shortest way: decode, then fold."""

from __future__ import annotations

from streams.domain.folding import Place, PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.rows import PlaybackRow
from tests.pipeline.bench import DAY_MS, Log


def fold_log(log: Log) -> list[PlaybackRow]:
    """Return the rows of a log of sound playback events."""
    place = Place("cluster", "playback.events", 0)
    folder = PlaybackFolder(place, Generations(floor=-1.0, capacity=10**6, lifetime=1e9))
    arrivals, rejected = folder.arrivals(log.records, 180 * DAY_MS)
    assert not rejected
    assert not folder.unknown(arrivals)
    return folder.fold(arrivals).rows
