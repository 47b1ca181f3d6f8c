"""Replicas of a cluster, and how the worker makes sure that it reads none that is behind."""

from __future__ import annotations

import asyncio
from typing import Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.clickhouse.client import READING, available
from sinks.clickhouse.cluster import LOCAL

#: The tables that the worker reads, on every shard.
_READ: Final = ("ingested_offsets", "playback_events", "user_events", "system_events", "video_catalog")
#: Do not wait for a replica that does not answer: it is not read either, or is a minute behind at most.
_SYNCING: Final = {"distributed_ddl_output_mode": "throw_only_active", "distributed_ddl_task_timeout": 60}
#: Settings of a worker's reads. Between recoveries it mostly looks up only rows older than the two minutes
#: that its own memory covers (`MEMORY_SECONDS`), so a replica may be a minute behind. A full memory covers
#: less, and so does one during a backlog, whose minutes are of record time (docs/clickhouse-cluster.md).
CONSISTENT: Final = {
    **READING,
    "max_replica_delay_for_distributed_queries": 60,
    "fallback_to_stale_replicas_for_distributed_queries": 0,
}


class Replicas:
    """The active replicas of all shards."""

    def __init__(self, client: AsyncClient, cluster: str) -> None:
        """Use a client bound to the analytics database of `cluster`."""
        self._client = client
        self._cluster = cluster
        self._one_at_a_time = asyncio.Lock()
        self._asked = 0
        self._covered = 0

    async def catch_up(self) -> None:
        """Return when every active replica has all inserts acknowledged before the call.

        Calls that arrive while another one waits share the next sync, because a worker takes over many
        partitions at once. Raises `Unavailable` while a replica cannot fetch what it lacks.
        """
        self._asked += 1
        mine = self._asked
        async with self._one_at_a_time:
            if self._covered >= mine:
                return
            covered = self._asked
            for table in _READ:
                with available():
                    await self._client.command(
                        f"SYSTEM SYNC REPLICA ON CLUSTER '{self._cluster}'"
                        f" {self._client.database}.{table}{LOCAL} LIGHTWEIGHT",
                        settings=_SYNCING,
                    )
            self._covered = covered
