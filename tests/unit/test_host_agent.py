"""A host agent: a probe says that the API is not ready, whatever its port answers; no full disk ends it."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from deploy import host_agent
from deploy.embedded.ports import free_port
from deploy.host_agent import Options, probe
from tests.waiting import until


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False),
        (b"\x15\x03\x01\x00\x02\x02\x46", False),
        (b"", False),
    ],
    ids=["ready", "not ready", "another protocol", "nothing"],
)
def test_a_probe_tells_whether_the_api_is_ready_and_asks_no_proxy(
    answer: bytes, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    # That of earlier requests has not read this.
    monkeypatch.setattr("urllib.request._opener", None)
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            caller, _ = server.accept()
            with caller:
                caller.recv(65_536)
                caller.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        event = probe(f"http://127.0.0.1:{server.getsockname()[1]}", 1.0)
        thread.join()
    assert event["ok"] is ok


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this machine has no /dev/full")
async def test_an_agent_that_can_tell_nobody_that_kafka_is_away_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = Options(
        {"bootstrap_servers": f"127.0.0.1:{free_port()}"}, "system.events", None, ".", 0.01, "host"
    )
    monkeypatch.setattr(host_agent, "_RETRY_SECONDS", 0.01)
    tries = list[Any]()

    class Counted(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka is not typed here
        async def start(self) -> None:
            tries.append(self)
            await super().start()

    monkeypatch.setattr(host_agent, "AIOKafkaProducer", Counted)
    full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115  # closing it fails, too
    try:
        monkeypatch.setattr(sys, "stderr", full)
        working = asyncio.create_task(host_agent._work(options))
        await until(lambda: len(tries) > 2 or working.done())
        assert not working.done()
        while not working.done():  # aiokafka may swallow a cancellation
            working.cancel()
            await asyncio.wait({working}, timeout=0.1)
    finally:
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
