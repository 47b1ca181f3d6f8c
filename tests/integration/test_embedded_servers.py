"""The stand-in servers speak the protocols that the product's clients speak."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded import servers
from deploy.embedded.ports import free_port
from deploy.embedded.process import module_environment, wait_until
from tests.servers.processes import left_after


async def test_records_come_back_from_the_broker_in_the_order_of_their_key(broker: str) -> None:
    topic = f"order-{os.getpid()}-{time.monotonic_ns()}"
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker, acks=1) as producer:
        for number in range(200):
            await producer.send(topic, str(number).encode(), key=str(number % 8).encode())
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest")
    seen: dict[bytes, list[int]] = {}
    async with consumer, asyncio.timeout(20):
        while sum(map(len, seen.values())) < 200:
            record = await consumer.getone()
            seen.setdefault(record.key, []).append(int(record.value))
    assert seen == {str(k).encode(): list(range(k, 200, 8)) for k in range(8)}


async def test_every_start_of_the_broker_is_another_cluster(tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        server = servers.broker(free_port())
        child = servers.start(server, tmp_path)
        try:
            admin = AIOKafkaAdminClient(bootstrap_servers=server.address)
            await admin.start()
            ids.append((await admin.describe_cluster())["cluster_id"])
            await admin.close()
        finally:
            child.stop(server.stop_grace)
    assert ids[0] and ids[1] and ids[0] != ids[1]


def test_redis_keeps_what_it_has_written_to_its_file_over_a_kill(tmp_path: Path) -> None:
    server = servers.redis(free_port(), tmp_path / "data")
    child = servers.start(server, tmp_path)
    with redis.Redis.from_url(server.address) as client:
        client.set("views", 41)
        client.incr("views")
        # While a sync waits for a slow disk, acknowledged writes are held back, for two seconds at most;
        # a kill at that moment loses them.
        written = wait_until(
            time.monotonic() + 10, lambda: client.info("persistence")["aof_buffer_length"] == 0, child
        )
        assert written
    child.kill()
    child = servers.start(server, tmp_path)
    try:
        with redis.Redis.from_url(server.address, decode_responses=True) as client:
            assert client.get("views") == "42"
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
    finally:
        child.stop(server.stop_grace)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    blocked = servers.redis(free_port(), tmp_path / "data")
    first = servers.start(blocked, tmp_path)
    try:
        with pytest.raises(servers.StartError, match=r"(?s)ended with exit code 1.*bind"):
            servers.start(
                servers.Server("second", blocked.address, blocked.command, ready=lambda: False), tmp_path
            )
    finally:
        first.stop(5)


def test_a_server_that_never_answers_is_given_up_and_ended(tmp_path: Path) -> None:
    silent = servers.Server(
        "silent", "nowhere", (sys.executable, "-c", "import time; time.sleep(60)"), lambda: False
    )
    with pytest.raises(servers.StartError, match="did not answer within 0.5 s"):
        servers.start(silent, tmp_path, timeout=0.5)
    assert not [p for p in psutil.Process().children() if "time.sleep(60)" in " ".join(p.cmdline())]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_servers_end_with_their_parent_however_it_dies(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from deploy.embedded import servers; from deploy.embedded.ports import free_port\n"
        f"tmp = Path({str(tmp_path)!r})\n"
        "for s in (servers.broker(free_port()), servers.redis(free_port(), tmp / 'r'),"
        " servers.clickhouse(free_port(), tmp / 'c')):\n"
        "    print(servers.start(s, tmp).pid, flush=True)\n"
        "print('up', flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **module_environment()},
    )
    assert parent.stdout is not None
    pids = [int(line) for line in iter(parent.stdout.readline, "up\n")]
    assert len(pids) == 3
    assert all(psutil.pid_exists(pid) for pid in pids)
    parent.send_signal(number)
    parent.wait(10)
    parent.stdout.close()
    assert left_after({str(pid): pid for pid in pids}) == {}
