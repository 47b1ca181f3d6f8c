"""The watchdog: a worker that has records waiting and takes none, and cannot say why, starts again.

Faust's own detectors only log. Waiting for a store is not a stall: that is retried for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from faust.types import TP

from streams.pipeline import Pipeline

_INTERVAL: Final = 5.0


class Stalled(Exception):
    """Records wait, none is taken, and no store is to blame."""


class Watchdog:
    """Compares positions with how far the logs can be read, as fetches reported."""

    def __init__(
        self, app: Any, pipeline: Pipeline, patience: float, on_failure: Callable[[BaseException], None]
    ) -> None:
        """Watch a Faust app's partitions; `patience` is in seconds."""
        self._app, self._pipeline, self._patience, self._on_failure = app, pipeline, patience, on_failure
        self._still_since: dict[TP, tuple[int, float]] = {}

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            await asyncio.sleep(_INTERVAL)
            if not self._app.rebalancing:
                self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """Look once, at a monotonic time in seconds."""
        consumer = self._app.consumer
        positions = self._pipeline.positions()
        for tp, position in positions.items():
            end = consumer.readable_end(tp)
            before, since = self._still_since.get(tp, (-1, now))
            if position != before or end is None or end <= position:
                self._still_since[tp] = (position, now)
            elif now - since > self._patience:
                waiting = end - position
                self._on_failure(Stalled(f"{tp.topic}/{tp.partition} stands at {position}, {waiting} wait"))
        for tp in self._still_since.keys() - positions.keys():
            del self._still_since[tp]
