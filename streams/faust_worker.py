"""Faust without its fixed sleeps and folders, and with our exit status."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from faust.tables.manager import TableManager

from streams.exit_codes import FAULT


class DisklessApp(faust.App):
    """An app without folders: they are for tables, and a full or read-only disk must not stop a worker."""

    def _create_directories(self) -> None:
        """Create nothing."""


class PromptTables(TableManager):
    """A table manager that does not wait a second for tables to be declared: there are none."""

    async def sleep(self, n: Any, **_: Any) -> None:
        """Only yield to the event loop."""
        await asyncio.sleep(0)


class PromptWorker(faust.Worker):
    """A worker that does not wait up to two seconds after all services stopped: all is durable by then."""

    def _gather_all(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)

    def _disable_spinner_if_level_below_WARN(self, level: int) -> None:
        """Show no spinner: it formats every debug message in vain, and writes control codes into logs."""
        self.spinner = None


def run_until_stopped(worker: Any) -> int:
    """Run a worker, of Faust or of its library mode; return the exit status.

    After a crash that is `FAULT`, because the next start recovers; theirs is 1.
    """
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        return FAULT if stop.code else 0
    return 0
