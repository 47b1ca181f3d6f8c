"""The supervisor itself, over processes that end as workers do: whom it starts again, and what it says."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from deploy.embedded import stack
from deploy.embedded.ports import free_port
from deploy.embedded.process import LOG_BYTES, wait_until
from deploy.embedded.rundir import RunDirectory
from deploy.embedded.screen import Screen
from deploy.embedded.stack import Options, Service
from deploy.embedded.supervisor import Supervisor, _Running
from streams.exit_codes import FAULT, REFUSED

#: Ends with a status the first time, once `other` is there, and runs on the second time.
_ENDS_ONCE = """
import pathlib, sys, time
starts, other, status = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
with starts.open("a") as file:
    file.write("started\\n")
while not other.exists():
    time.sleep(0.01)
if starts.read_text().count("started") == 1:
    print("CRITICAL the worker ends")
    sys.exit(status)
time.sleep(60)
"""
_ANSWERS = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


class Watched:
    """A supervisor in this thread, and what it has written so far."""

    def __init__(self, folder: Path, port: int) -> None:
        self.run_dir = RunDirectory(folder / ".run")
        self._text = io.StringIO()
        screen = Screen(Console(file=self._text, width=500))
        # Addresses of servers are given, so that it starts none.
        servers = {"KAFKA_BOOTSTRAP_SERVERS": "k:1", "REDIS_URL": "redis://r", "CLICKHOUSE_URL": "http://c"}
        self._supervisor = Supervisor(Options(servers, port), self.run_dir, screen)

    @property
    def console(self) -> str:
        return self._text.getvalue()

    @property
    def running(self) -> set[str]:
        found: dict[str, int] = json.loads(self.run_dir.pids_file.read_text())
        return found.keys() - {"supervisor"}

    def until(self, enough: Callable[[], Any], look: Callable[[], Any]) -> Any:
        """Run until `enough` holds, or for twenty seconds; return what a `look` then saw."""
        seen: list[Any] = []

        def watch() -> None:
            wait_until(time.monotonic() + 20, lambda: bool(enough()), None)
            seen.append(look())
            os.kill(os.getpid(), signal.SIGTERM)

        watcher = threading.Thread(target=watch)
        watcher.start()
        assert self._supervisor.run() == 0
        watcher.join()
        return seen[0]


@pytest.fixture
def signals() -> Iterator[None]:
    """Give back the signals' handlers that the supervisor takes."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_with_too_many_dead_letters_stays_down_and_one_with_a_fault_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: None
) -> None:
    port = free_port()
    refused, faulty = tmp_path / "refused", tmp_path / "faulty"

    def ends(name: str, starts: Path, other: Path, status: int) -> Service:
        command = (sys.executable, "-c", _ENDS_ONCE, str(starts), str(other), str(status))
        return Service(name, command, stop_grace=5.0, stage=1)

    services = [
        # The second one ends when the first has begun, so its pause is over later.
        ends("worker-1", refused, refused, REFUSED),
        ends("worker-2", faulty, refused, FAULT),
        Service("api", (sys.executable, "-c", _ANSWERS, str(port)), stop_grace=5.0, stage=2),
    ]
    monkeypatch.setattr(stack, "check", lambda options: None)
    monkeypatch.setattr(stack, "prepare", lambda environment, logs: [])
    monkeypatch.setattr(stack, "services", lambda options, addresses, run: services)
    watched = Watched(tmp_path, port)
    # Of an earlier run.
    old = watched.run_dir.logs / "traffic.log"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.touch()
    os.truncate(old, LOG_BYTES + 1)

    def runs_again() -> bool:
        started = faulty.exists() and faulty.read_text().count("started") == 2
        return started and "worker-2 runs again" in watched.console and "worker-2" in watched.running

    running = watched.until(runs_again, lambda: watched.running)

    said = watched.console
    assert f"worker-2 ended with exit code {FAULT}: starting it again in 1 s" in said
    assert "worker-2 runs again (pid " in said
    assert refused.read_text().count("started") == 1 and running == {"worker-2", "api"}
    assert said.count("worker-1 has stopped") == 1
    assert f"worker-1 has stopped because of too many dead letters (status {REFUSED})" in said
    assert str(watched.run_dir.logs / "worker-1.log") in said
    assert f"set -a; source {watched.run_dir.endpoints_file}; set +a; vca worker" in said
    assert old.stat().st_size == 0 and old.with_name("traffic.log.1").stat().st_size == LOG_BYTES + 1
    # What the worker itself had to say comes first.
    assert said.index("worker-1 | CRITICAL the worker ends") < said.index("worker-1 has stopped")


class LastWords:
    """A process that says a last word, and ends, just before somebody looks whether it has ended."""

    name, pid, log_start = "worker", 1, 0

    def __init__(self, folder: Path) -> None:
        self.log = folder / "worker.log"

    @property
    def exit_code(self) -> int:
        self.log.write_text("CRITICAL why it ends\n")
        return REFUSED

    def stop(self, grace: float) -> None:
        """Be gone already."""


def test_the_last_words_of_a_process_are_shown_before_its_end(tmp_path: Path) -> None:
    watched = Watched(tmp_path, free_port())
    watched.run_dir.logs.mkdir(parents=True)
    child: Any = LastWords(tmp_path)
    running = _Running(child, Service("worker", (), 1.0, 1), False)
    watched._supervisor._running.append(running)
    watched._supervisor._look_at(running, 0.0)
    said = watched.console
    assert said.index("worker | CRITICAL why it ends") < said.index("worker has stopped")


def test_a_process_gets_the_environment_that_is_its_own(tmp_path: Path) -> None:
    supervisor = Supervisor(Options(), RunDirectory(tmp_path), Screen(Console(file=io.StringIO())))
    tell = (sys.executable, "-c", "import os; print(os.environ['WORKER_METRICS_PORT'])")
    child = supervisor._spawn(Service("worker-2", tell, 1.0, 1, environment={"WORKER_METRICS_PORT": "9101"}))
    assert wait_until(time.monotonic() + 20, lambda: child.exit_code is not None, None)
    child.stop(0)
    assert child.tail() == "9101"
