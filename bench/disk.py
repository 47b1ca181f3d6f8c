"""Disk space per event: in the raw table, in each roll-up, in Redis; and the rows of the roll-ups.

A worker writes a topic to both stores; then the benchmark measures the tables, as they are and merged.

    python -m bench.disk --events 1000000
"""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from redis import Redis
from rich.table import Table

from bench.command import wide_console
from bench.events import EVENTS_A_VIEW
from bench.pipeline import ours
from bench.stack import LOG_RATE, fill, stack
from bench.tables import RAW, Held, held


def table(now: list[Held], merged: list[Held], events: int) -> Table:
    """Return a line for each ClickHouse table with rows: its contents as they are, and merged."""
    shown = Table(
        title=f"{events:,} playback events, {LOG_RATE * 10:,.0f} views at once, {EVENTS_A_VIEW} events each",
        title_justify="left",
    )
    shown.add_column("table")
    for name in ("rows", "rows for 1,000 raw", "bytes an event", "merged", "parts"):
        shown.add_column(name, justify="right")
    before = {each.table: each for each in now}
    raw = next(each.rows for each in merged if each.table == RAW)
    for each in merged:
        shown.add_row(
            each.table,
            f"{each.rows:,}",
            f"{each.rows / raw * 1000:,.1f}",
            f"{before[each.table].bytes / events:.1f}",
            f"{each.bytes / events:.1f}",
            f"{before[each.table].parts} to {each.parts}",
        )
    return shown


def summary(merged: list[Held], redis: int, events: int) -> str:
    """Return the line with the figures that docs/capacity.md uses."""
    of = {each.table: each for each in merged}
    views = of["view_starts"].rows
    others = sum(each.bytes for each in merged if each.table != RAW)
    return (
        f"Bytes: raw {of[RAW].bytes / events:.0f} an event; all others together {others / events:.1f},"
        f" or {others / views:.0f} for each of {views:,} views; Redis {redis / events:.0f} an event"
    )


def main(
    events: Annotated[int, typer.Option(min=50_000, help="Events in the topic.")] = 1_000_000,
) -> None:
    """Measure the disk space per event."""
    console = wide_console()
    with stack() as running:
        told = running.settings
        asyncio.run(fill(running, events))
        with Redis.from_url(told.redis_url) as redis:
            empty = int(redis.info("memory")["used_memory"])
            ours(running, told.topic_playback, events)
            used = int(redis.info("memory")["used_memory"]) - empty
        now, merged = (held(told.clickhouse_url, merged=each) for each in (False, True))
    console.print(table(now, merged, events))
    console.print(summary(merged, used, events))


if __name__ == "__main__":
    typer.run(main)
