"""`vca up --broker kafka` keeps its log: after a stop or a kill and a restart, counting continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.embedded.kafka import jars
from deploy.embedded.ports import free_port
from deploy.embedded.process import module_environment
from tests.conftest import Stack
from tests.e2e.platform import platform
from tests.oracle.log import PLAYBACK, Record
from tests.pipeline.bench import view
from tests.servers.processes import left_after

_VIEWS = 200
_EVENTS_OF_A_VIEW = 6
pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(jars.missing() is not None, reason=str(jars.missing())),
    pytest.mark.timeout(400),
]


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """Apache Kafka, stores, worker and API as a person starts them."""
    arguments = ("--broker", "kafka", "--api-port", str(free_port()))
    stack = Stack(tmp_path / ".run", arguments, {"SESSION_TIMEOUT": "3", "REBALANCE_TIMEOUT": "3"})
    yield stack
    stack.stop()


def _views(name: str) -> list[Record]:
    now = int(time.time() * 1000) - 60_000
    return [
        Record(PLAYBACK, event["viewId"].encode(), msgspec.json.encode(event), event["occurredAt"] + 20)
        for n in range(_VIEWS)
        for event in view(f"{name}-{n}", now)
    ]


def _killed(stack: Stack) -> None:
    """Kill the supervisor, which ends everything at once."""
    pids = stack.pids()
    stack.kill("supervisor", signal.SIGKILL)
    assert left_after(pids, 30) == {}


async def test_a_log_on_disk_is_gone_on_with_after_a_stop_and_after_a_kill(own_stack: Stack) -> None:
    own_stack.start(120)
    ends: dict[tuple[str, int], int] = {}
    stops: list[Callable[[], object]] = [own_stack.stop, lambda: _killed(own_stack), own_stack.stop]
    for sent, stop in enumerate(stops, 1):
        async with platform(own_stack.endpoints) as running:
            running.ends = ends
            await running.send(_views(f"half-{sent}"))
            await running.caught_up(120)
            # Some of these are processed before the stop, the others after the restart.
            await running.send(_views(f"rest-{sent}"))
            ends = running.ends
        stop()
        own_stack.start(120)
        async with platform(own_stack.endpoints) as running:
            running.ends = ends
            await running.caught_up(120)
            assert running.stored()[PLAYBACK] == sum(ends.values()) == 2 * sent * _VIEWS * _EVENTS_OF_A_VIEW
            rolled_up = "SELECT sum(views), sum(watched_ms) FROM video_15m"
            assert running.select(rolled_up) == [(2 * sent * _VIEWS, 2 * sent * _VIEWS * 4_000)]
            live = await running.ask("/analytics/videos/vid", period="1h")
            assert live.data["views"]["total"] == 2 * sent * _VIEWS
    done = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "verify", "--days", "0"],
        env={**os.environ, **own_stack.endpoints, **module_environment()},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
