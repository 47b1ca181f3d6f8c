"""Results of ClickHouse as a stream of bytes, encoded by ClickHouse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from sinks.clickhouse.client import READING, READING_ONLY, available, connect
from sinks.clickhouse.queries import Query

#: The end of the block that ClickHouse appends when a query fails after it sent its first bytes.
_EXCEPTION_END: Final = b"__exception__\r\n"
_GAVE_UP: Final = "ClickHouse gave up in the middle of the result; its own log says why"
#: Seconds that ClickHouse may take until the next piece; sorting comes before the first one.
_SILENCE_SECONDS: Final = 1800.0


class BrokenSourceError(Exception):
    """ClickHouse refused the query, or failed in the middle; the message is for the log."""


class Source:
    """Streams results; it connects at the first one, with connections of its own."""

    def __init__(self, url: str) -> None:
        """Remember the address."""
        self._url = url
        self._client: AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    @asynccontextmanager
    async def stream(
        self, query: Query, encoding: str, settings: dict[str, Any]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Run a query and lend its result, piece by piece.

        Raises `Unavailable` when ClickHouse cannot be reached now or the connection breaks, and
        `BrokenSourceError` when the query cannot be answered. Leaving early ends the query.
        """
        try:
            with available():
                if self._client is None:
                    self._client = await connect(
                        self._url,
                        read_timeout=_SILENCE_SECONDS,
                        connections=4,
                        name="vca-export",
                        settings=READING,
                        where_known=READING_ONLY,
                    )
                answer = await self._client.raw_stream(
                    query.sql, parameters=query.parameters, settings=settings, fmt=encoding
                )
        except Error as error:
            raise BrokenSourceError(str(error)) from error
        # Errors of the caller, such as a full disk, pass as they are: they are not ClickHouse's.
        async with answer as pieces:
            yield _checked(pieces)


async def _checked(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces; raise as `Source.stream` does if the connection or the query fails meanwhile."""
    tail = b""
    with available():
        try:
            async for piece in pieces:
                tail = (tail + piece)[-len(_EXCEPTION_END) :]
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            # The connection also breaks after an error block; without one, it was the network.
            if tail == _EXCEPTION_END:
                raise BrokenSourceError(_GAVE_UP) from error
            raise
    if tail == _EXCEPTION_END:
        raise BrokenSourceError(_GAVE_UP)
