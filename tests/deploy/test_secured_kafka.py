"""Against Apache Kafka that asks for TLS and a password and denies by default, as the Kafka of others does.

Its users have the rights that docs/security.md gives them, and no others.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from structlog.testing import capture_logs

from api.reporting import Reporter
from deploy.embedded.kafka import jars
from deploy.embedded.ports import free_port
from deploy.embedded.probes import http_answers, port_answers
from deploy.embedded.process import Child, module_environment, wait_until
from deploy.explain import explain
from sinks.kafka.access import KafkaAccess
from tests.commands import invoke
from tests.deploy import certificates

if missing := jars.missing() or certificates.missing():
    pytest.skip(missing, allow_module_level=True)

USERS, PASSWORD = ("worker", "api", "agent", "topics", "ops", "nobody"), "a-password-of-the-test"
PAGE = Path(__file__).parents[2] / "docs/security.md"
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

    def variables(self, user: str, password: str = PASSWORD) -> dict[str, str]:
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.address,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": password,
            "KAFKA_SSL_CA": str(self.ca),
            "TOPIC_PARTITIONS": "1",
        }


def documented_rights() -> list[Any]:
    """Return the rights that the commands of docs/security.md give, in confluent_kafka's terms."""
    (block,) = re.findall(r"^acls\(\) .*?(?=^```)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    variables = dict(re.findall(r'^(\w+)="(.*)"$', block, re.MULTILINE))
    found = []
    for line in re.findall(r"^acls (.+)$", block, re.MULTILINE):
        words = re.sub(r"\$(\w+)", lambda name: variables[name[1]], line).split()
        given: dict[str, list[str]] = defaultdict(list)
        for option, value in zip(words[::2], words[1::2], strict=True):
            given[option].append(value)
        for user in given["--allow-principal"]:
            for operation in given["--operation"]:
                kind = getattr(
                    AclOperation, {"DescribeConfigs": "DESCRIBE_CONFIGS"}.get(operation, operation.upper())
                )
                places = [(ResourceType.TOPIC, name) for name in given["--topic"]]
                places += [(ResourceType.GROUP, name) for name in given["--group"]]
                found += [
                    AclBinding(
                        what, name, ResourcePatternType.LITERAL, user, "*", kind, AclPermissionType.ALLOW
                    )
                    for what, name in places
                ]
    return found


def give_rights(address: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    for answer in admin.create_acls(documented_rights()).values():
        answer.result(30)


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
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Whoever comes by the plain-text listeners: the broker itself, and who gives the rights.
        "super.users": "User:ANONYMOUS",
        "log.dirs": str(folder / "log"),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
    }
    file = folder / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    java = ("java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars.fetch()}/*")
    storage = ["kafka.tools.StorageTool", "format", "--config", str(file), "--cluster-id", CLUSTER]
    for user in USERS:
        storage += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]"]
    _run(*java, *storage)
    child = Child("kafka", [*java, "kafka.Kafka", str(file)], folder / "kafka.log")
    address = f"127.0.0.1:{clients}"
    try:
        assert wait_until(time.monotonic() + 60, lambda: port_answers(address), child), child.tail()
        give_rights(f"127.0.0.1:{local}")
        yield Secured(address, made.ca)
    finally:
        child.stop(5)


