"""The servers in containers, where Docker is available: real Apache Kafka, Redis and ClickHouse.

The containers share this machine's network, so addresses and ports are the same as with processes.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.embedded.kafka import jars
from deploy.embedded.kafka.__main__ import properties
from deploy.embedded.kafka.nodes import Ports, cluster_id
from deploy.embedded.probes import http_answers, kafka_answers, redis_answers
from deploy.embedded.servers import Server
from tests.faults.machines import Machine

_KAFKA: Final = f"apache/kafka:{jars.VERSION}"
_REDIS: Final = "redis:7"
_ROOT: Final = Path(__file__).parents[2]


@cache
def docker_answers() -> bool:
    """Say whether a Docker engine answers."""
    import docker  # type: ignore[import-untyped,unused-ignore]

    with suppress(docker.errors.DockerException):
        return bool(docker.from_env().ping())
    return False


class Container(Machine):
    """A server in a container, whose data survives a kill, as a process's does."""

    def __init__(self, server: Server, logs: Path, image: str, **options: Any) -> None:
        """Describe the container; `start` starts it."""
        super().__init__(server, logs)
        self._image, self._options = image, options
        self._container: Any = None

    @property
    def runs(self) -> bool:
        """Say whether the container runs."""
        if self._container is None:
            return False
        self._container.reload()
        return bool(self._container.status == "running")

    def launch(self) -> None:
        """Start the container; create it the first time."""
        if self._container is None:
            from testcontainers.core.container import DockerContainer

            made = DockerContainer(self._image).with_kwargs(network_mode="host", **self._options)
            if self.server.command:
                made = made.with_command(list(self.server.command))
            for name, value in self.server.environment.items():
                made = made.with_env(name, value)
            self._container = made.start().get_wrapped_container()
        else:
            self._container.start()

    def failure(self) -> str | None:
        """Return the end of the container's log if it has ended."""
        return None if self.runs else str(self._container.logs(tail=40).decode(errors="replace"))

    def kill(self) -> None:
        """Run `docker kill`, and return when the container has ended."""
        self.kill_soon()
        if self._container is not None:
            self._container.wait()

    def kill_soon(self) -> None:
        """Kill the container."""
        if self.runs:
            self._container.kill()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; SIGSTOP freezes all processes of the container."""
        if number is signal.SIGSTOP:
            self._container.pause()
        elif number is signal.SIGCONT:
            self._container.unpause()
        else:
            self._container.kill(signal=number.name)


def kafka(data: Path, logs: Path, ports: list[Ports]) -> list[Machine]:
    """Describe the nodes of a Kafka cluster."""
    voters = ",".join(f"{number}@127.0.0.1:{control}" for number, (_, control) in enumerate(ports, 1))
    found: list[Machine] = []
    for number, (port, control) in enumerate(ports, 1):
        values = properties(Path("/tmp/kafka"), number, port, control, voters)
        environment = {f"KAFKA_{name.upper().replace('.', '_')}": value for name, value in values.items()}
        environment["CLUSTER_ID"] = cluster_id(data)
        address = f"127.0.0.1:{port}"
        server = Server(
            f"broker-{number}", address, (), partial(kafka_answers, address), environment=environment
        )
        found.append(Container(server, logs, _KAFKA))
    return found


def redis(port: int, data: Path, logs: Path) -> Machine:
    """Describe Redis with its append-only file in a folder of this machine."""
    data.mkdir(parents=True, exist_ok=True)
    address = f"redis://127.0.0.1:{port}/0"
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", "/data"]
    command += ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    server = Server("redis", address, tuple(command), partial(redis_answers, address))
    return Container(server, logs, _REDIS, volumes={str(data.resolve()): {"bind": "/data", "mode": "rw"}})


def clickhouse(port: int, other_ports: list[int], logs: Path) -> Machine:
    """Describe ClickHouse on a port for HTTP; its other ports are given so that none collides."""
    address = f"http://127.0.0.1:{port}"
    names = ("tcp_port", "mysql_port", "postgresql_port", "interserver_http_port")
    options = [f"--http_port={port}"]
    options += [f"--{name}={other}" for name, other in zip(names, other_ports, strict=True)]
    # The same image and start script as in docker-compose.yml, which users run.
    service = yaml.safe_load((_ROOT / "docker-compose.yml").read_text("utf-8"))["services"]["clickhouse"]
    script, inside, mode = next(v for v in service["volumes"] if v.endswith(".sh:ro")).split(":")
    mounts = {str(_ROOT / script): {"bind": inside, "mode": mode}}
    # `sh -c TEXT NAME ARGUMENTS`: the arguments are the server's.
    entrypoint = [*service["entrypoint"][:-1], f'{service["entrypoint"][-1]} "$@"', "sh"]
    command = ("clickhouse-server", "--config-file=/etc/clickhouse-server/config.xml", "--", *options)
    environment = {"CLICKHOUSE_SKIP_USER_SETUP": "1"}
    ready = partial(http_answers, f"{address}/ping")
    return Container(
        Server("clickhouse", address, command, ready, environment=environment),
        logs,
        service["image"],
        volumes=mounts,
        entrypoint=entrypoint,
    )
