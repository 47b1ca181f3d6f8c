"""Gauges of the assigned partitions for Prometheus, updated every few seconds, outside the hot path."""

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
    """Sets lag, buffers and positions of the assigned partitions, and removes those of revoked ones."""

    def __init__(self, app: Any, pipeline: Pipeline, clock: Callable[[], float]) -> None:
        """Watch a Faust app's partitions; `clock` gives epoch seconds."""
        self._app, self._pipeline, self._clock = app, pipeline, clock
        self._reported: set[TP] = set()
        self._topics: set[str] = set()
        #: When the brokers last said that no record waits.
        self._clear_at: dict[TP, float] = {}

    async def run(self) -> None:
        """Update for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            if self._app.rebalancing:
                continue
            try:
                ends = await self._app.consumer.end_offsets(self._pipeline.statuses().keys())
            except (KafkaError, TimeoutError):
                ends = {}
            if not self._app.rebalancing:
                self.update(self._clock(), ends)

    def update(self, now: float, ends: Mapping[TP, int]) -> None:
        """Update once; `now` is in epoch seconds, `ends` are end offsets from the brokers, as far as known.

        End offsets from fetches are not enough: a worker that waits for a store fetches nothing, and would
        show the lag from the beginning of the outage until its end.
        """
        statuses: Mapping[TP, PartitionStatus] = self._pipeline.statuses()
        for tp, status in statuses.items():
            labels = tp.topic, str(tp.partition)
            end = self._app.consumer.end_offset(tp, ends.get(tp))
            METRICS.position.labels(*labels).set(status.safe)
            _set_or_remove(METRICS.lag_records, labels, None if end is None else max(0, end - status.safe))
            if tp in ends and ends[tp] <= status.position:
                self._clear_at[tp] = now
            behind = _behind(status, end, now, self._clear_at.get(tp, 0.0))
            _set_or_remove(METRICS.lag_seconds, labels, behind)
            METRICS.buffered_rows.labels(*labels).set(status.rows)
            METRICS.buffered_bytes.labels(*labels).set(status.bytes)
            METRICS.memory_keys.labels(*labels).set(status.keys)
        for tp in self._reported - statuses.keys():
            for gauge in _BY_PARTITION:
                gauge.remove(tp.topic, str(tp.partition))
            self._clear_at.pop(tp, None)
        self._reported = set(statuses)
        here = Counter(tp.topic for tp in statuses)
        for topic in here.keys() - self._topics:
            METRICS.start_at_zero(topic)
        self._topics |= here.keys()
        for topic in self._topics:
            METRICS.partitions.labels(topic).set(here[topic])


def _behind(status: PartitionStatus, end: int | None, now: float, clear_at: float) -> float | None:
    """Return the age of the newest processed record, 0 when none waits; None when it is unknown.

    Of a partition that was quiet for long, that is far more than its first new record has waited, which came
    after `clear_at`, when none waited (0 if that is unknown).
    """
    if end is None:
        return None
    if end <= status.position:
        return 0.0
    since = max(status.newest_at, clear_at)
    return max(0.0, now - since) if since else None


def _set_or_remove(gauge: Any, labels: tuple[str, str], value: float | None) -> None:
    """Set a gauge; remove it for None, because a missing number is better than a wrong 0."""
    if value is None:
        gauge.remove(*labels)
    else:
        gauge.labels(*labels).set(value)
