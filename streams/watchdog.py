"""The watchdog: ends a worker that has records waiting and processes none, without waiting for a store.

Faust's own detectors only log. Waiting for a store is not a stall, because that is retried for ever. End
offsets from fetches are not enough, because fetching itself may stall: so the brokers are asked, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.types import TP

from sinks.base import Unavailable
from streams.loop_time import loop_time
from streams.pipeline import Pipeline

#: Seconds between two looks at most, and for which a store may be asked.
_INTERVAL: Final = 5.0


class Stalled(Exception):
    """Records wait, none is processed, and no store is waited for."""


class Watchdog:
    """Compares positions with the end offsets that fetches reported and brokers return."""

    def __init__(
        self, app: Any, pipeline: Pipeline, patience: float, on_failure: Callable[[BaseException], None]
    ) -> None:
        """Watch a Faust app's partitions; `patience` is in seconds."""
        self._app, self._pipeline, self._patience, self._on_failure = app, pipeline, patience, on_failure
        self._still_since: dict[TP, tuple[int, float]] = {}
        self._ends: Mapping[TP, int] = {}
        self._lost: Mapping[TP, int] = {}
        self._refresh_at = 0.0

    async def run(self) -> None:
        """Watch for ever."""
        before, watched, interval = loop_time(), 0.0, min(_INTERVAL, self._patience / 4)
        while True:
            await asyncio.sleep(interval)
            # A process that was stopped itself has not seen partitions stand still meanwhile.
            now = loop_time()
            watched, before = watched + min(now - before, 2 * interval), now
            if not self._app.rebalancing:
                await self.refresh_lost()
                await self.refresh_ends(watched)
            if not self._app.rebalancing:
                self.check(watched)

    async def refresh_lost(self) -> None:
        """Ask how far others are with partitions that this worker lost and Kafka still assigns to it."""
        try:
            # A store that is silent must not keep the watchdog from its other partitions.
            async with asyncio.timeout(_INTERVAL):
                self._lost = await self._pipeline.lost_positions()
        except (Unavailable, TimeoutError):
            self._lost = {}

    async def refresh_ends(self, now: float) -> None:
        """Ask the brokers for end offsets if the last answer is old; `now` is monotonic, in seconds.

        They are asked twice within `patience`, so that the end of a deleted and re-created log is corrected
        before the watchdog acts on it.
        """
        if now < self._refresh_at:
            return
        self._refresh_at = now + self._patience / 2
        try:
            watched = self._pipeline.positions().keys() | self._lost.keys()
            self._ends = await self._app.consumer.end_offsets(watched)
        except (KafkaError, TimeoutError):
            self._ends = {}

    def check(self, now: float) -> None:
        """Compare once; `now` is monotonic, in seconds."""
        consumer = self._app.consumer
        positions = {**self._lost, **self._pipeline.positions()}
        for tp, position in positions.items():
            end = consumer.readable_end(tp, self._ends.get(tp))
            before, since = self._still_since.get(tp, (-1, now))
            waiting = 0 if end is None else end - position
            if waiting < 0 and tp in self._lost:
                waiting = end  # It is another log, which nobody reads.
            if position != before or waiting <= 0:
                self._still_since[tp] = (position, now)
            elif now - since > self._patience:
                self._on_failure(
                    Stalled(f"{tp.topic}/{tp.partition} is stuck at {position}, {waiting} records wait")
                )
        for tp in self._still_since.keys() - positions.keys():
            del self._still_since[tp]
