"""A reader that records the queries behind an answer, so that they can be run alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sinks.clickhouse.native_reader import Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader


class Recorder(ClickHouseReader):
    """A reader that records the queries it runs, in a list for each group of concurrent queries."""

    asked: list[list[Query | TableQuery]]
    _running = 0

    @contextmanager
    def _noting(self, query: Query | TableQuery) -> Iterator[None]:
        if not self._running:
            self.asked.append([])
        self.asked[-1].append(query)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        """Record a query, and run it."""
        with self._noting(query):
            return await super().rows(query)

    async def table(self, asked: TableQuery) -> Table:
        """Record a query, and run it."""
        with self._noting(asked):
            return await super().table(asked)


async def run(reader: ClickHouseReader, query: Query | TableQuery) -> None:
    """Run a recorded query."""
    await (reader.table(query) if isinstance(query, TableQuery) else reader.rows(query))
