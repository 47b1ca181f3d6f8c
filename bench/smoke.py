"""A quick check for a slower pipeline, as ratios to programs that do not change: a small `bench.throughput`.

The pipeline, stock Faust that only decodes, and the lower bounds (aiokafka reading raw records, ClickHouse
inserting encoded blocks) run in turn over one small topic, for some rounds. Each program's best round counts,
because other load on the machine can only slow a program down. Then the pipeline's ratios to the others are
compared with those in `bench/smoke.json`: a ratio that fell by more than 30 % is a failure. Absolute times
are never compared.

    make bench-smoke
    .venv/bin/python -m bench.smoke --renew     # on a quiet machine, after an intended change of the ratios
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.inserts import blocks, insert_all
from bench.pipeline import Run, ours, stock
from bench.stack import Stack, fill, stack
from bench.throughput import inserting, reading
from sinks.base import Block

#: Share by which a ratio may fall.
TOLERANCE: Final = 0.3
#: The file of the reference ratios.
REFERENCE: Final = Path(__file__).with_name("smoke.json")
_EVENTS: Final = 250_000
_STOCK_EVENTS: Final = 40_000
#: Rows of a block: those of a full block of the pipeline.
_BLOCK_ROWS: Final = 50_000
_ROUNDS: Final = 3
#: No round begins after this many seconds: the whole takes less than two minutes.
_LAST_ROUND_SECONDS: Final = 60.0

Ratios = Mapping[str, float]
"""By what is compared; higher is better."""


class Reference(msgspec.Struct, frozen=True):
    """The contents of `bench/smoke.json`: date, machine and its load at the measurement, and the ratios."""

    measured: str
    machine: str
    load_average: float
    ratios: dict[str, float]


def ratios(rounds: Sequence[Mapping[str, Run]]) -> dict[str, float]:
    """Return the pipeline's speed and CPU cost as ratios to the other programs; higher is better.

    Each program's best round counts, for rates and for CPU times.
    """

    def rate(name: str) -> float:
        return max(each[name].rate for each in rounds)

    def cost(name: str, server: str | None = None) -> float:
        runs = [each[name] for each in rounds]
        return min((run.cpu if server is None else run.servers[server]) / run.events for run in runs)

    return {
        "events/s : stock Faust": rate("pipeline") / rate("stock"),
        "events/s : aiokafka reads": rate("pipeline") / rate("read"),
        "events/s : ClickHouse inserts": rate("pipeline") / rate("insert"),
        "worker CPU : stock Faust": cost("stock") / cost("pipeline"),
        "worker CPU : aiokafka reads": cost("read") / cost("pipeline"),
        "ClickHouse CPU : its inserts": cost("insert", "clickhouse") / cost("pipeline", "clickhouse"),
    }


def fallen(seen: Ratios, reference: Ratios) -> list[str]:
    """Name the ratios that are lower than their reference by more than the tolerance, or that are missing."""
    return [name for name, was in reference.items() if seen.get(name, 0.0) < was * (1 - TOLERANCE)]


def _round(running: Stack, number: int, encoded: Sequence[Block]) -> dict[str, Run]:
    fresh, topic = running.afresh(number), running.settings.topic_playback
    insert = inserting(lambda url, _: insert_all(url, encoded), f"floor_{number}")
    return {
        "pipeline": ours(fresh, topic, _EVENTS),
        "stock": stock(fresh, topic, _STOCK_EVENTS),
        "read": reading(fresh, topic, _EVENTS),
        "insert": insert(fresh, topic, _EVENTS),
    }


def measure() -> list[dict[str, Run]]:
    """Run all programs over one topic, as many rounds as there is time for."""
    began = time.monotonic()
    with stack() as running:
        # In so small a topic, looking up views that are under way would be most of the work.
        asyncio.run(fill(running, _EVENTS, under_way=False))
        encoded = list(blocks(_EVENTS, _BLOCK_ROWS))
        rounds: list[dict[str, Run]] = []
        while not rounds or (len(rounds) < _ROUNDS and time.monotonic() - began < _LAST_ROUND_SECONDS):
            rounds.append(_round(running, len(rounds) + 1, encoded))
    return rounds


def table(seen: Ratios, reference: Ratios, rounds: int) -> Table:
    """Return a table of the ratios with their references."""
    shown = Table(
        title=f"The pipeline beside others, best of {rounds} rounds; higher is better", title_justify="left"
    )
    shown.add_column("ratio")
    for name in ("now", "reference", "change"):
        shown.add_column(name, justify="right")
    for name, value in seen.items():
        was = reference.get(name)
        cells = ("-", "-") if was is None else (f"{was:.3f}", f"{value / was - 1:+.0%}")
        shown.add_row(name, f"{value:.3f}", *cells)
    return shown


def main(
    renew: Annotated[
        bool, typer.Option("--renew", help="Write the results as the new reference, and compare nothing.")
    ] = False,
) -> None:
    """Compare the pipeline's speed with the committed reference, in ratios."""
    console = Console()
    rounds = measure()
    seen = ratios(rounds)
    if renew:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        machine = f"{psutil.cpu_count()} cores, Python {sys.version.split()[0]}"
        rounded = {name: round(value, 4) for name, value in seen.items()}
        load = round(psutil.getloadavg()[1], 1)
        written = msgspec.json.encode(Reference(today, machine, load, rounded))
        REFERENCE.write_bytes(msgspec.json.format(written, indent=2) + b"\n")
        console.print(table(seen, {}, len(rounds)))
        console.print(f"Written to {REFERENCE.name}; commit it with the reason for the change.")
        console.print(f"The load average of five minutes was {load}: on a quiet machine it is below 2.")
        return
    reference = msgspec.json.decode(REFERENCE.read_bytes(), type=Reference)
    console.print(table(seen, reference.ratios, len(rounds)))
    if slower := fallen(seen, reference.ratios):
        load = psutil.getloadavg()[0]
        console.print(
            f"FAILED: lower by more than {TOLERANCE:.0%} than on {reference.measured}"
            f" ({reference.machine}): {', '.join(slower)}. The load average is {load:.1f}: if other work"
            f" disturbed it, run it again. If the change is meant to be, renew the reference:"
            f" `.venv/bin/python -m bench.smoke --renew`."
        )
        raise SystemExit(1)
    console.print("No ratio fell.")


if __name__ == "__main__":
    typer.run(main)
