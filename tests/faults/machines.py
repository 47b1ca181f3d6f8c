"""The processes that faults hit: Kafka's nodes, Redis, ClickHouse, and a crew of workers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from deploy.embedded.process import Child, module_environment
from deploy.embedded.servers import Server

_START_SECONDS: Final = 60.0
_RESPAWN_SECONDS: Final = 0.1


class Machine:
    """One server, which can be killed, stopped, frozen and started again at the same address."""

    def __init__(self, server: Server, logs: Path) -> None:
        """Describe the server; `start` starts it."""
        self.server = server
        self._logs = logs
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Return the server's process id."""
        assert self._child is not None
        return self._child.pid

    @property
    def port(self) -> int:
        """Return the server's port."""
        return int(self.server.address.rsplit(":", 1)[1].split("/")[0])

    @property
    def runs(self) -> bool:
        """Say whether the server's process runs."""
        return self._child is not None and self._child.exit_code is None

    def launch(self) -> None:
        """Start the server's process."""
        server = self.server
        self._child = Child(
            server.name, server.command, self._logs / f"{server.name}.log", server.environment
        )

    async def start(self) -> None:
        """Start the server and return when it answers."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Wait until the server answers."""
        deadline = time.monotonic() + _START_SECONDS
        while not await asyncio.to_thread(self.server.ready):
            failure = self.failure()
            assert failure is None, f"{self.server.name} ended:\n{failure}"
            assert time.monotonic() < deadline, f"{self.server.name} does not answer in {_START_SECONDS:g} s"
            await asyncio.sleep(0.05)

    def failure(self) -> str | None:
        """Return the end of the server's log if the server has ended."""
        return None if self._child is None or self._child.exit_code is None else self._child.tail()

    def kill(self) -> None:
        """Kill the server with SIGKILL (`kill -9`)."""
        if self._child is not None:
            self._child.kill()

    def kill_soon(self) -> None:
        """Send SIGKILL and return at once; from any thread."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """End the server in order."""
        if self._child is not None:
            self._child.stop(self.server.stop_grace)


class Crew:
    """Workers, each restarted when it ends, as by a supervisor."""

    def __init__(self, environment: Mapping[str, str], logs: Path) -> None:
        """Keep the workers' environment and log folder; `hire` starts a worker."""
        self.environment = dict(environment)
        self._logs = logs
        self._workers: dict[int, Child] = {}
        self._next = 0
        self.endings: list[int] = []
        self._frozen: set[int] = set()
        self._resting = False

    def hire(self) -> int:
        """Start one more worker; return its number."""
        self._next += 1
        self._spawn(self._next)
        return self._next

    def _spawn(self, number: int) -> None:
        environment = {**self.environment, **module_environment(), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "tests.faults.saboteur"]
        self._workers[number] = Child(f"worker-{number}", command, self.log(number), environment)

    def log(self, number: int) -> Path:
        """Return a worker's log."""
        return self._logs / f"worker-{number}.log"

    @property
    def numbers(self) -> list[int]:
        """Return the numbers of the current workers."""
        return list(self._workers)

    def pid(self, number: int) -> int:
        """Return a worker's process id."""
        return self._workers[number].pid

    def send(self, number: int, what: signal.Signals) -> None:
        """Send a worker a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.pid(number), what)

    async def dismiss(self, number: int) -> None:
        """End a worker in order, and do not restart it."""
        child = self._workers.pop(number)
        child.terminate()
        deadline = time.monotonic() + 20
        while child.exit_code is None and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        assert child.exit_code is not None, f"worker {number} did not end on SIGTERM:\n{child.tail()}"
        child.stop(0)

    def rest(self) -> None:
        """Kill all workers, and start none until `resume`."""
        self._resting = True
        for child in self._workers.values():
            child.kill()

    def resume(self) -> None:
        """Start all workers."""
        self._resting = False

    async def supervise(self) -> None:
        """Restart workers that end, until cancelled."""
        while True:
            for number, child in list(self._workers.items()):
                if not self._resting and (code := child.exit_code) is not None:
                    child.stop(0)
                    self.endings.append(code)
                    self._spawn(number)
            await asyncio.sleep(_RESPAWN_SECONDS)

    def stop(self) -> None:
        """End all workers."""
        for child in self._workers.values():
            child.terminate()
        for child in self._workers.values():
            child.stop(10)
        self._workers.clear()