def access_of(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return aiokafka's arguments for the variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, setting in variables.items():
            patch.setenv(name, setting)
        return KafkaAccess().kafka(variables["KAFKA_BOOTSTRAP_SERVERS"])


async def aiokafka_send(variables: Mapping[str, str], topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(**access_of(variables), enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, key=b"k", value=value)


def vca(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli", *arguments]


@dataclass(frozen=True)
class Done:
    """What a command ended with."""

    returncode: int
    stdout: str
    stderr: str


def run(variables: Mapping[str, str], *command: str) -> Done:
    done = invoke(variables, *command)
    failure = explain(done.exception) if isinstance(done.exception, Exception) else ""
    return Done(done.exit_code, done.stdout, done.stderr + failure)


def run_process(variables: Mapping[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **module_environment(), **variables, "COLUMNS": "250"}
    return subprocess.run(vca(*command), env=environment, capture_output=True, text=True, timeout=60)


def test_a_wrong_password_and_a_wrong_authority_are_told_and_a_right_one_makes_topics(kafka: Secured) -> None:
    wrong_password = run_process(kafka.variables("topics", "wrong"), "topics")
    assert wrong_password.returncode == 1
    assert "SaslAuthenticationFailed" in wrong_password.stderr
    assert kafka.address in wrong_password.stderr and "check KAFKA_SASL_USERNAME" in wrong_password.stderr
    wrong_authority = run_process({**kafka.variables("topics"), "KAFKA_SSL_CA": ""}, "topics")
    assert wrong_authority.returncode == 1 and "KAFKA_SSL_CA must be the CA" in wrong_authority.stderr
    no_right = run_process(kafka.variables("nobody"), "topics")
    assert no_right.returncode == 1 and "user nobody lacks a right" in no_right.stderr
    for done in (wrong_password, wrong_authority, no_right):
        assert PASSWORD not in done.stderr and "Traceback" not in done.stderr
    made = run(kafka.variables("topics"), "topics")
    assert made.returncode == 0 and "created playback.events" in made.stdout, made.stderr


def test_a_worker_without_rights_waits_and_names_them_and_so_do_the_commands(
    kafka: Secured, redis_server: str, tmp_path: Path
) -> None:
    run(kafka.variables("topics"), "topics")
    port = free_port()
    # Nobody is asked for ClickHouse before Kafka lets the worker in.
    variables = {
        "REDIS_URL": redis_server,
        "WORKER_METRICS_PORT": str(port),
        "CLICKHOUSE_URL": "http://127.0.0.1:9",
    }
    worker = Child(
        "worker",
        vca("worker"),
        tmp_path / "log",
        {**module_environment(), **kafka.variables("api"), **variables},
    )
    lacks = "user api lacks Read on topic playback.events"

    def told() -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5)
        except urllib.error.HTTPError as answer:
            return lacks in answer.read().decode()
        except OSError:
            pass
        return False

    try:
        assert wait_until(time.monotonic() + 30, told, worker), worker.tail()
        assert lacks in worker.tail() and "Read on group videocloud-analytics" in worker.tail()
    finally:
        worker.stop(10)
    for command in (("lag",), ("replay", "dead-letters")):
        done = run({**kafka.variables("nobody"), **variables}, *command)
        assert done.returncode == 1 and "no right to Describe" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
    doctor = run({**kafka.variables("worker"), **variables}, "doctor", "--json")
    found = {each["name"]: each for each in json.loads(doctor.stdout)["findings"] if each["area"] == "Kafka"}
    assert found["rights"]["verdict"] == "OK"
    assert "DescribeConfigs" in found["playback.events"]["advice"]
    doctor = run({**kafka.variables("ops"), **variables}, "doctor", "--json")
    found = {each["name"]: each for each in json.loads(doctor.stdout)["findings"] if each["area"] == "Kafka"}
    assert found["rights"]["verdict"] == found["user.events"]["verdict"] == "OK", found


async def test_an_api_without_rights_names_the_topic_once_and_does_not_claim_that_it_reports(
    kafka: Secured,
) -> None:
    await asyncio.to_thread(run, kafka.variables("topics"), "topics")
    reporter = Reporter(access_of(kafka.variables("nobody")), "system.events")
    # An application of an earlier test may have switched warnings off.
    structlog.reset_defaults()
    with capture_logs() as told:
        async with reporter.open():
            reporter.report("/analytics/videos/{id}", "GET", 200, 0.01, time.time())
            async with asyncio.timeout(30):
                while not told:
                    await asyncio.sleep(0.1)
            # Another attempt.
            await asyncio.sleep(3)
    assert [each["log_level"] for each in told] == ["warning"], told
    assert "system.events: the user lacks a right" in told[0]["reason"]


def test_agent_api_and_worker_need_no_more_than_the_documented_rights(
    kafka: Secured, redis_server: str, clickhouse_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, port = f"secured_{uuid4().hex[:8]}", free_port()
    variables = {
        "REDIS_URL": redis_server,
        "CLICKHOUSE_URL": f"{clickhouse_server}/{database}",
        "WORKER_METRICS_PORT": str(port),
    }
    for name in ("topics", "migrate"):
        assert run({**kafka.variables("topics"), **variables}, name).returncode == 0
    worker, agent = (
        Child(
            name,
            vca(name, *more),
            tmp_path / f"{name}.log",
            {**module_environment(), **kafka.variables(name), **variables},
        )
        for name, more in (("worker", ()), ("agent", ("--every", "1")))
    )
    for name, value in kafka.variables("api").items():
        monkeypatch.setenv(name, value)

    async def report() -> None:
        reporter = Reporter(KafkaAccess().kafka(kafka.address), "system.events")
        async with reporter.open():
            reporter.report("/analytics/videos/{id}", "GET", 200, 0.01, time.time())
            assert await asyncio.to_thread(wait_until, time.monotonic() + 60, stored, worker), (
                worker.tail() + agent.tail()
            )

    def stored() -> bool:
        query = f"SELECT arraySort(groupUniqArray(type)) FROM {database}.system_events"
        try:
            with urllib.request.urlopen(clickhouse_server, data=query.encode(), timeout=10) as answer:
                return bool(answer.read() == b"['api.request','host.sample']\n")
        except urllib.error.HTTPError:
            return False

    try:
        asyncio.run(report())
        ready = partial(http_answers, f"http://127.0.0.1:{port}/readyz")
        assert wait_until(time.monotonic() + 20, ready, worker), worker.tail()
        spoilt = aiokafka_send(kafka.variables("agent"), "system.events", b"{")
        asyncio.run(spoilt)
        for command in (("lag",), ("replay", "dead-letters", "--send")):
            done = run({**kafka.variables("ops"), **variables}, *command)
            assert done.returncode == 0, done.stdout + done.stderr

        def sent_again() -> bool:
            done = run({**kafka.variables("ops"), **variables}, "replay", "dead-letters", "--send", "--json")
            return "already replayed" in done.stdout

        assert wait_until(time.monotonic() + 30, sent_again, worker), worker.tail()
    finally:
        agent.stop(10)
        worker.terminate()
        worker.stop(20)
    assert worker.exit_code in (0, -signal.SIGTERM)
