"""`vca traffic`: thirty days of a video platform's events, then live ones."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from deploy.endpoints import FILE, read
from deploy.terminal import show_error
from deploy.traffic.display import display
from deploy.traffic.events import TOPICS
from deploy.traffic.world import Config
from sinks.kafka.reasons import quieten

_DEFAULT_BOOTSTRAP: Final = "127.0.0.1:9092"


def traffic(
    bootstrap: Annotated[
        str | None,
        typer.Option(
            envvar="KAFKA_BOOTSTRAP_SERVERS",
            help="Kafka's address, host:port[,host:port]. Default: the broker of `vca up` in this folder.",
            show_default=f"{FILE}, else {_DEFAULT_BOOTSTRAP}",
        ),
    ] = None,
    history_days: Annotated[
        int,
        typer.Option(min=0, max=730, help="Whole days of history before today, sent first. 0 sends none."),
    ] = 30,
    history_views_per_day: Annotated[
        float, typer.Option(min=1, help="Views a day in the history, on average; each makes about 20 events.")
    ] = 600,
    live: Annotated[
        bool, typer.Option(help="Continue with live traffic in real time after the history.")
    ] = True,
    rate: Annotated[
        float, typer.Option(min=0.1, help="Live events a second, also in the last hour of the history.")
    ] = 10,
    videos: Annotated[
        int, typer.Option(min=1, help="Videos of the platform at the end of the history.")
    ] = 200,
    users: Annotated[
        int,
        typer.Option(min=1, help="Most people in the history; with few views a day, fewer of them appear."),
    ] = 5_000,
    seed: Annotated[
        int, typer.Option(help="Seed of the simulation: another seed gives other people and videos.")
    ] = 1,
    duration: Annotated[
        float | None, typer.Option(min=0, help="Seconds of live traffic.", show_default="until Ctrl-C")
    ] = None,
    history_once: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Send the history only if FILE does not say that it was sent; complete one that was"
            " interrupted.",
        ),
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=OTHER", help=f"Send a topic's events to another one. Topics: {', '.join(TOPICS)}."
        ),
    ] = None,
) -> None:
    """Send the events of a simulated video platform to Kafka: its history, then live traffic.

    The platform has the daily and weekly rhythm of its viewers' time zones,
    a few hits and many videos that few watch, people who sign up, come back
    and stay away, slow networks, stalls and errors, and services with their
    good and bad days. The same seed at the same time gives the same events.

    Send the history only once: a second one adds other events on the same days.
    To continue with live traffic alone:  vca traffic --history-days 0
    A history that was interrupted is completed by a second run with the same
    options, if both have the same --history-once FILE.

    It needs only Kafka, with the topics created (`vca topics`).
    """
    console = Console(stderr=True)
    config = Config(
        seed=seed,
        history_days=history_days,
        views_per_day=history_views_per_day,
        videos=videos,
        users=users,
        rate=rate,
    )
    # Imported here so that `vca --help` need not wait for the Kafka client.
    from deploy.traffic.producer import TrafficError

    address = bootstrap or _running() or _DEFAULT_BOOTSTRAP
    try:
        asyncio.run(_run(config, address, _names(topic), live, duration, history_once, console))
    except TrafficError as error:
        show_error(console, error)
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        console.print("stopped at once: the last events may not have reached the broker", highlight=False)
        raise typer.Exit(130) from None


async def _run(
    config: Config,
    bootstrap: str,
    names: dict[str, str],
    live: bool,
    duration: float | None,
    history_once: Path | None,
    console: Console,
) -> None:
    from deploy.traffic.once import Once
    from deploy.traffic.producer import Producer
    from deploy.traffic.run import Run
    from sinks.kafka.access import KafkaAccess

    # The client logs each try; what is wrong is said once, by the error.
    quieten()
    screen = display(console, time.monotonic)
    async with Producer(KafkaAccess().kafka(bootstrap), names) as producer:
        run = Run(config, producer, screen, time.time)
        _stop_on_signals(run.stopping)
        try:
            await run.all(live=live, duration_s=duration, once=Once(history_once) if history_once else None)
            await producer.flush()
        finally:
            screen.close()
        screen.note(str(run.summary))


def _stop_on_signals(stopping: asyncio.Event) -> None:
    """Let the first Ctrl-C or SIGTERM end the run in order, and the second one at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop() -> None:
        if stopping.is_set() and task is not None:
            task.cancel()
        stopping.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(one, stop)


def _names(options: list[str] | None) -> dict[str, str]:
    """Return the renamed topics of `NAME=OTHER` options."""
    names = {}
    for option in options or ():
        name, _, other = option.partition("=")
        if name not in TOPICS or not other:
            raise typer.BadParameter(
                f"{option!r} is not NAME=OTHER with a NAME of {', '.join(TOPICS)}", param_hint="--topic"
            )
        names[name] = other
    return names


def _running() -> str | None:
    """Return the broker of the `vca up` that runs in this folder, as it wrote it down."""
    return read(FILE).get("KAFKA_BOOTSTRAP_SERVERS") or None
