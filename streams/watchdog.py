"""The watchdog: a worker that has records waiting and takes none, and cannot say why, starts again.

Faust's own detectors only log. Waiting for a store is not a stall: that is retried for ever. What fetches
told is not enough, for it may be the fetches that stand still, so brokers are asked too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka.errors import KafkaError
from faust.types import TP

from streams.pipeline import Pipeline

_INTERVAL: Final = 5.0


class Stalled(Exception):
    """Records wait, none is taken, and no store is to blame."""


class Watchdog:
    """Compares positions with how far the logs can be read, as fetches reported and brokers say."""

    def __init__(
        self, app: Any, pipeline: Pipeline, patience: float, on_failure: Callable[[BaseException], None]
    ) -> None:
        """Watch a Faust app's partitions; `patience` is in seconds."""
        self._app, self._pipeline, self._patience, self._on_failure = app, pipeline, patience, on_failure
        self._still_since: dict[TP, tuple[int, float]] = {}
        self._ends: Mapping[TP, int] = {}
        self._ask_at = 0.0

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            if not self._app.rebalancing:
                await self.ask(asyncio.get_running_loop().time())
            if not self._app.rebalancing:
                self.look(asyncio.get_running_loop().time())

    async def ask(self, now: float) -> None:
        """Ask brokers where logs end, at a monotonic time in seconds, if that was long ago.

        That is twice while a partition may stand still: what is known of a log that was deleted and made
        again is corrected before anybody draws a conclusion from it.
        """
        if now < self._ask_at:
            return
        self._ask_at = now + self._patience / 2
        try:
            self._ends = await self._app.consumer.ends(self._pipeline.positions().keys())
        except (KafkaError, TimeoutError):
            self._ends = {}

    def look(self, now: float) -> None:
        """Look once, at a monotonic time in seconds."""
        consumer = self._app.consumer
        positions = self._pipeline.positions()
        for tp, position in positions.items():
            end = consumer.readable_end(tp, self._ends.get(tp))
            before, since = self._still_since.get(tp, (-1, now))
            if position != before or end is None or end <= position:
                self._still_since[tp] = (position, now)
            elif now - since > self._patience:
                waiting = end - position
                self._on_failure(Stalled(f"{tp.topic}/{tp.partition} stands at {position}, {waiting} wait"))
        for tp in self._still_since.keys() - positions.keys():
            del self._still_since[tp]
