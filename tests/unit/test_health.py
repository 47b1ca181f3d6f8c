"""What the worker says of its health, and what `vca check` makes of it."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from deploy.cli import app as cli
from deploy.direct import DIRECT
from deploy.embedded.ports import free_port
from streams.health import PATIENCE, Health, serve
from tests.ipv6 import IPV6

RUN = CliRunner()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def port(health: Health, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    number = free_port()
    server = serve(health, "127.0.0.1", number)
    monkeypatch.setenv("WORKER_METRICS_PORT", str(number))
    yield number
    server.shutdown()
    server.server_close()


def test_a_worker_that_starts_lives_and_is_not_ready(port: int) -> None:
    assert get(port, "/healthz") == (200, "ok\n")
    assert get(port, "/readyz") == (503, "the worker is starting\n")


def test_a_worker_is_ready_when_it_waits_for_nothing(health: Health, port: int) -> None:
    waits: list[str | None] = ["2 partitions wait for a store", None]
    health.watch(lambda: waits[0])
    health.beat()
    assert get(port, "/readyz") == (503, "2 partitions wait for a store\n")
    assert get(port, "/healthz")[0] == 200, "a store that is away is no reason to start it again"
    waits.pop(0)
    health.beat()
    assert get(port, "/readyz") == (200, "ok\n")


def test_a_worker_whose_event_loop_stands_still_is_to_be_started_again(
    health: Health, port: int, clock: Clock
) -> None:
    health.watch(lambda: None)
    health.beat()
    clock.now += PATIENCE
    assert get(port, "/healthz")[0] == 200
    clock.now += 1
    assert get(port, "/healthz") == get(port, "/readyz") == (503, "the event loop stands still for 31 s\n")


async def test_it_beats_in_the_event_loop(clock: Clock) -> None:
    seen = asyncio.Event()

    def look() -> str | None:
        seen.set()
        return None

    health = Health(clock)
    health.attach(asyncio.get_running_loop())
    health.watch(look)
    await asyncio.wait_for(seen.wait(), 30)
    assert health.readiness_problem() is None


async def test_a_check_that_fails_is_made_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.health._BEAT_SECONDS", 0.01)
    loop = asyncio.get_running_loop()
    complaints: list[str] = []
    loop.set_exception_handler(lambda _, context: complaints.append(str(context["exception"])))
    checks = iter([ValueError("a mistake")])
    again = asyncio.Event()

    def check() -> str | None:
        for error in checks:
            raise error
        again.set()
        return None

    health = Health(clock)
    health.attach(loop)
    health.watch(check)
    await asyncio.wait_for(again.wait(), 30)
    assert health.readiness_problem() is None
    assert complaints == ["a mistake"]


def test_metrics_are_beside_it_and_other_paths_are_told_where_to_look(port: int) -> None:
    status, text = get(port, "/metrics")
    assert status == 200 and "# TYPE python_info gauge" in text
    assert get(port, "/") == (404, "see /metrics, /healthz and /readyz\n")


def connections(port: int, sent: bytes, number: int = 10) -> list[socket.socket]:
    found = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(number)]
    for each in found:
        # It may be closed before this comes.
        with suppress(ConnectionError):
            each.sendall(sent)
    return found


def is_closed(connection: socket.socket) -> bool:
    """Wait until the other side closes it; that is a reset if it has not read all."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def answering() -> list[threading.Thread]:
    """Return the threads that answer requests after those that are about to end have ended."""
    threads = [each for each in threading.enumerate() if "process_request_thread" in each.name]
    for each in threads:
        each.join(5)
    return [each for each in threads if each.is_alive()]


@pytest.mark.parametrize("sent", [b"", b"GET /met"])
def test_connections_on_which_no_request_comes_are_closed(
    port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("streams.health._Quiet.timeout", 0.05)
    for silent in connections(port, sent):
        with silent:
            assert is_closed(silent)
    assert answering() == []
    assert capfd.readouterr().err == ""


def test_connections_that_are_reset_are_no_news(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for lost in connections(port, b"GET /met"):
        lost.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        lost.close()
    assert get(port, "/healthz")[0] == 200
    assert answering() == []
    assert capfd.readouterr().err == ""


def test_check_exits_by_what_the_worker_says(health: Health, port: int) -> None:
    result = RUN.invoke(cli, ["check", "worker"])
    assert result.exit_code == 1 and "the worker is not ready: the worker is starting" in result.stderr
    health.watch(lambda: None)
    health.beat()
    for arguments in (["check", "worker"], ["check", "--api-port", str(free_port())]):
        result = RUN.invoke(cli, arguments)
        assert (result.exit_code, result.stdout) == (0, "worker ready\n")


def test_check_asks_this_host_and_no_proxy_that_the_environment_names(
    health: Health, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker gives a container the proxy of its client's configuration."""
    health.watch(lambda: None)
    health.beat()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    # That of earlier requests has not read this.
    monkeypatch.setattr("urllib.request._opener", None)
    result = RUN.invoke(cli, ["check", "worker"])
    assert (result.exit_code, result.stdout) == (0, "worker ready\n"), result.stderr


def test_check_fails_when_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("WORKER_METRICS_PORT", "")
    result = RUN.invoke(cli, ["check", "--api-port", str(port)])
    assert (result.exit_code, result.stderr) == (1, f"error: nothing answers: api at 127.0.0.1:{port}\n")
    result = RUN.invoke(cli, ["check", "worker"])
    assert result.exit_code == 1 and "WORKER_METRICS_PORT" in result.stderr
    assert RUN.invoke(cli, ["check", "redis"]).exit_code == 2


def test_a_port_that_another_program_has_is_named_with_its_setting(health: Health, port: int) -> None:
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port} .*WORKER_METRICS_PORT.*in use"):
        serve(health, "127.0.0.1", port)


@IPV6
@pytest.mark.parametrize(("host", "asked"), [("::1", "[::1]"), ("::ffff:127.0.0.1", "127.0.0.1")])
def test_it_answers_on_an_address_of_ipv6(health: Health, host: str, asked: str) -> None:
    """The second one is IPv4 by another name: a socket has it only if it takes IPv4, too, as on `::`."""
    port = free_port()
    server = serve(health, host, port)
    try:
        with DIRECT.open(f"http://{asked}:{port}/healthz", timeout=5) as answer:
            assert answer.read() == b"ok\n"
    finally:
        server.shutdown()
        server.server_close()
