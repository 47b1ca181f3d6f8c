"""Reads of the raw tables by the worker: on recovery, and to look up old keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, Final

import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.base import Where
from sinks.clickhouse.client import available
from sinks.clickhouse.replicas import Replicas
from sinks.together import Together
from streams.domain.generations import Key
from streams.domain.rows import CatalogRow, Row, columns, types

#: Characters of keys looked up at once. They are sent in the URL, which servers limit to a megabyte, and
#: where one character may take twelve bytes.
_CHARACTERS_AT_ONCE: Final = 60_000
_ROWS_AT_ONCE: Final = 50_000


def _select(row: type[Row]) -> str:
    """Return the select list that gives a row's fields as they were sent."""
    return ", ".join(
        f"toUnixTimestamp64Milli({name})" if type_.startswith("DateTime64") else name
        for name, type_ in zip(columns(row), types(row), strict=True)
    )


class ClickHouseArchive:
    """`Archive` on ClickHouse. Table and column names come from the folders, never from input.

    What is asked about many partitions at once, when they are taken over, goes in few queries.
    """

    def __init__(self, client: AsyncClient, cluster: str = "") -> None:
        """Use a client bound to the analytics database, which is on `cluster` if that is not empty."""
        self._client = client
        self._replicas = Replicas(client, cluster) if cluster else None
        self._ends = Together(self._ask_ends)
        self._logs = Together(self._ask_logs)
        self._newest = Together(self._ask_newest)
        self._ahead = Together(self._ask_ahead)

    async def next_offset(self, log: str, topic: str, partition: int) -> int | None:
        """Return the offset after the last stored row; None when there is none.

        On a cluster, this call and later ones see every insert acknowledged before it: with a replica that is
        a second behind, the worker would insert rows again that are there.
        """
        if self._replicas is not None:
            await self._replicas.catch_up()
        place = log, topic, partition
        return (await self._ends([place])).get(place)

    async def ends(self, places: Collection[Where]) -> dict[Where, int]:
        """Return `next_offset` of several logs' partitions, without waiting for replicas that are behind."""
        return await self._ends(places)

    async def _ask_ends(self, places: Collection[Where]) -> dict[Where, int]:
        with available():
            result = await self._client.query(
                "SELECT toString(log), topic, partition, max(next_offset) FROM ingested_offsets"
                " WHERE (log, topic, partition) IN {places:Array(Tuple(String, String, UInt32))}"
                " GROUP BY log, topic, partition",
                parameters={"places": list(places)},
            )
        return {(log, topic, partition): int(end) for log, topic, partition, end in result.result_rows}

    async def logs(self, topic: str, partition: int) -> list[str]:
        """Return the names of all logs that have rows of a partition."""
        return (await self._logs([(topic, partition)])).get((topic, partition), [])

    async def _ask_logs(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
        with available():
            result = await self._client.query(
                "SELECT topic, partition, groupUniqArray(toString(log)) FROM ingested_offsets"
                " WHERE (topic, partition) IN {partitions:Array(Tuple(String, UInt32))}"
                " GROUP BY topic, partition",
                parameters={"partitions": list(partitions)},
            )
        return {(topic, partition): sorted(logs) for topic, partition, logs in result.result_rows}

    async def received_at(self, table: str, log: str, topic: str, partition: int, offset: int) -> int | None:
        """Return the record time (epoch ms) of the row of one record; None when there is none."""
        with available():
            result = await self._client.query(
                f"SELECT toUnixTimestamp64Milli(received_at) FROM {table}"
                " WHERE log = {log:String} AND topic = {topic:String} AND partition = {partition:UInt32}"
                " AND offset = {offset:UInt64} LIMIT 1",
                parameters={"log": log, "topic": topic, "partition": partition, "offset": offset},
            )
        return int(result.result_rows[0][0]) if result.result_rows else None

    async def newest_received(self) -> int:
        """Return the newest record time stored at all (epoch ms); 0 when there is none."""
        return (await self._newest([None]))[None]

    async def _ask_newest(self, _: Collection[None]) -> dict[None, int]:
        with available():
            result = await self._client.query(
                "SELECT toUnixTimestamp64Milli(max(last_received)) FROM ingested_offsets"
            )
        return {None: int(result.result_rows[0][0]) if result.result_rows else 0}

    async def ahead(self, table: str, since: int, limit: int) -> list[int]:
        """Return distinct `ahead_at` later than `since` (epoch ms), newest first."""
        asked = table, since, limit
        return (await self._ahead([asked]))[asked]

    async def _ask_ahead(
        self, asked: Collection[tuple[str, int, int]]
    ) -> dict[tuple[str, int, int], list[int]]:
        return dict(
            zip(asked, await asyncio.gather(*(self._ask_ahead_of(*each) for each in asked)), strict=True)
        )

    async def _ask_ahead_of(self, table: str, since: int, limit: int) -> list[int]:
        with available():
            result = await self._client.query(
                f"SELECT DISTINCT toUnixTimestamp64Milli(ahead_at) AS at FROM {table}"
                " WHERE ahead_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
                " ORDER BY at DESC LIMIT {limit:UInt32}",
                parameters={"since": since, "limit": limit},
            )
        return [int(at) for (at,) in result.result_rows]

    async def history(
        self,
        table: str,
        row: type[Row],
        key_columns: tuple[str, str],
        keys: Collection[Key],
        log: str,
        topic: str,
        partition: int,
        before: int,
    ) -> list[Any]:
        """Return the stored rows of the keys in the order they were accepted."""
        rows: list[Any] = []
        here = "log = {log:String} AND topic = {topic:String} AND partition = {partition:UInt32}"
        query = (
            f"SELECT {_select(row)} FROM {table}"
            f" WHERE ({', '.join(key_columns)}) IN {{keys:Array(Tuple(String, String))}}"
            f" AND NOT ({here} AND offset >= {{before:UInt64}})"
            # Other logs are older than this one, and rows of one view are never in two partitions of it.
            # Within this log the order is by offset, not by time: a replayed dead letter comes late and has
            # an old time.
            f" ORDER BY {here}, if({here}, 0, toUnixTimestamp64Milli(received_at)), offset"
        )
        for some in key_lists(keys):
            rows += await self._rows(
                row, query, log=log, topic=topic, partition=partition, before=before, keys=some
            )
        return rows

    async def recent(
        self, table: str, row: type[Row], log: str, topic: str, partition: int, before: int, since: int
    ) -> AsyncIterator[list[Any]]:
        """Iterate over lists of the partition's rows before an offset that occurred from `since` on."""
        query = (
            f"SELECT {_select(row)} FROM {table}"
            " WHERE log = {log:String} AND topic = {topic:String} AND partition = {partition:UInt32}"
            " AND offset >= {after:UInt64} AND offset < {before:UInt64}"
            " AND occurred_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
            f" ORDER BY offset LIMIT {_ROWS_AT_ONCE}"
        )
        after = 0
        while True:
            rows = await self._rows(
                row,
                query,
                log=log,
                topic=topic,
                partition=partition,
                after=after,
                before=before,
                since=since,
            )
            if rows:
                yield rows
            if len(rows) < _ROWS_AT_ONCE:
                return
            after = rows[-1].offset + 1

    async def catalog(self, since: int, ends: Mapping[Where, int]) -> Iterator[CatalogRow]:
        """Return every catalog version received from `since` (epoch ms) on, or that `ends` lacks, by age.

        `ends` has by log, topic and partition the offset after the last version that is known. Titles and
        owners are empty, and a row is made when it is its turn: there may be millions.
        """
        source = "concat(log, '/', topic, '/', toString(partition))"
        end = f"transform({source}, {{sources:Array(String)}}, {{ends:Array(UInt64)}}, toUInt64(0))"
        answer = await self._answer(
            f"SELECT {_select(CatalogRow)}"
            " FROM (SELECT * REPLACE ('' AS title, '' AS owner_id) FROM video_catalog)"
            " WHERE received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')"
            f" OR offset >= {end}"
            " ORDER BY received_at, offset",
            since=since,
            sources=[f"{log}/{topic}/{partition}" for log, topic, partition in ends],
            ends=list(ends.values()),
        )
        return map(msgspec.json.Decoder(CatalogRow).decode, BytesIO(answer))

    async def _rows(self, row: type[Row], query: str, **parameters: Any) -> list[Any]:
        return msgspec.json.Decoder(row).decode_lines(await self._answer(query, **parameters))

    async def _answer(self, query: str, **parameters: Any) -> bytes:
        with available():
            return await self._client.raw_query(
                query,
                parameters=parameters,
                # 64-bit numbers as numbers: the row types are integers.
                settings={"output_format_json_quote_64bit_integers": 0},
                fmt="JSONCompactEachRow",
            )


def key_lists(keys: Iterable[Key]) -> Iterator[list[Key]]:
    """Cut keys into lists of about `_CHARACTERS_AT_ONCE` characters."""
    some: list[Key] = []
    size = 0
    for key in keys:
        some.append(key)
        size += len(key[0]) + len(key[1])
        if size >= _CHARACTERS_AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some
