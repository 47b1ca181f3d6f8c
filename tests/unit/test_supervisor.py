"""The parts of the supervisor that decide: restarts, what the console shows, the run folder, ports."""

from __future__ import annotations

import io
import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import proxy_bypass

import psutil
import pytest
from clickhouse_connect.driver.httputil import check_env_proxy
from rich.console import Console

from deploy.embedded import stack
from deploy.embedded.growth import Growth
from deploy.embedded.logtail import LogTail
from deploy.embedded.ports import free_port, is_free
from deploy.embedded.process import Child, bound_log, describe_exit, module_environment, wait_until
from deploy.embedded.restarts import Restarts
from deploy.embedded.rundir import AlreadyRunningError, RunDirectory
from deploy.embedded.screen import Screen
from deploy.embedded.servers import Server, StartError, clickhouse_ping, without_password


def test_the_pause_doubles_up_to_its_longest() -> None:
    restarts = Restarts(first=1, longest=30, healthy=60)
    pauses = [restarts.ended(started=at, now=at + 1) for at in range(0, 70, 10)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_healthy_run_starts_the_pauses_over() -> None:
    restarts = Restarts(first=1, longest=30, healthy=60)
    for at in (0.0, 10.0, 20.0):
        restarts.ended(started=at, now=at + 5)
    assert restarts.ended(started=30.0, now=90.0) == 1
    assert restarts.ended(started=92.0, now=93.0) == 2


def test_one_that_fails_all_night_is_still_started_again() -> None:
    restarts, now = Restarts(), 0.0
    for _ in range(2_000):
        now += restarts.ended(now, now)
    assert restarts.ended(now, now) == 30


def test_a_restart_is_due_once_after_its_pause() -> None:
    restarts = Restarts(first=2)
    assert not restarts.is_due(0)
    restarts.ended(started=0, now=10)
    assert not restarts.is_due(11.9)
    assert restarts.is_due(12)
    assert not restarts.is_due(13)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "worker.log"
    path.write_text("from an earlier run: ERROR\n")
    return path


def test_the_console_shows_warnings_errors_and_the_last_line_of_a_traceback(log: Path) -> None:
    tail = LogTail(log, log.stat().st_size, everything=False)
    with log.open("a") as file:
        file.write(
            "INFO all is well\n[warning  ] slow\n2026 ERROR broken\nTraceback (most recent call last):\n"
            '  File "x.py", line 1, in error\n    raise error\n\nValueError: no\nINFO errors_total 3\n'
        )
    assert tail.read() == ["[warning  ] slow", "2026 ERROR broken", "ValueError: no"]
    assert tail.read() == []


def test_a_line_is_shown_when_its_end_has_been_written(log: Path) -> None:
    tail = LogTail(log, log.stat().st_size, everything=True)
    with log.open("a") as file:
        file.write("first\nsec")
    assert tail.read() == ["first"]
    with log.open("a") as file:
        file.write("ond\n")
    assert tail.read() == ["second"]


def test_a_flood_is_cut_and_says_where_the_rest_is(log: Path) -> None:
    tail = LogTail(log, log.stat().st_size, everything=False)
    with log.open("a") as file:
        file.writelines(f"ERROR {number}\n" for number in range(25))
    shown = tail.read()
    assert shown[:10] == [f"ERROR {number}" for number in range(10)]
    assert shown[10:] == [f"... 15 more lines in {log}"]


def test_what_would_move_the_cursor_of_the_console_is_left_out(log: Path) -> None:
    tail = LogTail(log, log.stat().st_size, everything=True)
    with log.open("a") as file:
        file.write("\x1b[?25l\x1b[31mstarting\x1b[0m\n\x1b[?25h\r\n\x1b[2Kready\n")
    assert tail.read() == ["starting", "ready"]


def test_harmless_warnings_are_left_out(log: Path) -> None:
    tail = LogTail(log, log.stat().st_size, everything=False, harmless=("Memory overcommit",))
    with log.open("a") as file:
        file.write("# WARNING Memory overcommit must be enabled!\n# WARNING disk is full\n")
    assert tail.read() == ["# WARNING disk is full"]


def test_a_log_that_is_too_long_begins_anew_while_its_process_writes_on(tmp_path: Path) -> None:
    log, more = tmp_path / "worker.log", tmp_path / "more"
    code = (
        "import pathlib, sys, time\n"
        "print('x' * 5_000, flush=True)\n"
        "while not pathlib.Path(sys.argv[1]).exists():\n    time.sleep(0.01)\n"
        "print('after it', flush=True)\n"
        "time.sleep(60)"
    )
    child = Child("worker", [sys.executable, "-c", code, str(more)], log)
    try:
        tail = LogTail(log, 0, everything=True)
        assert wait_until(time.monotonic() + 20, lambda: log.stat().st_size > 5_000, child)
        assert len(tail.read()) == 1
        child.log_start = 4_000
        bound_log(log, 5_001)
        assert log.stat().st_size == 5_001, "it is not too long yet"
        bound_log(log, 5_000)
        assert log.stat().st_size == 0 and (tmp_path / "worker.log.1").stat().st_size == 5_001
        more.touch()
        assert wait_until(time.monotonic() + 20, lambda: log.stat().st_size > 0, child)
        assert tail.read() == [child.tail()] == ["after it"]
        assert log.read_bytes() == b"after it\n", "nothing was left out before it"
    finally:
        child.stop(0)


def test_a_second_supervisor_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from deploy.embedded.rundir import RunDirectory\n"
        f"with RunDirectory(Path({str(tmp_path)!r})).locked():\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **module_environment()},
    ) as first:
        assert first.stdout is not None
        assert first.stdin is not None
        assert first.stdout.readline() == "locked\n"
        run = RunDirectory(tmp_path)
        assert run.holder() == first.pid
        with pytest.raises(AlreadyRunningError, match=rf"pid {first.pid}\b"), run.locked():
            pass
        first.kill()
    assert run.holder() is None
    with run.locked():
        pass


