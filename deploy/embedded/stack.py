"""The parts of a stack: its stand-in servers, its processes, and their environment."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deploy.embedded import probes, servers
from deploy.embedded.kafka import jars
from deploy.embedded.kafka.nodes import nodes
from deploy.embedded.ports import is_free
from deploy.embedded.process import Child, module_environment, wait_until
from deploy.embedded.rundir import RunDirectory
from deploy.embedded.servers import Server, StartError

DATABASE = "videocloud"
_ADDRESSES = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLICKHOUSE_URL")
#: Log text of the first client that asks a new Kafka for the coordinator of its group.
_FIRST_GROUP = ("GroupCoordinatorNotAvailable", "Marking the coordinator dead")
_STEP_TIMEOUT = 120.0
_METRICS_PORT = "WORKER_METRICS_PORT"
_LAST_PORT = 65_535
# The stand-in broker waits a whole rebalance timeout at the first join, and one laptop needs few partitions.
_EMBEDDED_BROKER = {"SESSION_TIMEOUT": "6", "REBALANCE_TIMEOUT": "6", "TOPIC_PARTITIONS": "4"}


@dataclass(frozen=True, slots=True)
class Options:
    """What to run. `external` maps variable names, such as CLICKHOUSE_URL, to addresses of real servers.

    `self_reporting` says whether an agent samples this host, `kafka` whether the broker is Apache Kafka.
    """

    external: Mapping[str, str] = field(default_factory=dict)
    api_port: int | None = None
    workers: int = 1
    demo: bool = False
    verbose: bool = False
    self_reporting: bool = True
    kafka: bool = False


@dataclass(frozen=True, slots=True)
class Service:
    """A process of the product.

    `restart` says whether it is started again when it ends. `talks` says that its whole log belongs on
    the console, but for lines that hold a text of `harmless`. `environment` is for this
    process alone.
    """

    name: str
    command: tuple[str, ...]
    stop_grace: float
    stage: int
    restart: bool = True
    talks: bool = False
    harmless: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def command_line(*arguments: str) -> tuple[str, ...]:
    """Return the command that runs `vca ARGUMENTS` with this Python."""
    return (sys.executable, "-m", "deploy.cli", *arguments)


def stand_ins(options: Options, run: RunDirectory) -> dict[str, Server]:
    """Describe the servers to start, by the environment name of their address, in their starting order."""
    makers: dict[str, Callable[[], Server]] = {
        "KAFKA_BOOTSTRAP_SERVERS": lambda: _broker(options, run),
        "REDIS_URL": lambda: servers.redis(run.port("redis"), run.path / "redis"),
        "CLICKHOUSE_URL": lambda: servers.clickhouse(run.port("clickhouse"), run.path / "clickhouse"),
    }
    return {name: make() for name, make in makers.items() if name not in options.external}


def _broker(options: Options, run: RunDirectory) -> Server:
    if not options.kafka:
        return servers.broker(run.port("broker"))
    ports = (run.port("broker"), run.port("kafka-controller"))
    return nodes(jars.fetch(), run.path / "kafka", [ports])[0]


def external(given: Mapping[str, str], run: RunDirectory) -> dict[str, str]:
    """Return the addresses of real servers among environment variables.

    A shell that has read the folder's `endpoints.env` still has the addresses of its own last run, where
    nobody listens now: they are no servers of others.
    """
    own = {
        f"127.0.0.1:{port}"
        for name, port in run.ports().items()
        if name in ("broker", "redis", "clickhouse") and is_free(port)
    }
    found = {name: given[name] for name in _ADDRESSES if given.get(name)}
    return {name: address for name, address in found.items() if _host(address) not in own}


def _host(address: str) -> str:
    return urlsplit(address).netloc if "://" in address else address


def check(options: Options) -> None:
    """Raise StartError for options with which the stack could not run, before anything is started."""
    _check_external(options.external)
    if options.api_port is not None and not is_free(options.api_port):
        raise StartError(f"port {options.api_port} is in use: choose another one with --api-port")
    _metrics_ports(options.workers)


def _check_external(external: Mapping[str, str]) -> None:
    """Raise StartError for the first given server that does not answer."""
    checks: dict[str, tuple[str, Callable[[str], bool]]] = {
        "KAFKA_BOOTSTRAP_SERVERS": ("Kafka broker", probes.port_answers),
        "REDIS_URL": ("Redis", probes.redis_answers),
        "CLICKHOUSE_URL": ("ClickHouse", lambda url: probes.http_answers(servers.clickhouse_ping(url))),
    }
    for name, address in external.items():
        what, answers = checks[name]
        if not answers(address):
            shown = servers.without_password(address)
            raise StartError(
                f"no {what} answers at {name}={shown}: start it, or unset {name} to use the stand-in"
            )


def endpoints(options: Options, run: RunDirectory, started: Mapping[str, Server]) -> dict[str, str]:
    """Return all addresses and the API's key, by environment name; choose the API's port."""
    port = options.api_port if options.api_port is not None else run.port("api", 8000)
    values = dict(options.external) | {name: server.address for name, server in started.items()}
    if "CLICKHOUSE_URL" in started:
        values["CLICKHOUSE_URL"] += f"/{DATABASE}"
    key = os.environ.get("API_KEY") or run.api_key()
    api = f"http://127.0.0.1:{port}"
    # The last two are the names that the SDKs read.
    own = {"API_URL": api, "API_KEY": key, "VIDEOCLOUD_BASE_URL": api, "VIDEOCLOUD_API_KEY": key}
    return {name: values[name] for name in _ADDRESSES} | own


def environment(addresses: Mapping[str, str], started: Mapping[str, Server]) -> dict[str, str]:
    """Return additional environment variables of the processes; those of this process take precedence."""
    defaults = _EMBEDDED_BROKER if "KAFKA_BOOTSTRAP_SERVERS" in started else {}
    chosen = {name: value for name, value in defaults.items() if name not in os.environ}
    return {**chosen, **addresses, **module_environment(), "PYTHONUNBUFFERED": "1"}


def unproxied(given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables with which clients ask no proxy for servers of this machine.

    `given` are those of this process, which may name a proxy for all other hosts.
    """
    # urllib heeds the first of them that is set, others only one of the two.
    exempt = given.get("no_proxy") or given.get("NO_PROXY") or ""
    exempt = exempt if exempt == "*" else ",".join(filter(None, (exempt, "127.0.0.1", "localhost")))
    return {"no_proxy": exempt, "NO_PROXY": exempt}


