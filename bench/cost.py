"""The CPU time per event of each step of the worker, from a sampling profiler over a real run.

A worker with its partitions gets all events at once, as in `bench.growth`, while py-spy samples its stacks
from outside some hundred times a second. A sample belongs to the step of the innermost function that `STEPS`
lists; the worker's CPU time, as the system measured it, is divided in proportion to the samples.

    python -m bench.cost --events 1000000
"""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer
from rich.console import Console
from rich.table import Table

from bench.command import Broker
from bench.pipeline import Run, all_at_once
from bench.stack import Stack, stack

LOOK_UP: Final = "repeats: look up"
#: Each step, and the files and functions that belong to it: a sample counts for the first step that matches.
#: For a call into a library without Python frames, the caller is the innermost function.
STEPS: Final = (
    (
        "read",
        r"streams/(transport|fetching)\.py .*|(aiokafka|kafka)/.*|drivers/aiokafka\.py .*|"
        r"mode/threads\.py Service.*",
    ),
    ("decode", r"streams/domain/(arrivals|events)\.py .*|streams/domain/\w+\.py \w+\.decode"),
    (LOOK_UP, r"streams/domain/generations\.py .*|.*\.unknown|.*\.learn"),
    (
        "fold: live counters",
        r"streams/domain/(aggregate|dimensions)\.py .*|streams/domain/\w+\.py \w+\.count_live",
    ),
    ("fold: views and rows", r"streams/domain/.*"),
    ("Redis", r"redis/.*"),
    (
        "ClickHouse: encode, send",
        r"(clickhouse|clickhouse_connect|aiohttp)/.*|streams/(blocks|budget)\.py .*",
    ),
    (
        "hand over, ack",
        r"faust/(?!worker).*|mode/(?!worker).*|streams/\w+\.py (?!run_worker).*|prometheus_client/.*",
    ),
)
REST: Final = "event loop, the rest"
_RULES: Final = tuple((step, re.compile(rf"(?:.*/)?(?:{pattern})")) for step, pattern in STEPS)
#: Functions that look up, in ClickHouse's raw table, views that are not in memory; with all that they call.
_ASKS: Final = re.compile(r"BatchFolder\._look_up|ClickHouseArchive\.history")
_FRAME: Final = re.compile(r"(?P<name>.+) \((?P<file>.+?)(?::\d+)?\)")
#: The innermost frame of a thread that waits for the system, even if py-spy reports it as runnable.
_WAITING: Final = re.compile(r"(\w+\.)?(select|poll|_worker|wait|acquire) \(.*\)")
#: Samples a second.
_RATE: Final = 400


def step_of(stack: str) -> str | None:
    """Return the step of a stack in py-spy's format (outermost first, joined by `;`); None for a wait."""
    frames = stack.split(";")
    if _WAITING.fullmatch(frames[-1]):
        return None
    if _ASKS.search(stack):
        return LOOK_UP
    for frame in reversed(frames):
        if found := _FRAME.fullmatch(frame):
            for step, rule in _RULES:
                if rule.fullmatch(f"{found['file']} {found['name']}"):
                    return step
    return REST


def shares(lines: Iterable[str]) -> dict[str, float]:
    """Return each step's share of the samples in a raw profile: one stack per line, its count at the end."""
    counts = Counter[str]()
    for line in lines:
        stack, _, count = line.rstrip().rpartition(" ")
        if (step := step_of(stack)) is not None:
            counts[step] += int(count)
    total = counts.total() or 1
    return {step: counts[step] / total for step in (*(step for step, _ in STEPS), REST)}


@contextmanager
def profiled(pid: int, result: Path) -> Iterator[None]:
    """Sample the stacks of a process within the context, and write them to a file."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if program is None:
        raise SystemExit("py-spy is not installed: run `make install`")
    arguments = ("record", "--format", "raw", "--full-filenames", "--function", "--threads", "--nonblocking")
    with result.with_suffix(".log").open("w+") as log:
        # In a session of its own: Ctrl-C must reach the benchmark only, which then ends py-spy.
        spy = subprocess.Popen(
            [program, *arguments, "--rate", str(_RATE), "--pid", str(pid), "--output", str(result)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            time.sleep(1)
            if spy.poll() is not None:
                log.seek(0)
                raise SystemExit(f"py-spy cannot look at the worker (it may need root): {log.read()[-500:]}")
            yield
        finally:
            spy.send_signal(signal.SIGINT)
            spy.wait(60)


async def measure(running: Stack, events: int, profile: Path) -> Run:
    """Run a worker over `events` events under the profiler."""
    return await all_at_once(
        running, events, beside=lambda gathered: profiled(gathered[0].process.pid, profile)
    )


def table(run: Run, spent: dict[str, float], events: int) -> Table:
    """Return the cost of each step as a table."""
    micros = run.cpu / run.events * 1e6
    shown = Table(
        title=f"{events:,} playback events, {micros:.1f} µs of a worker's CPU each", title_justify="left"
    )
    shown.add_column("step")
    shown.add_column("CPU µs/event", justify="right")
    shown.add_column("share", justify="right")
    for step, share in spent.items():
        shown.add_row(step, f"{share * micros:.2f}", f"{share:.0%}")
    return shown


def main(
    events: Annotated[int, typer.Option(min=50_000, help="Events of the run.")] = 1_000_000,
    broker: Broker = "stand-in",
    keep: Annotated[
        Path | None, typer.Option(help="Where to keep the raw profile, for a flame graph.")
    ] = None,
) -> None:
    """Measure what each step of the worker costs an event."""
    console = Console()
    with stack(kafka=broker == "kafka") as running:
        profile = running.folder / "profile.txt"
        run = asyncio.run(measure(running, events, profile))
        lines = profile.read_text().splitlines()
        if keep is not None:
            shutil.copy(profile, keep)
    console.print(table(run, shares(lines), events))
    others = ", ".join(f"{name} {used / run.events * 1e6:.1f}" for name, used in run.servers.items())
    console.print(f"Servers, CPU µs/event: {others}. Load average {psutil.getloadavg()[0]:.1f}.")


if __name__ == "__main__":
    typer.run(main)
