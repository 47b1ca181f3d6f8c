"""How the partitions at work stand, for Prometheus: looked at every few seconds, away from the hot path."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.assignment import PartitionStatus
from streams.metrics import METRICS
from streams.pipeline import Pipeline

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
            if self._app.rebalancing:
                continue
            try:
                ends = await self._app.consumer.ends(self._pipeline.statuses().keys())
            except (KafkaError, TimeoutError):
                ends = {}
            if not self._app.rebalancing:
                self.look(self._clock(), ends)

    def look(self, now: float, ends: Mapping[TP, int]) -> None:
        """Look once, at an instant in epoch seconds; `ends` are those of the logs that are known.

        What fetches reported is not enough: while a worker waits for a store it fetches nothing, and would
        tell for the whole outage the lag of its beginning.
        """
        statuses: Mapping[TP, PartitionStatus] = self._pipeline.statuses()
        for tp, status in statuses.items():
            labels = tp.topic, str(tp.partition)
            end = self._app.consumer.end(tp, ends.get(tp))
            METRICS.position.labels(*labels).set(status.safe)
            _tell(METRICS.lag_records, labels, None if end is None else max(0, end - status.safe))
            _tell(METRICS.lag_seconds, labels, _behind(status, end, now))
            METRICS.buffered_rows.labels(*labels).set(status.rows)
            METRICS.buffered_bytes.labels(*labels).set(status.bytes)
            METRICS.memory_keys.labels(*labels).set(status.keys)
        for tp in self._told - statuses.keys():
            for gauge in _BY_PARTITION:
                gauge.remove(tp.topic, str(tp.partition))
        self._told = set(statuses)
        here = Counter(tp.topic for tp in statuses)
        for topic in here.keys() - self._topics:
            METRICS.begin(topic)
        self._topics |= here.keys()
        for topic in self._topics:
            METRICS.partitions.labels(topic).set(here[topic])


def _behind(status: PartitionStatus, end: int | None, now: float) -> float | None:
    """Return how old the newest record is that was taken, 0 when none waits; None when that is not known."""
    if end is None:
        return None
    if end <= status.position:
        return 0.0
    return max(0.0, now - status.newest_at) if status.newest_at else None


def _tell(gauge: Any, labels: tuple[str, str], value: float | None) -> None:
    """Set a gauge, or take it back: no number is better than a 0 that nobody has counted."""
    if value is None:
        gauge.remove(*labels)
    else:
        gauge.labels(*labels).set(value)
