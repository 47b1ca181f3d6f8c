"""Against Apache Kafka that asks for TLS and a password, as the Kafka of others does."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from api.reporting import Reporter
from deploy.embedded.kafka import jars
from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers, port_answers
from deploy.embedded.process import Child, module_environment, wait_until
from sinks.kafka.access import KafkaAccess
from tests.deploy import certificates

if missing := jars.missing() or certificates.missing():
    pytest.skip(missing, allow_module_level=True)

USER, PASSWORD = "videocloud", "a-password-of-the-test"
#: Any 16 bytes as Kafka writes them.
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qg"


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}{done.stderr}"


def _property(file: Path) -> str:
    return file.read_text().strip().replace("\n", "\\n")


@dataclass(frozen=True)
class Secured:
    """A broker behind TLS and SCRAM, and the variables that open it."""

    address: str
    ca: Path

    def variables(self, password: str = PASSWORD) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": password,
            "KAFKA_SSL_CA": str(self.ca),
            "TOPIC_PARTITIONS": "1",
        }


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("kafka")
    made = certificates.make(folder)
    clients, local, control = free_port(), free_port(), free_port()
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{control}",
        "listeners": f"CLIENTS://127.0.0.1:{clients},LOCAL://127.0.0.1:{local},NODES://127.0.0.1:{control}",
        "advertised.listeners": f"CLIENTS://127.0.0.1:{clients},LOCAL://127.0.0.1:{local}",
        "listener.security.protocol.map": "CLIENTS:SASL_SSL,LOCAL:PLAINTEXT,NODES:PLAINTEXT",
        "inter.broker.listener.name": "LOCAL",
        "controller.listener.names": "NODES",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.clients.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": _property(made.certificate),
        "ssl.keystore.key": _property(made.key),
        "log.dirs": str(folder / "log"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    file = folder / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = ("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars.fetch()}/*")
    user = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
    storage = ("kafka.tools.StorageTool", "format", "--config", str(file), "--cluster-id", CLUSTER)
    _run(*java, *storage, "--add-scram", user)
    child = Child("kafka", [*java, "kafka.Kafka", str(file)], folder / "kafka.log")
    address = f"127.0.0.1:{clients}"
    try:
        assert wait_until(time.monotonic() + 60, lambda: port_answers(address), child), child.tail()
        yield Secured(address, made.ca)
    finally:
        child.stop(5)


def vca(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli", *arguments]


def test_a_wrong_password_and_a_wrong_authority_are_told_and_a_right_one_makes_topics(kafka: Secured) -> None:
    wrong = (kafka.variables("wrong"), {**kafka.variables(), "KAFKA_SSL_CA": ""})
    for variables in (*wrong, kafka.variables()):
        environment = {**os.environ, **module_environment(), **variables}
        done = subprocess.run(vca("topics"), env=environment, capture_output=True, text=True, timeout=60)
        if variables in wrong:
            assert done.returncode == 1 and "no Kafka broker lets us in" in done.stderr
            assert PASSWORD not in done.stderr
        else:
            assert done.returncode == 0 and "created playback.events" in done.stdout, done.stderr


def test_agent_api_and_worker_get_in_with_the_same_variables(
    kafka: Secured, redis_server: str, clickhouse_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, port = f"secured_{uuid4().hex[:8]}", free_port()
    variables = {
        **kafka.variables(),
        "REDIS_URL": redis_server,
        "CLICKHOUSE_URL": f"{clickhouse_server}/{database}",
        "WORKER_METRICS_PORT": str(port),
    }
    environment = {**os.environ, **module_environment(), **variables}
    for name in ("topics", "migrate"):
        subprocess.run(vca(name), env=environment, check=True, capture_output=True, timeout=60)
    worker, agent = (
        Child(name, vca(name, *more), tmp_path / f"{name}.log", {**module_environment(), **variables})
        for name, more in (("worker", ()), ("agent", ("--every", "1")))
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    async def report() -> None:
        reporter = Reporter(KafkaAccess().kafka(kafka.address), "system.events")
        async with reporter.open():
            reporter.report("/analytics/videos/{id}", "GET", 200, 0.01, time.time())
            await asyncio.sleep(1.5)

    def stored() -> bool:
        query = f"SELECT arraySort(groupUniqArray(type)) FROM {database}.system_events"
        try:
            with urllib.request.urlopen(clickhouse_server, data=query.encode(), timeout=10) as answer:
                return bool(answer.read() == b"['api.request','host.sample']\n")
        except urllib.error.HTTPError:
            return False

    try:
        asyncio.run(report())
        assert wait_until(time.monotonic() + 60, stored, worker), worker.tail() + agent.tail()
        ready = partial(http_answers, f"http://127.0.0.1:{port}/readyz")
        assert wait_until(time.monotonic() + 20, ready, worker), worker.tail()
        for command in (("lag", "--json"), ("replay", "dead-letters", "--json")):
            done = subprocess.run(vca(*command), env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        agent.stop(10)
        worker.terminate()
        worker.stop(20)
    assert worker.exit_code in (0, -signal.SIGTERM)
