"""The command line: `vca up` and one command for each process of the product.

Heavy imports are inside the commands, so that help is quick and a command needs only its own libraries.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import typer
from rich.console import Console

from deploy.check import check
from deploy.explain import explain
from deploy.keys import keys
from deploy.operations.commands import operations
from deploy.terminal import printable, show_error
from deploy.traffic.command import traffic

_STOP_TIMEOUT = 60.0
_console = Console()
_errors = Console(stderr=True)

app = typer.Typer(
    name="vca",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    help=(
        "VideoCloud Analytics: real-time analytics for a video platform.\n\n"
        "[bold]vca up --demo[/] starts everything on this machine with sample traffic. The other commands "
        "run one part each; KAFKA_BOOTSTRAP_SERVERS, REDIS_URL and CLICKHOUSE_URL set the servers' addresses."
    ),
)
RunDir = Annotated[Path, typer.Option(help="Folder of data, logs, addresses and the lock.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        _console.print(f"vca {version('videocloud-analytics')}", highlight=False)
        raise typer.Exit


@app.callback()
def _common(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", envvar="VCA_DEBUG", help="Show where an error came from.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    if verbose:
        os.environ["VCA_DEBUG"] = "1"


@app.command()
def up(
    run_dir: RunDir = Path(".run"),
    api_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port of the API.", show_default="8000, else a free one"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 1,
    broker: Annotated[
        Literal["stand-in", "kafka"],
        typer.Option(
            help="Stand-in in memory, or Apache Kafka with its log on disk (needs Java 17 and Maven)."
        ),
    ] = "stand-in",
    demo: Annotated[
        bool, typer.Option("--demo", help="Send sample traffic: thirty days of history, then live.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show all log lines, not only warnings and errors.")
    ] = False,
) -> None:
    """Start everything on this machine: broker, Redis, ClickHouse, worker, API.

    If the environment sets a server's address (KAFKA_BOOTSTRAP_SERVERS,
    REDIS_URL, CLICKHOUSE_URL), that server is used. The others are stand-ins
    on free ports of 127.0.0.1.

    Ctrl-C stops everything in order. The data of Redis and ClickHouse stay in
    the run folder. The stand-in broker keeps its records in memory and loses
    them when it stops; with `--broker kafka` they stay, too.

    The API reports its requests, and an agent reports this host, as system
    events; SELF_REPORTING=false disables both.

    While it runs, RUN_DIR/endpoints.env holds all addresses and the API key.
    """
    from deploy.embedded.rundir import AlreadyRunningError, RunDirectory
    from deploy.embedded.screen import Screen
    from deploy.embedded.stack import Options, external, unproxied
    from deploy.embedded.supervisor import Supervisor

    os.environ.setdefault("EXPORT_DIR", str(run_dir / "exports"))
    os.environ.update(unproxied(os.environ))
    # The API reads the same variable.
    reporting = os.environ.get("SELF_REPORTING", "").lower() not in {"0", "false", "no", "off"}
    try:
        run = RunDirectory(run_dir)
    except OSError as error:
        _fail(f"{run_dir} cannot be the run folder ({error.strerror}): choose another --run-dir")
    given = external(os.environ, run)
    options = Options(given, api_port, workers, demo, verbose, reporting, broker == "kafka")
    try:
        code = Supervisor(options, run, Screen(_console)).run()
    except AlreadyRunningError as error:
        _fail(f"{error}: stop that one with Ctrl-C or `vca down`, or choose another --run-dir")
    raise typer.Exit(code)


@app.command()
def down(run_dir: RunDir = Path(".run")) -> None:
    """Stop the `vca up` that runs in a folder, and wait until it has ended."""
    from deploy.embedded.rundir import RunDirectory

    if not run_dir.is_dir():
        _fail(f"nothing runs in {run_dir}: there is no such folder")
    run = RunDirectory(run_dir)
    pid = run.holder()
    if not pid:
        _console.print(f"nothing runs in {printable(str(run_dir))}", highlight=False, soft_wrap=True)
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while run.holder() == pid:
        if time.monotonic() > deadline:
            _fail(f"pid {pid} did not end within {_STOP_TIMEOUT:g} s: end it with `kill -9 {pid}`")
        time.sleep(0.1)
    _console.print(f"stopped (pid {pid})", highlight=False)


@app.command()
def worker() -> None:
    """Run a worker: read events from Kafka, count them into Redis and ClickHouse.

    SIGTERM and Ctrl-C shut it down in order. Any number of workers may run, up
    to the number of partitions; when a worker dies, the others take over its
    partitions, and no event is lost or counted twice.

    After exit status 70, restart the worker; it recovers. After exit status
    65, investigate first: too many records were rejected (DEAD_LETTER_SHARE).
    Settings are environment variables: docs/configuration.md.
    """
    from streams.app import run_worker
    from streams.settings import Settings

    raise typer.Exit(run_worker(Settings()))


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 or :: for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Number of API processes.")] = 1,
) -> None:
    """Run the read API. Its documentation is at /docs.

    Set API_KEY, or REQUIRE_KEY and `vca keys`: otherwise everyone who can
    reach the port may read. Settings are environment variables:
    docs/configuration.md.
    """
    from api.settings import Settings
    from deploy.serving import serve_api

    Settings()  # a wrong setting is said here, once, not by each process
    serve_api(host, port, processes)


@app.command()
def migrate() -> None:
    """Create or update the tables in ClickHouse. Safe to run again.

    CLICKHOUSE_URL needs a user who may create and alter. RAW_RETENTION_DAYS,
    ROLLUP_RETENTION_DAYS and DEDUPLICATION_WINDOW are written into tables when
    they are created. Existing tables are not changed: `vca doctor` prints the
    statements for that.
    """
    # Only the error itself reports the problem, so that it appears once.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    from sinks.clickhouse.migrator import migrate as apply
    from streams.settings import Settings

    settings = Settings()
    password = settings.analyst_password
    applied = apply(
        settings.clickhouse_url,
        raw_retention_days=settings.raw_retention_days,
        rollup_retention_days=settings.rollup_retention_days,
        deduplication_window=settings.deduplication_window,
        cluster=settings.clickhouse_cluster,
        analyst_password=password.get_secret_value() if password else None,
    )
    text = f"applied {', '.join(applied)}" if applied else "nothing to do"
    _console.print(f"ClickHouse tables: {text}", highlight=False, soft_wrap=True)


@app.command()
def topics() -> None:
    """Create the topics that are missing in Kafka. Safe to run again.

    They get TOPIC_PARTITIONS partitions and TOPIC_REPLICATION replicas, and
    the broker's default retention. Existing topics are not changed.
    """
    from sinks.kafka.reasons import quieten
    from streams.settings import Settings
    from streams.topics import create_topics

    quieten()
    made = asyncio.run(create_topics(Settings()))
    text = f"created {', '.join(made)}" if made else "all exist"
    _console.print(f"Kafka topics: {text}", highlight=False, soft_wrap=True)


@app.command()
def agent(
    every: Annotated[float, typer.Option(min=1, max=3600, help="Seconds between two samples.")] = 10.0,
    folder: Annotated[
        Path, typer.Option(exists=True, help="Folder on the disk whose free space is reported.")
    ] = Path("."),
    name: Annotated[
        str | None,
        typer.Option(envvar="HOST_NAME", help="Name of this host.", show_default="what the system says"),
    ] = None,
) -> None:
    """Report this host, and whether the API is ready, as system events.

    Run one per host (`vca up` runs one). It probes the API at API_URL; without
    API_URL, it samples only the host.
    """
    from deploy.host_agent import Options, serve
    from streams.settings import Settings

    settings = Settings()
    options = Options(
        settings.brokers(),
        settings.topic_systems,
        os.environ.get("API_URL") or None,
        str(folder),
        every,
        name,
    )
    serve(options)


app.command()(check)
app.command()(traffic)
app.add_typer(keys, name="keys")
app.add_typer(operations)


def _fail(text: str) -> NoReturn:
    """Show an error and end the command with exit code 1."""
    show_error(_errors, text)
    raise typer.Exit(1)


def main() -> None:
    """Run the command of sys.argv; an error is shown as one line, with a traceback when VCA_DEBUG is set."""
    try:
        app()
    except Exception as error:
        if os.environ.get("VCA_DEBUG", "") not in ("", "0"):
            raise
        show_error(_errors, explain(error))
        _errors.print("[dim]VCA_DEBUG=1 shows where it came from.[/]", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
