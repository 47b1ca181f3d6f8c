"""The servers of a run: Kafka's nodes, Redis and ClickHouse, the stores behind proxies.

Kafka is that of TEST_KAFKA_BOOTSTRAP_SERVERS if set. Otherwise, where Docker is available, all three run in
containers; without Docker, Apache Kafka runs on this machine's Java, with the stand-ins of the stores.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from deploy.embedded import servers
from deploy.embedded.kafka import jars
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.ports import free_port
from tests.faults import containers
from tests.faults.machines import Machine
from tests.faults.proxy import Proxy, http_is_whole
from tests.servers.given import given


def cannot_run() -> str | None:
    """Say why the fault tests cannot run here; None when they can."""
    if given("KAFKA_BOOTSTRAP_SERVERS") or containers.docker_answers():
        return None
    reason = jars.missing()
    return reason and f"{reason}; nor is there Docker, nor a Kafka at TEST_KAFKA_BOOTSTRAP_SERVERS"


class Servers:
    """Running servers; each episode uses topics and a database of its own on them."""

    def __init__(self, folder: Path, kafka_nodes: int = 1) -> None:
        """Describe the servers, with their files in a folder; `start` starts them."""
        self.folder = folder
        self.logs = folder / "logs"
        self.redis_data = folder / "redis"
        self.given = given("KAFKA_BOOTSTRAP_SERVERS") or ""
        self.in_containers = containers.docker_answers()
        self.nodes = [] if self.given else self._kafka(kafka_nodes)
        self.redis = self.new_redis(self.redis_data)
        self.clickhouse = self._clickhouse()
        self.redis_proxy = Proxy(self.redis.port)
        self.clickhouse_proxy = Proxy(self.clickhouse.port, http_is_whole)
        self.cluster = ""

    def _kafka(self, count: int) -> list[Machine]:
        ports = [(free_port(), free_port()) for _ in range(count)]
        if self.in_containers:
            return containers.kafka(self.folder / "kafka", self.logs, ports)
        return [Machine(node, self.logs) for node in nodes(jars.fetch(), self.folder / "kafka", ports)]

    def new_redis(self, data: Path) -> Machine:
        """Describe a Redis with its append-only file in a folder."""
        if self.in_containers:
            return containers.redis(free_port(), data, self.logs)
        return Machine(servers.redis(free_port(), data), self.logs)

    def _clickhouse(self) -> Machine:
        if self.in_containers:
            return containers.clickhouse(free_port(), [free_port() for _ in range(4)], self.logs)
        return Machine(servers.clickhouse(free_port(), self.folder / "clickhouse"), self.logs)

    @property
    def bootstrap(self) -> str:
        """Return the brokers' addresses."""
        return self.given or ",".join(node.server.address for node in self.nodes)

    async def start(self) -> None:
        """Start all servers at the same time."""
        machines = [*self.nodes, self.redis, self.clickhouse]
        for machine in machines:
            machine.launch()
        await asyncio.gather(*(machine.ready() for machine in machines))

    def stop(self) -> None:
        """Kill all servers; their data is not needed any more."""
        self.redis_proxy.close()
        self.clickhouse_proxy.close()
        for machine in (self.clickhouse, self.redis, *self.nodes):
            machine.kill()
