"""The servers of a run: Kafka's nodes, Redis and ClickHouse, the stores behind proxies."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from deploy.embedded import servers
from deploy.embedded.kafka import jars
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.ports import free_port
from tests.faults.machines import Machine
from tests.faults.proxy import Proxy, http_is_whole


class Servers:
    """Running servers; each episode has names of its own on them."""

    def __init__(self, folder: Path, kafka_nodes: int = 1) -> None:
        """Describe them in a folder; `start` starts them."""
        self.folder = folder
        logs = folder / "logs"
        ports = [(free_port(), free_port()) for _ in range(kafka_nodes)]
        self.nodes = [Machine(node, logs) for node in nodes(jars.fetch(), folder / "kafka", ports)]
        self.redis_data = folder / "redis"
        self.redis = Machine(servers.redis(free_port(), self.redis_data), logs)
        self.clickhouse = Machine(servers.clickhouse(free_port(), folder / "clickhouse"), logs)
        self.redis_proxy = Proxy(self.redis.port)
        self.clickhouse_proxy = Proxy(self.clickhouse.port, http_is_whole)
        self.cluster = ""

    @property
    def bootstrap(self) -> str:
        """Return the brokers' addresses."""
        return ",".join(node.server.address for node in self.nodes)

    async def start(self) -> None:
        """Start them all, side by side."""
        machines = [*self.nodes, self.redis, self.clickhouse]
        for machine in machines:
            machine.launch()
        await asyncio.gather(*(machine.ready() for machine in machines))

    def stop(self) -> None:
        """End them all; what they hold is not needed any more."""
        self.redis_proxy.close()
        self.clickhouse_proxy.close()
        for machine in (self.clickhouse, self.redis, *self.nodes):
            machine.kill()
        time.sleep(0)
