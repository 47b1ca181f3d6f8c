"""The lower bound of ClickHouse's cost: inserts of the pipeline's rows, encoded beforehand, into its tables.

Run as a program, it measures the cost of single inserts by their number of rows, merges included:

    python -m bench.inserts --rows 100 --rows 1000 --rows 10000
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import typer
from clickhouse_connect.driver.asyncclient import AsyncClient
from rich.console import Console
from rich.progress import track
from rich.table import Table

from bench.events import playback
from bench.stack import LOG_RATE, Stack, stack
from bench.tables import settle
from sinks.base import Block, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.native_writer import Columns
from sinks.clickhouse.sink import ClickHouseBlocks
from streams.domain.folding import Place, PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.rows import PlaybackRow, columns, types

_RETENTION_MS = 180 * 86_400_000


@dataclass(frozen=True, slots=True)
class _Record:
    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


def rows(count: int, block_rows: int) -> Iterator[list[PlaybackRow]]:
    """Yield the rows of `count` events, as the pipeline folds them, in blocks."""
    folder = PlaybackFolder(
        Place("floor", "playback.events", 0), Generations(floor=-1, capacity=10**7, lifetime=120.0)
    )
    start_ms = int((time.time() - count / LOG_RATE) * 1000)
    gathered: list[_Record] = []
    for offset, (key, value, at) in enumerate(playback(count, start_ms=start_ms, rate=LOG_RATE)):
        gathered.append(_Record(offset, at, key, value))
        if len(gathered) == block_rows:
            arrivals, _ = folder.decode(gathered, _RETENTION_MS)
            folder.learn(folder.unknown(arrivals), [])
            yield folder.fold(arrivals).rows
            gathered = []


def blocks(count: int, block_rows: int) -> Iterator[Block]:
    """Yield the rows of `count` events as the blocks that the pipeline would write."""
    columns_, end = Columns(PlaybackRow), 0
    for block in track(rows(count, block_rows), "encoding rows", count // block_rows):
        begin, end = end, end + len(block)
        yield Block(
            partition=Partition("floor", "playback.events", 0),
            log="floor",
            table="playback_events",
            row=PlaybackRow,
            start=begin,
            end=end,
            mark="",
            rows=len(block),
            landed=end,
            chunks=[columns_.encode(block)],
        )


async def as_the_pipeline(url: str, count: int, block_rows: int = 50_000) -> tuple[int, float]:
    """Insert with the pipeline's own sink, two at a time; return rows and seconds."""
    return await insert_all(url, list(blocks(count, block_rows)))


async def insert_all(url: str, encoded: Sequence[Block], at_once: int = 2) -> tuple[int, float]:
    """Insert blocks with the pipeline's own sink, some at a time; return rows and seconds."""
    client = await connect(url)
    sink, waiting = ClickHouseBlocks(client), list(encoded)

    async def work() -> None:
        while waiting:
            await sink.write(waiting.pop())

    began = time.monotonic()
    await asyncio.gather(*(work() for _ in range(at_once)))
    seconds = time.monotonic() - began
    await client.close()
    return sum(block.rows for block in encoded), seconds


async def as_json_each_row(url: str, count: int, block_rows: int = 50_000) -> tuple[int, float]:
    """Insert the same rows as JSONEachRow, objects with names, two at a time; return rows and seconds."""
    fields = list(zip(columns(PlaybackRow), types(PlaybackRow), strict=True))

    def told(row: PlaybackRow) -> dict[str, Any]:
        # ClickHouse would read bare integers as seconds.
        return {
            name: getattr(row, name) / 1000 if kind.startswith("DateTime64") else getattr(row, name)
            for name, kind in fields
        }

    waiting = [
        b"\n".join(msgspec.json.encode(told(row)) for row in block) for block in rows(count, block_rows)
    ]
    client = await connect(url)
    began = time.monotonic()
    await asyncio.gather(_insert_lines(client, waiting), _insert_lines(client, waiting))
    seconds = time.monotonic() - began
    await client.close()
    return count // block_rows * block_rows, seconds


async def _insert_lines(client: AsyncClient, waiting: list[bytes]) -> None:
    while waiting:
        await client.raw_insert("playback_events", insert_block=waiting.pop(), fmt="JSONEachRow")


def _cost(stack: Stack, block_rows: int, count: int) -> list[str]:
    """Insert `count` blocks one after the other into new tables; return a line of the table."""
    url = stack.afresh(block_rows).settings.clickhouse_url
    encoded = list(blocks(block_rows * count, block_rows))
    before = stack.cpu()["clickhouse"]
    rows, seconds = asyncio.run(insert_all(url, encoded, at_once=1))
    settle(url)
    cpu = stack.cpu()["clickhouse"] - before
    numbers = (seconds / count * 1e3, cpu / count * 1e3, cpu / rows * 1e6)
    return [f"{block_rows:,}", str(count), *(f"{each:,.1f}" for each in numbers)]


def main(
    rows: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Rows per insert; repeat for more. [default: 100 to 50000]"),
    ] = None,
    inserts: Annotated[int, typer.Option(min=1, help="Inserts of each size.")] = 40,
) -> None:
    """Measure ClickHouse's cost of an insert by its number of rows."""
    shown = Table(title="An insert into playback_events and its roll-ups", title_justify="left")
    for name in ("rows", "inserts", "ms each", "CPU ms each", "CPU µs/row"):
        shown.add_column(name, justify="right")
    with stack(broker=False) as running:
        for each in rows or [100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000]:
            shown.add_row(*_cost(running, each, inserts))
    Console().print(shown)


if __name__ == "__main__":
    typer.run(main)
