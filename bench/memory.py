"""Memory per concurrent view, in the worker and in Redis.

For each number of views, a topic has the first three events of that many concurrent views, and a worker
writes the topic to both stores; then the benchmark reads the worker's resident memory, and from its metrics
the number of views that it holds.

    python -m bench.memory --views 10000 --views 100000 --views 1000000
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Final

import typer
from redis import Redis
from rich.console import Console
from rich.table import Table

from bench.metrics import samples
from bench.pipeline import watch
from bench.stack import Worker, fill, stack, workers
from streams.domain.instruments import MEMORY_KEYS

_EVENTS: Final = 3
#: Longer than two of the intervals, of five seconds, at which the worker counts the views it holds.
_SETTLE_SECONDS: Final = 11.0


@dataclass(frozen=True, slots=True)
class Filled:
    """One line of the table: views under way, views held, and bytes in the worker and in Redis."""

    views: int
    held: int
    worker: int
    peak: float
    redis: int


def measure(views: int) -> Filled:
    """Measure a worker and Redis with `views` views under way."""
    with stack() as running:
        # Each view's events are ten seconds of log time apart, so all are under way at its end.
        asyncio.run(fill(running, views * _EVENTS, rate=views / 10))
        # Room for all views: beyond its limit a worker evicts the oldest, and would look them up again.
        told = running.with_environment(
            {"MEMORY_KEYS": str(max(running.settings.memory_keys, 8 * views)), "MEMORY_SECONDS": "3600"}
        )
        with workers(told) as (worker,):
            run = watch(told, told.settings.topic_playback, views * _EVENTS, [worker])
            time.sleep(_SETTLE_SECONDS)
            with Redis.from_url(told.settings.redis_url) as redis:
                used = int(redis.info("memory")["used_memory"])
            return Filled(views, _held(worker), worker.process.memory_info().rss, run.peak_mb, used)


def _held(worker: Worker) -> int:
    return int(sum(sample.value for sample in samples(worker.address, MEMORY_KEYS.name)))


def table(lines: list[Filled]) -> Table:
    """Return a table; bytes a view are the growth in bytes over the first line, divided by that in views."""
    shown = Table(title="Views under way", title_justify="left")
    for name in ("views", "held", "worker MB", "peak MB", "bytes a view", "Redis MB", "Redis bytes a view"):
        shown.add_column(name, justify="right")
    first = lines[0]
    for line in lines:
        more = line.held - first.held
        each = [
            f"{(b - a) / more:,.0f}" if more else "-"
            for a, b in ((first.worker, line.worker), (first.redis, line.redis))
        ]
        shown.add_row(
            f"{line.views:,}",
            f"{line.held:,}",
            f"{line.worker / 1e6:,.0f}",
            f"{line.peak:,.0f}",
            each[0],
            f"{line.redis / 1e6:,.0f}",
            each[1],
        )
    return shown


def main(
    views: Annotated[
        list[int] | None,
        typer.Option(
            min=1000, help="Concurrent views, ascending; repeat for more. [default: 10000, 100000, 1000000]"
        ),
    ] = None,
) -> None:
    """Measure the memory per concurrent view."""
    console = Console()
    console.print(table([measure(each) for each in views or [10_000, 100_000, 1_000_000]]))


if __name__ == "__main__":
    typer.run(main)
