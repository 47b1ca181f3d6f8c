"""The API and the host report themselves, through a broker. Through all of it: deploy/test_start.py."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from api import reporting
from api.metrics import REPORTS_DROPPED
from deploy.embedded.ports import free_port
from deploy.embedded.process import module_environment
from deploy.host_agent import probe, sample
from streams.domain.events import ApiRequest, HealthProbe, HostSample
from tests.audience.world import now_of
from tests.readings.stores import NOWHERE, serving

NOW = now_of("2050-11-20T08:07:41.250")


async def test_requests_are_reported_with_their_template(broker: str) -> None:
    topic = f"systems-{uuid4().hex[:8]}"
    async with AIOKafkaProducer(bootstrap_servers=broker) as producer:
        await producer.send_and_wait(topic, b"first")
    settings = NOWHERE | {"kafka_bootstrap_servers": broker, "topic_systems": topic, "store_patience": 0.2}
    async with serving(lambda: NOW, **settings) as api:
        await api.get("/analytics/videos/vid_1", period="7d")
        await api.get("/analytics/videos/vid_2", period="nonsense")
        await api.get("/nowhere/at/all")
        await api.get("/healthz")
        # While it runs: what is left when it ends has two seconds, which a busy machine may need to connect.
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=broker, auto_offset_reset="earliest")
        await consumer.start()
        try:
            records = [await asyncio.wait_for(consumer.getone(), 30) for _ in range(4)]
        finally:
            await consumer.stop()
    events = [
        msgspec.json.decode(record.value, type=ApiRequest) for record in records if record.value != b"first"
    ]
    assert [(event.endpoint, event.method, event.status) for event in events] == [
        ("/analytics/videos/{id}", "GET", 503),
        ("/analytics/videos/{id}", "GET", 400),
        ("unmatched", "GET", 404),
    ]
    assert len({event.event_id for event in events}) == 3
    assert {event.service for event in events} == {"analytics-api"}
    assert all(event.duration_ms > 0 for event in events)


async def test_without_kafka_answers_do_not_wait_and_what_does_not_fit_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "MAX_WAITING", 2)
    dropped = REPORTS_DROPPED._value.get()
    settings = NOWHERE | {"kafka_bootstrap_servers": f"127.0.0.1:{free_port()}"}
    async with serving(lambda: NOW, **settings) as api:
        began = time.monotonic()
        for _ in range(5):
            assert (await api.get("/nowhere")).status_code == 404
        assert time.monotonic() - began < 20
    assert REPORTS_DROPPED._value.get() - dropped == 3


def test_samples_are_events_as_the_contract_has_them() -> None:
    taken = msgspec.json.decode(json.dumps(sample(".", 1.5)), type=HostSample)
    assert 0 < taken.memory_used_bytes < taken.memory_total_bytes
    assert 0 < taken.storage_used_bytes <= taken.storage_total_bytes
    down = probe(f"http://127.0.0.1:{free_port()}", 1.5)
    assert msgspec.json.decode(json.dumps(down), type=HealthProbe).ok is False


@contextmanager
def _dawdling_api() -> Iterator[tuple[str, threading.Event]]:
    """Serve an API whose answer never ends; yield its address, and whether it was asked."""
    asked = threading.Event()

    def answer(server: socket.socket) -> None:
        with suppress(OSError), server.accept()[0] as client:
            asked.set()
            client.sendall(b"HTTP/1.1 200 OK\r\nName: ")
            while True:
                client.sendall(b"x")
                time.sleep(0.5)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked


def test_an_agent_ends_when_told_although_the_api_answers_too_slowly(broker: str, tmp_path: Path) -> None:
    with _dawdling_api() as (url, asked):
        variables = {"KAFKA_BOOTSTRAP_SERVERS": broker, "API_URL": url}
        command = [sys.executable, "-m", "deploy.cli", "agent", "--every", "1"]
        agent = subprocess.Popen(command, env={**os.environ, **module_environment(), **variables})
        try:
            assert asked.wait(60)
            agent.terminate()
            assert agent.wait(30) == 0
        finally:
            agent.kill()
            agent.wait()
