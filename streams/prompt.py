"""Faust without its waits: a worker that starts or ends a second sooner is back a second sooner."""

from __future__ import annotations

import asyncio
import logging
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

    def _setup_spinner_handler(self, logger: logging.Logger, level: int) -> None:
        """Show no spinner: for it, Faust has every debug message of every library made, and dropped."""
