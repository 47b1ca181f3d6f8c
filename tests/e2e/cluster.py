"""Stand-in servers and an API, with workers that the test itself starts and kills."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.process import Child, module_environment, wait_until
from deploy.embedded.stack import DATABASE, command_line, prepare

#: The stand-in broker waits two seconds for a group's members to join, and two for a silent member.
_GROUP = {"SESSION_TIMEOUT": "2", "REBALANCE_TIMEOUT": "2", "TOPIC_PARTITIONS": "4"}
_API_KEY = "vca_e2e"
#: Apache Kafka needs some time to start.
_START_SECONDS = 60.0


class Cluster:
    """Running servers; `worker` starts workers on them."""

    def __init__(self, folder: Path, endpoints: dict[str, str]) -> None:
        """Keep the folder and the addresses; `endpoints` has them by their environment names."""
        self.endpoints = endpoints
        self.logs = folder / "logs"
        self.environment = {
            **endpoints,
            **_GROUP,
            **module_environment(),
            "SELF_REPORTING": "false",
            "RATE_LIMIT": "none",
            "STORE_PATIENCE": "10",
        }
        self.workers: list[Child] = []
        #: The servers, by the environment names of their addresses.
        self.servers: dict[str, Child] = {}

    def worker(self, **settings: str) -> Child:
        """Start a worker, with settings of its own."""
        environment = {**self.environment, **settings}
        child = Child("worker", command_line("worker"), self.logs / "worker.log", environment)
        self.workers.append(child)
        return child

    @contextmanager
    def working(self, **settings: str) -> Iterator[Child]:
        """Yield a worker, and stop it in the end."""
        worker = self.worker(**settings)
        try:
            yield worker
        finally:
            worker.stop(10.0)

    def log(self) -> str:
        """Return what all workers have logged."""
        return (self.logs / "worker.log").read_text(errors="replace")


@contextmanager
def cluster(folder: Path, broker: servers.Server | None = None) -> Iterator[Cluster]:
    """Start servers and the API in a folder, without a worker, and stop everything in the end.

    `broker` is the Kafka server to start; by default the stand-in.
    """
    logs = folder / "logs"
    with ExitStack() as running:
        children: dict[str, Child] = {}

        def serve(name: str, server: servers.Server) -> str:
            child = children[name] = servers.start(server, logs, _START_SECONDS)
            running.callback(child.stop, server.stop_grace)
            return server.address

        port = free_port()
        endpoints = {
            "KAFKA_BOOTSTRAP_SERVERS": serve(
                "KAFKA_BOOTSTRAP_SERVERS", broker or servers.broker(free_port())
            ),
            "REDIS_URL": serve("REDIS_URL", servers.redis(free_port(), folder / "redis")),
            "CLICKHOUSE_URL": serve("CLICKHOUSE_URL", servers.clickhouse(free_port(), folder / "clickhouse"))
            + f"/{DATABASE}",
            "API_URL": f"http://127.0.0.1:{port}",
            "API_KEY": _API_KEY,
        }
        found = Cluster(folder, endpoints)
        found.servers = children
        prepare(found.environment, logs)
        api = Child("api", command_line("api", "--port", str(port)), logs / "api.log", found.environment)
        running.callback(api.stop, 5.0)
        assert wait_until(time.monotonic() + 30, lambda: _answers(f"{endpoints['API_URL']}/healthz"), api)
        try:
            yield found
        finally:
            for worker in found.workers:
                worker.stop(10.0)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
