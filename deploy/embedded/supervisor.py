"""Run the whole stack as one tree of processes: stand-in servers, worker, API and, if asked, traffic.

Servers are started first and stopped last. A worker or API that ends is started again with a growing pause.
A server that ends takes everything down, because starting it again would not bring back what it held: the
stand-in broker's log is in its memory. Whatever happens to this process, its children end with it
(`guard`).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

import psutil

from deploy.embedded import probes, servers, stack
from deploy.embedded.growth import Growth
from deploy.embedded.kafka import jars
from deploy.embedded.logtail import LogTail
from deploy.embedded.process import Child, bound_log, describe_exit, wait_until
from deploy.embedded.restarts import Restarts
from deploy.embedded.rundir import RunDirectory
from deploy.embedded.screen import Screen
from deploy.embedded.servers import Server, StartError
from deploy.embedded.stack import Options, Service
from streams.exit_codes import REFUSED

_TICK = 0.2
# On a busy machine, with nothing compiled yet, it needed 34 s. One that has ended is not waited for.
_API_TIMEOUT = 120.0
_SIZES_EVERY = 10.0


class _Running:
    """A supervised process: a server (stage 0) or a service of the product."""

    def __init__(self, child: Child, what: Server | Service, show_all: bool) -> None:
        self.child = child
        self.what = what
        self.stage = what.stage if isinstance(what, Service) else 0
        self.started = time.monotonic()
        self.restarts = Restarts()
        harmless = () if show_all else what.harmless
        self.tail = LogTail(child.log, child.log_start, show_all or what.talks, harmless)


class Supervisor:
    """One run of the stack in one folder. `run` blocks until it ends; call it from the main thread."""

    def __init__(self, options: Options, run: RunDirectory, screen: Screen) -> None:
        """Take the plan, the folder and the screen; nothing is started yet."""
        self._options = options
        self._run = run
        self._screen = screen
        self._running: list[_Running] = []
        self._environment: dict[str, str] = {}
        self._sizes_looked = 0.0
        self._growth = Growth()

    def run(self) -> int:
        """Start everything, watch it until Ctrl-C or SIGTERM, stop it; return the exit code.

        Raise AlreadyRunningError when another supervisor holds the folder.
        """
        with self._run.locked():
            for number in (signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _interrupt)
            try:
                self._start()
                self._watch()
            except (StartError, servers.ServerMissingError) as error:
                self._screen.fail(str(error))
                return 1
            except KeyboardInterrupt:
                return 0
            finally:
                self._stop()

    def _start(self) -> None:
        begun = time.monotonic()
        stack.check(self._options)
        if self._options.kafka and not jars.folder().exists() and jars.missing() is None:
            self._screen.say(f"Fetching Apache Kafka {jars.VERSION} with Maven (44 MB, once)")
        started = stack.stand_ins(self._options, self._run)
        for server in started.values():
            self._screen.say(f"Starting {server.name} at {server.address}")
            child = servers.start(server, self._run.logs)
            self._running.append(_Running(child, server, self._options.verbose))
            self._write_pids()
        addresses = stack.endpoints(self._options, self._run, started)
        self._environment = stack.environment(addresses, started)
        for line in stack.prepare(self._environment, self._run.logs):
            self._screen.say(line)
        for service in stack.services(self._options, addresses, self._run):
            self._screen.say(f"Starting {service.name}")
            self._running.append(_Running(self._spawn(service), service, self._options.verbose))
        self._await_api(addresses["API_URL"])
        self._run.write_endpoints(addresses)
        self._write_pids()
        rows = _table(addresses, started, self._running, time.monotonic() - begun, self._options.kafka)
        self._screen.ready(rows, addresses, self._run)

    def _spawn(self, service: Service) -> Child:
        log = self._run.logs / f"{service.name}.log"
        return Child(service.name, service.command, log, {**self._environment, **service.environment})

    def _await_api(self, url: str) -> None:
        child = next(r.child for r in self._running if r.child.name == "api")
        deadline = time.monotonic() + _API_TIMEOUT
        if wait_until(deadline, lambda: probes.http_answers(f"{url}/healthz"), child):
            return
        code = child.exit_code
        ended = f"did not answer at {url} in time" if code is None else f"{describe_exit(code)}"
        raise StartError(f"api {ended}. The end of {child.log}:\n{child.tail()}")

    def _write_pids(self) -> None:
        pids = {r.child.name: r.child.pid for r in self._running if r.child.exit_code is None}
        self._run.write_pids({"supervisor": os.getpid(), **pids})

    def _watch(self) -> NoReturn:
        """Supervise the processes until interrupted; raise StartError when a server has ended."""
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            for running in list(self._running):
                self._look_at(running, now)
            if now - self._sizes_looked >= _SIZES_EVERY:
                self._sizes_looked = now
                self._look_at_memory()
                for log in self._run.logs.glob("*.log"):
                    bound_log(log)

    def _look_at(self, running: _Running, now: float) -> None:
        # Asked first: all that an ended process had to say is then in its log.
        code = running.child.exit_code
        self._show(running)
        if code is not None:
            self._ended(running, code, now)

    def _show(self, running: _Running) -> None:
        for line in running.tail.read():
            self._screen.line(running.child.name, line)

    def _ended(self, running: _Running, code: int, now: float) -> None:
        """Handle a process that is not running: fail, wait for its pause, restart it, or leave it stopped."""
        child, what = running.child, running.what
        if isinstance(what, Server):
            text = f"{child.name} {describe_exit(code)}, so everything stops. The end of {child.log}:"
            raise StartError(f"{text}\n{child.tail()}")
        if not what.restart:
            end = "is done" if code == 0 else f"{describe_exit(code)}: see {child.log}"
            self._screen.say(f"{child.name} {end}")
            self._let_go(running)
        elif code == REFUSED:
            self._screen.fail(
                f"{child.name} has stopped because of too many dead letters (status {REFUSED}) and is not"
                f" restarted; its records wait in Kafka. The end of {child.log} says which they are and how"
                f" to continue. Then, in another shell: {self._run.load_endpoints}; vca worker"
            )
            self._let_go(running)
        elif running.restarts.due is None:
            pause = running.restarts.ended(running.started, now)
            text = f"{child.name} {describe_exit(code)}: starting it again in {pause:g} s"
            self._screen.warn(f"{text} ({child.log})")
        elif running.restarts.is_due(now):
            child.stop(0)
            running.child, running.started = self._spawn(what), now
            self._write_pids()
            self._screen.warn(f"{child.name} runs again (pid {running.child.pid})")

    def _let_go(self, running: _Running) -> None:
        running.child.stop(0)
        self._running.remove(running)
        self._write_pids()

    def _look_at_memory(self) -> None:
        if self._options.kafka:
            return  # It keeps its records on disk.
        for running in self._running:
            if running.child.name == "broker":
                with suppress(psutil.Error):
                    size = psutil.Process(running.child.pid).memory_info().rss
                    if warning := self._growth.notice(size):
                        self._screen.warn(warning)

    def _stop(self) -> None:
        """Stop all processes, later stages first; a second Ctrl-C kills the remaining ones at once."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._hurry)
        if self._running:
            self._screen.say("Stopping; press Ctrl-C again to stop at once")
        while self._running:
            stage = max(r.stage for r in self._running)
            # Servers (stage 0) one by one, last started first; the services of a stage together.
            group = [r for r in self._running if r.stage == stage] if stage else [self._running[-1]]
            for running in group:
                running.child.terminate()
            for running in group:
                running.child.stop(running.what.stop_grace)
                self._running.remove(running)
                self._show(running)

    def _hurry(self, number: int, frame: object) -> None:
        for running in self._running:
            with suppress(ProcessLookupError):
                os.kill(running.child.pid, signal.SIGKILL)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _table(
    addresses: Mapping[str, str],
    started: Mapping[str, Server],
    running: list[_Running],
    seconds: float,
    kafka: bool,
) -> list[tuple[str, str, str]]:
    """Return the rows of the table that `up` shows: service, address, note."""
    notes = {
        "KAFKA_BOOTSTRAP_SERVERS": (
            "Kafka",
            f"Apache Kafka {jars.VERSION}, on disk" if kafka else "stand-in broker, in memory",
        ),
        "REDIS_URL": ("Redis", "append-only file"),
        "CLICKHOUSE_URL": ("ClickHouse", "chDB, on disk"),
    }
    rows = []
    for name, (what, note) in notes.items():
        shown = servers.without_password(addresses[name])
        rows.append((what, shown, note if name in started else "yours"))
    workers = [r.child for r in running if r.child.name.startswith("worker")]
    rows.append(("Worker", ", ".join(f"pid {child.pid}" for child in workers), ""))
    rows.append(("API", addresses["API_URL"], f"ready after {seconds:.1f} s"))
    return rows
