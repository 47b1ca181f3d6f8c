"""Blocks into ClickHouse: one insert a block, under a token that makes a second one count for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from clickhouse_connect.driver.asyncclient import AsyncClient

from sinks.base import Block
from sinks.clickhouse.client import available
from streams.domain.rows import columns

#: The same bytes must make the same blocks in every try, or the token would swallow other rows than
#: those it stands for: no parallel parsing, and one block however large.
_SETTINGS: Final = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 100_000_000,
    "min_insert_block_size_rows": 100_000_000,
    "min_insert_block_size_bytes": 4_000_000_000,
    # Every column is sent, and none is null: not looking for either makes parsing a fifth cheaper.
    "input_format_null_as_default": 0,
    "input_format_defaults_for_omitted_fields": 0,
    # A block of late events may touch many months; refusing it would stop the partition for ever.
    "throw_on_max_partitions_per_insert_block": 0,
}


#: Bytes sent at once, at least.
_PIECE: Final = 1 << 16


class _Body:
    """The bytes of a block, the same as often as they are asked for.

    Sent piece by piece: a block in one piece would be copied three times on its way to the socket. A body
    that could be read only once might, on another try, be sent as nothing, and nothing is soon inserted.
    """

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting, size = [], 0
        for chunk in self._chunks:
            waiting.append(chunk)
            size += len(chunk)
            if size >= _PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)


class ClickHouseBlocks:
    """`BlockSink` on ClickHouse over HTTP."""

    def __init__(self, client: AsyncClient) -> None:
        """Use a client bound to the analytics database."""
        self._client = client

    async def start(self) -> None:
        """Check that the server answers."""
        with available():
            await self._client.command("SELECT 1")

    async def write(self, block: Block) -> None:
        """Insert a block; see `BlockSink.write`."""
        if not block.rows:
            return
        with available():
            await self._client.raw_insert(
                table=block.table,
                column_names=columns(block.row),
                insert_block=_Body(block.chunks),
                settings={**_SETTINGS, "insert_deduplication_token": block.token},
                fmt="JSONCompactEachRow",
            )

    async def close(self) -> None:
        """Leave the client to its owner."""
