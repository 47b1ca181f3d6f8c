"""Inserts of blocks into ClickHouse: one block each, or a bundle of blocks of several partitions.

Each insert has a deduplication token, so a repeated one has no effect.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from zlib import crc32

import lz4.frame
import msgspec
from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.base import Block, Encoded
from sinks.clickhouse.client import available
from sinks.clickhouse.native_writer import Columns
from streams.domain.rows import Row, columns

#: The server must not split an insert: the same bytes must make the same block in every try, or the token
#: would drop other rows than its own.
_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "max_insert_block_size": 100_000_000,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 4_000_000_000,
    # A block of late events may touch many months; if it were refused, the Kafka partition would never go on.
    "throw_on_max_partitions_per_insert_block": 0,
    # ClickHouse 26.8 builds column statistics for every inserted part, unless told not to. Parts are merged
    # soon, and merges build them anyway.
    "materialize_statistics_on_insert": 0,
}
#: On a cluster, besides the shard. Any node sends the insert to the shard as a client would, so that every
#: try of a block arrives in the same way, and answers when the shard has it.
SHARDED: Final = {"prefer_localhost_replica": 0, "distributed_foreground_insert": 1}


#: Bytes sent at once, at least (except the last ones).
_PIECE: Final = 1 << 16


class _Body:
    """The bytes of a block, for any number of iterations.

    They are sent in pieces, because one piece would be copied three times on its way to the socket. A body
    that could be iterated only once would be empty when the client retries, and the empty insert would
    succeed.
    """

    def __init__(self, columns: Columns, chunks: Sequence[Encoded]) -> None:
        self._columns, self._chunks = columns, chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting, size = [], 0
        for piece in self._columns.block(self._chunks):
            waiting.append(piece)
            size += len(piece)
            if size >= _PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)


class _Bytes:
    """A packed insert, for any number of iterations.

    When a connection breaks, the client itself sends `bytes` once more, without asking whether others own the
    partitions now; it does not do so with pieces.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for begin in range(0, len(self._body), _PIECE):
            yield self._body[begin : begin + _PIECE]


def _check(block: Block) -> None:
    """Raise ValueError unless a block has as many encoded rows as it says."""
    # An insert of fewer rows would succeed, and the loss would not be noticed.
    if block.rows != sum(chunk.rows for chunk in block.chunks):
        raise ValueError(f"{block.token} has not the {block.rows} rows that it says")


class _Packed(msgspec.Struct, array_like=True):
    """A self-contained insert, which any worker can make, even one of another version."""

    table: str
    columns: tuple[str, ...]
    shard: int
    compression: str
    body: bytes


class ClickHouseBlocks:
    """`BlockSink` on ClickHouse over HTTP, on one server or on a cluster of shards.

    Each shard remembers the tokens of its own inserts, so every try of a block goes to the same shard, as a
    whole.
    """

    def __init__(self, client: AsyncClient, cluster: str = "") -> None:
        """Use a client bound to the analytics database, which is on `cluster` if that is not empty."""
        self._client = client
        self._cluster = cluster
        self._columns: dict[type[Row], Columns] = {}

    async def find_shard(self, log: str, topic: str, partition: int) -> int:
        """Return the shard with most rows of a partition, else one by its number; see `BlockSink`."""
        if not self._cluster:
            return 0
        with available():
            found = await self._client.query(
                "SELECT _shard_num FROM ingested_offsets"
                " WHERE log = {log:String} AND topic = {topic:String} AND partition = {partition:UInt32}"
                " GROUP BY _shard_num ORDER BY max(next_offset) DESC LIMIT 1",
                parameters={"log": log, "topic": topic, "partition": partition},
            )
            if found.result_rows:
                return int(found.result_rows[0][0])
            shards = await self._client.query(
                "SELECT max(shard_num) FROM system.clusters WHERE cluster = {cluster:String}",
                parameters={"cluster": self._cluster},
            )
        # Topics start at different shards, because low partitions of several topics are often busy together.
        return 1 + (crc32(topic.encode()) + partition) % int(shards.result_rows[0][0])

    def encode(self, row: type[Row], rows: Sequence[Any]) -> Encoded:
        """Encode rows column by column, in ClickHouse's Native format."""
        return self._columns_of(row).encode(rows)

    def _columns_of(self, row: type[Row]) -> Columns:
        if row not in self._columns:
            self._columns[row] = Columns(row)
        return self._columns[row]

    async def write(self, block: Block) -> None:
        """Insert a block; see `BlockSink.write`."""
        if not block.rows:
            return
        _check(block)
        body = _Body(self._columns_of(block.row), block.chunks)
        await self._insert(block.token, block.table, columns(block.row), block.shard, body)

    def pack(self, blocks: Sequence[Block]) -> bytes:
        """Return one insert of blocks, compressed, because it is stored in Redis until it is done."""
        for block in blocks:
            _check(block)
        first = blocks[0]
        chunks = [chunk for block in blocks for chunk in block.chunks]
        # Compressed in pieces: otherwise the uncompressed bytes, three times as many, would be there as well.
        with lz4.frame.LZ4FrameCompressor() as frame:
            pieces = [frame.begin(), *map(frame.compress, self._columns_of(first.row).block(chunks))]
            body = b"".join([*pieces, frame.flush()])
        return msgspec.msgpack.encode(_Packed(first.table, columns(first.row), first.shard, "lz4", body))

    async def send(self, token: str, packed: bytes) -> None:
        """Make a packed insert; see `BlockSink.send`."""
        insert = msgspec.msgpack.decode(packed, type=_Packed)
        body = _Bytes(insert.body)
        await self._insert(
            token, insert.table, insert.columns, insert.shard, body, compression=insert.compression
        )

    async def _insert(
        self,
        token: str,
        table: str,
        names: Sequence[str],
        shard: int,
        body: Any,
        *,
        compression: str | None = None,
    ) -> None:
        sharded = SHARDED | {"insert_shard_id": shard} if shard else {}
        with available():
            await self._client.raw_insert(
                table=table,
                column_names=names,
                insert_block=body,
                settings={**_SETTINGS, **sharded, "insert_deduplication_token": token},
                fmt="Native",
                compression=compression,
            )
