"""Faust without its waits: a worker that starts or ends a second sooner is back a second sooner."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from faust.tables.manager import TableManager


class PromptTables(TableManager):
    """Faust waits a second for tables to be declared before it subscribes; there are none."""

    async def sleep(self, n: Any, **_: Any) -> None:
        """Give way, and go on."""
        await asyncio.sleep(0)


class PromptWorker(faust.Worker):
    """Faust waits up to two seconds after everything has stopped; what matters is durable by then."""

    def _gather_all(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)

    def _disable_spinner_if_level_below_WARN(self, level: int) -> None:
        """Show no spinner: for it every debug message is made and dropped, and a log gets odd codes."""
        self.spinner = None