def test_what_names_processes_goes_and_what_they_made_stays(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    with run.locked():
        key = run.api_key()
        run.write_pids({"api": 1})
        run.write_endpoints({"API_URL": "http://127.0.0.1:1", "API_KEY": key})
        assert run.endpoints_file.read_text() == f"API_URL=http://127.0.0.1:1\nAPI_KEY={key}\n"
        assert stat.S_IMODE(run.endpoints_file.stat().st_mode) == 0o600
    assert not run.pids_file.exists()
    assert not run.endpoints_file.exists()
    assert RunDirectory(tmp_path).api_key() == key


def test_the_key_is_long_random_and_only_its_owners_to_read(tmp_path: Path) -> None:
    keys = {RunDirectory(tmp_path / name).api_key() for name in "abc"}
    assert len(keys) == 3
    assert all(key.startswith("vca_") and len(key) >= 32 for key in keys)
    assert stat.S_IMODE((tmp_path / "a" / "api_key").stat().st_mode) == 0o600


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Listen on a port, as a server does: connections that a server before had are no hindrance."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield


def test_a_port_stays_the_same_while_it_is_free(tmp_path: Path) -> None:
    first = RunDirectory(tmp_path).port("redis")
    assert RunDirectory(tmp_path).port("redis") == first
    with listening(first):
        assert not is_free(first)
        other = RunDirectory(tmp_path).port("redis")
    assert other != first
    assert RunDirectory(tmp_path).port("redis") == other


def test_a_wanted_port_is_taken_if_it_is_free() -> None:
    port = free_port()
    assert free_port(port) == port
    with listening(port):
        assert free_port(port) != port


def test_a_given_server_that_does_not_answer_is_named_without_its_password() -> None:
    address = f"redis://user:secret@127.0.0.1:{free_port()}/0"
    with pytest.raises(StartError) as failure:
        stack.check(stack.Options(external={"REDIS_URL": address}))
    assert "no Redis answers at REDIS_URL=redis://user:***@" in str(failure.value)
    assert "unset REDIS_URL" in str(failure.value)
    assert "secret" not in str(failure.value)


@pytest.mark.parametrize("exempt", [{}, {"no_proxy": "a.test"}, {"NO_PROXY": "a.test"}, {"NO_PROXY": "*"}])
def test_a_proxy_for_other_hosts_is_asked_for_none_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, exempt: dict[str, str]
) -> None:
    for name in ("no_proxy", "NO_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    given = {"HTTP_PROXY": "http://proxy.test:3128"} | exempt
    for name, value in (given | stack.unproxied(given)).items():
        monkeypatch.setenv(name, value)
    for host in ("127.0.0.1", "localhost", *(["a.test"] if exempt else [])):
        assert proxy_bypass(host), host
        assert check_env_proxy("http", host, 8123) is None
    everywhere = "*" in exempt.values()
    assert bool(proxy_bypass("b.test")) is everywhere
    assert (check_env_proxy("http", "b.test", 8123) is None) is everywhere


def test_addresses_of_the_folders_own_last_run_are_not_taken_for_servers_of_others(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    ports = {name: run.port(name) for name in ("broker", "redis", "clickhouse")}
    last = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['broker']}",
        "REDIS_URL": f"redis://127.0.0.1:{ports['redis']}/0",
        "CLICKHOUSE_URL": f"http://127.0.0.1:{ports['clickhouse']}/videocloud",
    }
    assert stack.external(last, run) == {}
    assert stack.external(last, RunDirectory(tmp_path / "another")) == last
    others = {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "CLICKHOUSE_URL": "", "HOME": "/"}
    assert stack.external(last | others, run) == {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
    with listening(ports["redis"]):
        assert stack.external(last, run) == {"REDIS_URL": last["REDIS_URL"]}


def test_settings_of_the_environment_win_over_the_stand_ins_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOPIC_PARTITIONS", "7")
    monkeypatch.delenv("SESSION_TIMEOUT", raising=False)
    server = Server("broker", "127.0.0.1:1", (), lambda: True)
    given = stack.environment({"REDIS_URL": "r"}, {"KAFKA_BOOTSTRAP_SERVERS": server})
    assert "TOPIC_PARTITIONS" not in given
    assert given["SESSION_TIMEOUT"] == "6"
    assert given["REDIS_URL"] == "r"
    assert "SESSION_TIMEOUT" not in stack.environment({}, {})


@pytest.mark.parametrize(
    ("url", "ping"),
    [
        ("http://127.0.0.1:8123/videocloud", "http://127.0.0.1:8123/ping"),
        ("https://user:pass@ch.example.com:8443/db?secure=true", "https://ch.example.com:8443/ping"),
        ("clickhouse://default:@localhost:8123/db", "http://localhost:8123/ping"),
        ("clickhouses://ch.example.com/db", "https://ch.example.com/ping"),
    ],
)
def test_the_ping_page_of_a_clickhouse_url(url: str, ping: str) -> None:
    assert clickhouse_ping(url) == ping


def test_passwords_are_masked_and_the_rest_is_left_alone() -> None:
    assert without_password("redis://:geheim@host:6379/0") == "redis://:***@host:6379/0"
    assert without_password("http://127.0.0.1:8123/videocloud") == "http://127.0.0.1:8123/videocloud"
    assert without_password("a:9092,b:9092") == "a:9092,b:9092"


def test_the_brokers_growth_is_said_at_two_gib_and_at_each_gib_after_that() -> None:
    gib = 1 << 30
    growth = Growth()
    said = [growth.notice(int(size * gib)) for size in (0.5, 1.99, 2.0, 2.5, 2.1, 4.2, 4.3, 1.0, 5.0)]
    assert [bool(text) for text in said] == [False, False, True, False, False, True, False, False, True]
    assert "4.2 GiB" in str(said[5])
    assert "KAFKA_BOOTSTRAP_SERVERS" in str(said[5])


def test_where_the_kernel_cannot_do_it_a_closed_pipe_ends_the_command() -> None:
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
    script = f"from deploy.embedded import guard; raise SystemExit(guard._watch({command!r}))"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **module_environment()},
    ) as guarded:
        assert guarded.stdout is not None
        assert guarded.stdin is not None
        pid = int(guarded.stdout.readline())
        assert psutil.pid_exists(pid)
        guarded.stdin.close()
        guarded.wait(10)
        assert not psutil.pid_exists(pid)