def prepare(given: Mapping[str, str], logs: Path) -> list[str]:
    """Run migrations and make topics, side by side; return the last line of each.

    Raise StartError, with what it said, when one fails.
    """
    steps = [Child(name, command_line(name), logs / f"{name}.log", given) for name in ("migrate", "topics")]
    deadline = time.monotonic() + _STEP_TIMEOUT
    try:
        said = []
        for step in steps:
            if not wait_until(deadline, lambda step=step: step.exit_code is not None, None):  # type: ignore[misc]
                raise StartError(f"`vca {step.name}` did not end within {_STEP_TIMEOUT:g} s: see {step.log}")
            if step.exit_code != 0:
                raise StartError(f"`vca {step.name}` failed:\n{step.tail()}")
            said += step.tail(1).splitlines()
        return said
    finally:
        for step in steps:
            step.stop(1.0)


def services(options: Options, addresses: Mapping[str, str], run: RunDirectory) -> list[Service]:
    """Describe worker, API, agent and traffic, in their starting order. Later stages are stopped first."""
    names = ["worker"] if options.workers == 1 else [f"worker-{n}" for n in range(1, options.workers + 1)]
    ports = _metrics_ports(options.workers)
    # With another broker, this line is informative.
    harmless = () if "KAFKA_BOOTSTRAP_SERVERS" in options.external else _FIRST_GROUP
    command = command_line("worker")
    found = [
        Service(name, command, stop_grace=20.0, stage=1, harmless=harmless, environment=own)
        for name, own in zip(names, ports, strict=True)
    ]
    port = addresses["API_URL"].rsplit(":", 1)[1]
    found.append(Service("api", command_line("api", "--port", port), stop_grace=10.0, stage=2))
    if options.self_reporting:
        agent = command_line("agent", "--folder", str(run.path))
        found.append(Service("agent", agent, stop_grace=5.0, stage=3))
    if options.demo:
        # Shows the progress of the history, but not the rate of live traffic every few seconds.
        quiet = ("live: ",)
        command = _traffic(addresses, run.path)
        found.append(Service("traffic", command, 10.0, 3, restart=False, talks=True, harmless=quiet))
    return found


def _metrics_ports(workers: int) -> list[dict[str, str]]:
    """Return each worker's environment: of several, the first has the given metrics port, others the next.

    Raise StartError when there are not so many ports.
    """
    first = os.environ.get(_METRICS_PORT, "")
    # Workers themselves say what is wrong with a port that is no number, and 0 means none.
    if workers == 1 or not first.isdecimal() or int(first) == 0:
        return [{}] * workers
    last = int(first) + workers - 1
    if last > _LAST_PORT:
        raise StartError(
            f"{workers} workers need the ports {first} to {last}: choose a lower {_METRICS_PORT}"
        )
    return [{_METRICS_PORT: str(port)} for port in range(int(first), last + 1)]


def _traffic(addresses: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Return the traffic command. A folder gets its history once: a second one would count on top of it."""
    once = ("--history-once", str(folder / "demo-history"))
    return command_line("traffic", "--bootstrap", addresses["KAFKA_BOOTSTRAP_SERVERS"], *once)
