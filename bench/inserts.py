"""The floor of ClickHouse: the pipeline's own rows, encoded beforehand, inserted into the same tables."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient
from rich.progress import track

from bench.events import playback
from bench.stack import LOG_RATE
from sinks.base import Block, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.sink import ClickHouseBlocks
from streams.domain.folding import Place, PlaybackFolder
from streams.domain.generations import Generations
from streams.domain.rows import PlaybackRow, columns

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
        Place("floor", "playback.events", 0), Generations(floor=-1.0, capacity=10**7, lifetime=120.0)
    )
    start_ms = int((time.time() - count / LOG_RATE) * 1000)
    gathered: list[_Record] = []
    for offset, (key, value, at) in enumerate(playback(count, start_ms=start_ms, rate=LOG_RATE)):
        gathered.append(_Record(offset, at, key, value))
        if len(gathered) == block_rows:
            arrivals, _ = folder.arrivals(gathered, _RETENTION_MS)
            folder.learn(folder.unknown(arrivals), [])
            yield folder.fold(arrivals).rows
            gathered = []


def _blocks(count: int, block_rows: int) -> Iterator[Block]:
    encoder, end = msgspec.json.Encoder(), 0
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
            chunks=[encoder.encode_lines(block)],
        )


async def as_the_pipeline(url: str, count: int, block_rows: int = 50_000) -> tuple[int, float]:
    """Insert with the pipeline's own sink, two at a time; return rows and seconds."""
    client = await connect(url)
    sink, waiting = ClickHouseBlocks(client), list(_blocks(count, block_rows))
    total = sum(block.rows for block in waiting)

    async def work() -> None:
        while waiting:
            await sink.write(waiting.pop())

    began = time.monotonic()
    await asyncio.gather(work(), work())
    seconds = time.monotonic() - began
    await client.close()
    return total, seconds


async def as_json_each_row(url: str, count: int, block_rows: int = 50_000) -> tuple[int, float]:
    """Insert the same rows as JSONEachRow, objects with names, two at a time; return rows and seconds."""
    names = columns(PlaybackRow)
    waiting = [
        b"\n".join(
            msgspec.json.encode(dict(zip(names, msgspec.structs.astuple(row), strict=True))) for row in block
        )
        for block in rows(count, block_rows)
    ]
    client = await connect(url)
    began = time.monotonic()
    await asyncio.gather(_insert_all(client, waiting), _insert_all(client, waiting))
    seconds = time.monotonic() - began
    await client.close()
    return count // block_rows * block_rows, seconds


async def _insert_all(client: AsyncClient, waiting: list[bytes]) -> None:
    while waiting:
        await client.raw_insert("playback_events", insert_block=waiting.pop(), fmt="JSONEachRow")