def test_a_command_that_does_not_exist_is_said_in_its_log(tmp_path: Path) -> None:
    child = Child("ghost", ["/no/such/program"], tmp_path / "ghost.log")
    assert wait_until(time.monotonic() + 10, lambda: child.exit_code is not None, None)
    child.stop(0)
    assert child.exit_code == 127
    assert "cannot run /no/such/program" in child.tail()


def test_an_end_is_described_in_words() -> None:
    assert describe_exit(3) == "ended with exit code 3"
    assert describe_exit(-9) == "was killed by SIGKILL"
    assert describe_exit(-250) == "was killed by signal 250"


def test_the_history_of_the_demo_is_sent_once_per_folder(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    addresses = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "API_URL": "http://127.0.0.1:2"}
    options = stack.Options(demo=True)

    def arguments() -> tuple[str, ...]:
        traffic = stack.services(options, addresses, run)[-1]
        assert traffic.name == "traffic"
        return traffic.command

    once = ("--history-once", str(tmp_path / "demo-history"))
    # Only the traffic itself knows when the history is sent.
    assert arguments()[-2:] == once
    assert arguments()[-2:] == once
    assert not (tmp_path / "demo-history").exists()


def test_workers_have_names_of_their_own(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    addresses = {"API_URL": "http://127.0.0.1:2"}
    names = [s.name for s in stack.services(stack.Options(workers=3), addresses, run)]
    assert names == ["worker-1", "worker-2", "worker-3", "api", "agent"]
    options = stack.Options(self_reporting=False)
    assert [s.name for s in stack.services(options, addresses, run)] == ["worker", "api"]
    assert os.listdir(tmp_path) == []


def test_each_worker_has_a_metrics_port_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ports(given: str, workers: int) -> list[str]:
        monkeypatch.setenv("WORKER_METRICS_PORT", given)
        found = stack.services(
            stack.Options(workers=workers), {"API_URL": "http://127.0.0.1:2"}, RunDirectory(tmp_path)
        )
        told = [{**os.environ, **each.environment}["WORKER_METRICS_PORT"] for each in found]
        assert set(told[workers:]) == {given}
        return told[:workers]

    assert ports("9100", 3) == ["9100", "9101", "9102"]
    assert ports("9100", 1) == ["9100"]
    assert ports("0", 2) == ["0", "0"]
    assert ports("", 2) == ["", ""]
    assert ports("65534", 2) == ["65534", "65535"]
    with pytest.raises(StartError, match="3 workers need the ports 65534 to 65536"):
        ports("65534", 3)
    with pytest.raises(StartError, match="3 workers need the ports 65534 to 65536"):
        stack.check(stack.Options(workers=3))


def test_a_taken_port_of_the_api_is_said_before_anything_starts() -> None:
    port = free_port()
    stack.check(stack.Options(api_port=port))
    with listening(port), pytest.raises(StartError, match=f"port {port} is in use: .*--api-port"):
        stack.check(stack.Options(api_port=port))


def test_the_line_for_the_shell_can_be_pasted_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "Ada's $HOME, new"
    folder.mkdir()
    (folder / "endpoints.env").write_text("API_URL=http://a\n")
    text = io.StringIO()
    endpoints = {"API_URL": "http://a", "API_KEY": "k", "CLICKHOUSE_URL": "http://c/videocloud"}
    Screen(Console(file=text, width=80)).ready([], endpoints, RunDirectory(folder))
    (line,) = re.findall("^ +shell  (.+)$", text.getvalue(), re.MULTILINE)
    shown = subprocess.run(["bash", "-c", f"{line}; printenv API_URL"], capture_output=True, text=True)
    assert (shown.stdout, shown.stderr) == ("http://a\n", "")
