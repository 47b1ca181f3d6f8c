"""`vca up` as a person runs it: start, look, kill parts, stop, start again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import psutil
import pytest
import redis

from deploy.embedded.probes import http_answers, kafka_answers, redis_answers
from deploy.embedded.process import module_environment, wait_until
from deploy.embedded.servers import clickhouse_ping
from tests.servers.given import given
from tests.servers.processes import alive, left_after

if TYPE_CHECKING:
    from tests.conftest import Stack

NAMES = {"supervisor", "broker", "redis", "clickhouse", "worker", "api"}


pytestmark = pytest.mark.skipif(
    any(given(name) for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLICKHOUSE_URL")),
    reason="about stand-ins, and real servers are given",
)


@pytest.fixture
def own_stack(stack: Stack) -> Stack:
    """A stack that the test may end: it is started again, in the same folder, for the next one."""
    if stack.up is None or stack.up.exit_code is not None:
        stack.start()
    return stack


def _sql(url: str, sql: str) -> str:
    base = url.rsplit("/", 1)[0]
    with urllib.request.urlopen(f"{base}/?database=videocloud", sql.encode(), timeout=30) as answer:
        return str(answer.read().decode().strip())


def test_a_stack_answers_on_all_its_addresses_and_listens_to_this_machine_only(stack: Stack) -> None:
    found = stack.endpoints
    assert kafka_answers(found["KAFKA_BOOTSTRAP_SERVERS"])
    assert redis_answers(found["REDIS_URL"])
    assert http_answers(clickhouse_ping(found["CLICKHOUSE_URL"]))
    assert http_answers(f"{found['API_URL']}/healthz")
    assert found["API_KEY"].startswith("vca_")
    assert set(stack.pids()) == NAMES
    for pid in stack.pids().values():
        for listening in psutil.Process(pid).net_connections("inet"):
            if listening.status == psutil.CONN_LISTEN:
                assert listening.laddr.ip == "127.0.0.1"


@pytest.mark.parametrize("name", ["worker", "api"])
def test_a_process_of_the_product_that_dies_is_started_again(stack: Stack, name: str) -> None:
    old = stack.kill(name)
    new = stack.restarted(name, old)
    assert new != old
    assert alive(new)
    assert f"{name} was killed by SIGKILL: starting it again in 1 s" in stack.output.read_text()
    assert stack.up is not None and stack.up.exit_code is None


def test_a_second_up_is_told_of_the_first_and_down_stops_it_without_a_trace(own_stack: Stack) -> None:
    def vca(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.cli", *arguments, "--run-dir", str(own_stack.run_dir)],
            env={**os.environ, **module_environment()},
            capture_output=True,
            text=True,
            timeout=60,
        )

    pids = own_stack.pids()
    second = vca("up")
    assert second.returncode == 1
    assert f"already running in {own_stack.run_dir} (pid {pids['supervisor']})" in second.stderr
    assert own_stack.pids() == pids
    assert vca("down").returncode == 0
    assert left_after(pids, 1) == {}
    assert own_stack.stop() == 0
    assert not (own_stack.run_dir / "pids.json").exists()
    assert not (own_stack.run_dir / "endpoints.env").exists()


def test_data_and_addresses_survive_a_killed_supervisor_and_no_process_does(own_stack: Stack) -> None:
    before, pids = own_stack.endpoints, own_stack.pids()
    _sql(before["CLICKHOUSE_URL"], "CREATE TABLE kept (n UInt8) ENGINE = MergeTree ORDER BY n")
    _sql(before["CLICKHOUSE_URL"], "INSERT INTO kept VALUES (41), (42)")
    with redis.Redis.from_url(before["REDIS_URL"]) as client:
        client.set("kept", "yes")
        # Until Redis has handed it to the kernel, a kill may lose even what it acknowledged.
        assert wait_until(
            time.monotonic() + 10, lambda: client.info("persistence")["aof_buffer_length"] == 0, None
        )
    own_stack.kill("supervisor")
    assert left_after(pids) == {}
    own_stack.start()
    assert own_stack.endpoints == before
    assert _sql(before["CLICKHOUSE_URL"], "SELECT sum(n) FROM kept") == "83"
    with redis.Redis.from_url(before["REDIS_URL"]) as client:
        assert client.get("kept") == b"yes"


def test_a_server_that_dies_ends_everything_and_is_named(own_stack: Stack) -> None:
    pids = own_stack.pids()
    own_stack.kill("clickhouse")
    assert left_after(pids, 40) == {}
    assert own_stack.stop() == 1
    assert "clickhouse was killed by SIGKILL, so everything stops." in own_stack.output.read_text()
