"""How the partitions at work stand, for Prometheus: looked at every few seconds, away from the hot path."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from faust.types import TP

from streams.metrics import METRICS
from streams.pipeline import Pipeline
from streams.work import Standing

_INTERVAL: Final = 5.0
_BY_PARTITION: Final = (
    METRICS.position,
    METRICS.lag_records,
    METRICS.lag_seconds,
    METRICS.buffered_rows,
    METRICS.buffered_bytes,
    METRICS.memory_keys,
)


class Gauges:
    """Tells lag, buffers and positions of the partitions that are here, and forgets those that left."""

    def __init__(self, app: Any, pipeline: Pipeline, clock: Callable[[], float]) -> None:
        """Watch a Faust app's partitions; `clock` gives epoch seconds."""
        self._app, self._pipeline, self._clock = app, pipeline, clock
        self._told: set[TP] = set()
        self._topics: set[str] = set()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            if not self._app.rebalancing:
                self.look(self._clock())

    def look(self, now: float) -> None:
        """Look once, at an instant in epoch seconds."""
        standings: Mapping[TP, Standing] = self._pipeline.standings()
        for tp, standing in standings.items():
            labels = tp.topic, str(tp.partition)
            # What fetches reported; None before the first one.
            end = self._app.consumer.highwater(tp)
            waiting = max(0, (end or 0) - standing.position)
            METRICS.position.labels(*labels).set(standing.safe)
            METRICS.lag_records.labels(*labels).set(max(0, (end or standing.position) - standing.safe))
            behind = now - standing.newest_at if waiting and standing.newest_at else 0.0
            METRICS.lag_seconds.labels(*labels).set(max(0.0, behind))
            METRICS.buffered_rows.labels(*labels).set(standing.rows)
            METRICS.buffered_bytes.labels(*labels).set(standing.bytes)
            METRICS.memory_keys.labels(*labels).set(standing.keys)
        for tp in self._told - standings.keys():
            for gauge in _BY_PARTITION:
                gauge.remove(tp.topic, str(tp.partition))
        self._told = set(standings)
        here = Counter(tp.topic for tp in standings)
        self._topics |= here.keys()
        for topic in self._topics:
            METRICS.partitions.labels(topic).set(here[topic])
