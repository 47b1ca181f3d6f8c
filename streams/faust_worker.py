"""Faust without its fixed sleeps and folders, with an even assignment of partitions and our exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import faust
import structlog
from faust.assignor.client_assignment import ClientAssignment
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager

from streams.balance import balance
from streams.exit_codes import FAULT

log = structlog.get_logger(__name__)


class DisklessApp(faust.App):
    """An app without folders: they are for tables, and a full or read-only disk must not stop a worker."""

    def _create_directories(self) -> None:
        """Create nothing."""


class PromptTables(TableManager):
    """A table manager that does not wait a second for tables to be declared: there are none."""

    async def sleep(self, n: Any, **_: Any) -> None:
        """Only yield to the event loop."""
        await asyncio.sleep(0)


class EvenAssignor(PartitionAssignor):
    """An assignor that gives each worker its share; only that of the group's leader is asked.

    Its name and its messages are those of Faust's, so that both may be in one group, as during an upgrade.
    Standbys and what Faust tells of tables, requests and transactions are left out: there are none of these.
    """

    def _perform_assignment(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        told = {member: self._get_client_metadata(metadata) for member, metadata in member_metadata.items()}
        self._update_member_urls(told)
        readers: dict[str, list[str]] = {}
        for member, metadata in member_metadata.items():
            for topic in metadata.subscription:
                readers.setdefault(topic, []).append(member)
        partitions = {topic: cluster.partitions_for_topic(topic) for topic in readers}
        if missing := sorted(topic for topic, numbers in partitions.items() if not numbers):
            log.warning("topics do not exist: none of their partitions is assigned", topics=missing)
        shares = balance(
            {topic: numbers for topic, numbers in partitions.items() if numbers},
            readers,
            {member: metadata.assignment.actives for member, metadata in told.items()},
        )
        assignments = {member: ClientAssignment(actives=own, standbys={}) for member, own in shares.items()}
        return self._protocol_assignments(assignments, {}, {}, {})


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
