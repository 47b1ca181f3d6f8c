"""Readings of videos from ClickHouse, for any window."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from math import ceil
from typing import Any, Final

import orjson
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from sinks.base import QueryObserver, Unavailable, ignore_query
from sinks.clickhouse import facts, queries
from sinks.clickhouse.client import GROUPING, READING, READING_ONLY, REFUSING, available, connect
from sinks.clickhouse.migrator import checksums
from sinks.clickhouse.native_reader import FORMAT, Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.schema_state import APPLIED, compare
from sinks.single_flight import SingleFlight, let_go, shared_result
from streams.domain.errors import MigrationError, StoreUnavailableError
from streams.domain.measures import Sums
from streams.domain.metrics import SUMMARY_MEASURES
from streams.domain.timeline import Timeline
from streams.domain.video_readings import CatalogEntry, RankedVideo, SummaryReading, VideoReading
from streams.domain.windows import Window

_STORE: Final = "clickhouse"
#: A query that takes this share of `ping_timeout` is followed by pings: soon, because that neither store
#: answers must be said within 3 s, and Redis was waited for before.
_PING_AFTER: Final = 0.25
#: Tables of more bytes are copied in a thread: that takes milliseconds, and would delay other requests.
_LARGE: Final = 1 << 23


class ClickHouseReader:
    """`VideoReader` and `Catalog` on ClickHouse.

    It connects at the first query and again after a failure, so it can be created while the server is down.
    It waits for a slow server as long as that answers pings; a query fails if a ping has no answer within
    `ping_timeout` seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        ping_timeout: float = 1.0,
        query_timeout: float = 30.0,
        connections: int = 20,
        on_query: QueryObserver = ignore_query,
    ) -> None:
        """Remember the URL. `query_timeout` bounds a query, and its wait for a connection, in seconds.

        `on_query` is called after each.
        """
        self._url = url
        self._ping_timeout = ping_timeout
        self._query_timeout = query_timeout
        self._connections = connections
        self._on_query = on_query
        self._client: AsyncClient | None = None
        self._connecting: asyncio.Task[AsyncClient] | None = None
        self._slots = asyncio.Semaphore(connections)
        self._silent_at = float("-inf")
        self._pings = SingleFlight[bool]()

    async def _connected(self) -> AsyncClient:
        """Return the client; callers that come while it connects wait for the same attempt."""
        if self._client is None:
            if self._connecting is None or _failed(self._connecting):
                self._connecting = asyncio.create_task(
                    connect(
                        self._url,
                        connect_timeout=self._ping_timeout,
                        read_timeout=self._query_timeout,
                        # Some connections are reserved for pings.
                        connections=self._connections + 4,
                        name="vca-api",
                        settings=READING | self._limits(),
                        where_known=GROUPING | READING_ONLY,
                    )
                )
            async with asyncio.timeout(1.5 * self._ping_timeout):
                self._client = await shared_result(self._connecting)
        return self._client

    def _limits(self) -> dict[str, str]:
        """Return settings that end a query on the server when nobody waits for it any more."""
        return {
            "cancel_http_readonly_queries_on_client_close": "1",
            # In case the server does not learn that the connection was closed.
            "max_execution_time": str(ceil(self._query_timeout)),
        }

    async def close(self) -> None:
        """Close the connections."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ready(self) -> None:
        """Raise `StoreUnavailableError` if the server is away, `MigrationError` while tables are missing."""
        rows = await self.rows(Query(APPLIED, {}))
        found = compare(checksums(), {row["name"]: row["checksum"] for row in rows})
        found.check()
        if found.lacks:
            raise MigrationError(found.lacks)

    async def rows(self, query: Query) -> list[dict[str, Any]]:
        """Run a query and return its rows; raise `StoreUnavailableError` when it cannot run now."""
        answer = await self._answer(query, "JSONEachRow")
        with _complete_answer():
            return [orjson.loads(line) for line in answer.splitlines()]

    async def table(self, asked: TableQuery) -> Table:
        """Run a query and return its columns; raise `StoreUnavailableError` as `rows` does."""
        answer = await self._answer(asked.query, FORMAT)
        with _complete_answer():
            if len(answer) > _LARGE:
                return await asyncio.to_thread(asked.shape.read, answer)
            return asked.shape.read(answer)

    async def _answer(self, query: Query, form: str) -> bytes:
        async with self._borrow_client() as client:
            asked = asyncio.create_task(
                client.raw_query(
                    query.sql,
                    parameters=query.parameters,
                    settings={"output_format_json_quote_64bit_integers": 0},
                    fmt=form,
                )
            )
            try:
                return await self._await_answer(client, asked)
            finally:
                let_go(asked)

    @asynccontextmanager
    async def _borrow_client(self) -> AsyncIterator[AsyncClient]:
        """Lend the client; transient failures and missing rights become `StoreUnavailableError`."""
        began, answered = asyncio.get_running_loop().time(), False
        try:
            client = await self._connected()
            async with self._slot():
                if self._silent_at >= began:
                    raise Unavailable("ClickHouse did not answer the queries before this one")
                with available():
                    yield client
            answered = True
        except (Unavailable, TimeoutError) as error:
            raise StoreUnavailableError(_STORE, str(error) or "no answer") from error
        except Error as error:
            if error.code not in REFUSING:
                raise
            raise StoreUnavailableError(_STORE, f"ClickHouse: {error}") from error
        finally:
            self._on_query(_STORE, asyncio.get_running_loop().time() - began, answered)

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Wait for one of the connections, at most as long as a query may take, and hold it.

        Callers that have gone wait as well. Without a limit there would be ever more of them while a server
        is slow, and they would be answered first when it is back.
        """
        try:
            async with asyncio.timeout(self._query_timeout):
                await self._slots.acquire()
        except TimeoutError as error:
            raise Unavailable(
                f"too many queries: no connection was free within {self._query_timeout:g} s"
            ) from error
        try:
            yield
        finally:
            self._slots.release()

    async def _await_answer(self, client: AsyncClient, asked: asyncio.Task[bytes]) -> bytes:
        """Wait for an answer while the server answers pings, and for `query_timeout` at most."""
        async with asyncio.timeout(self._query_timeout):
            while not (await asyncio.wait({asked}, timeout=_PING_AFTER * self._ping_timeout))[0]:
                # One for all: pings wait for a connection, too, and then the server would seem to be silent.
                answers = await self._pings.run("", lambda: client.ping(self._ping_timeout))
                if not (answers or asked.done()):
                    self._silent_at = asyncio.get_running_loop().time()
                    raise Unavailable(f"no answer, and none to a ping within {self._ping_timeout:g} s")
        return asked.result()

    async def entry(self, video_id: str) -> CatalogEntry:
        """See `Catalog.entry`."""
        (row,) = await self.rows(queries.catalog_entry(video_id))
        listed = bool(row["versions"]) and not row["deleted"]
        return CatalogEntry(
            listed=listed,
            title=row["title"] if listed else None,
            live=listed and bool(row["live"]),
            first=_instant(row["first"]),
        )

    async def titles(self, video_ids: Collection[str]) -> Mapping[str, str]:
        """See `Catalog.titles`."""
        if not video_ids:
            return {}
        return {row["video_id"]: row["newest"] for row in await self.rows(queries.catalog_titles(video_ids))}

    async def live(self) -> Collection[str]:
        """See `Catalog.live`."""
        return frozenset(row["video_id"] for row in await self.rows(queries.live_videos()))

    async def first(self) -> datetime | None:
        """See `Catalog.first`."""
        (row,) = await self.rows(queries.first_data())
        return _instant(row["first"])

    async def video(
        self, video_id: str, window: Window, timeline: Timeline, measures: Collection[str], compare: bool
    ) -> VideoReading:
        """See `VideoReader.video`."""
        wants_users = "views" in measures
        sums, users = await asyncio.gather(
            self.rows(queries.video_sums(video_id, window, timeline, measures, compare)),
            self.rows(queries.video_uniques(video_id, window, timeline)) if wants_users else _nothing(),
        )
        position = {edge: number for number, edge in enumerate(timeline.edges)}
        pieces: dict[int, Sums] = {}
        points: dict[int, Sums] = {}
        dimensions: dict[int, dict[str, int]] = {
            queries.BY_COUNTRY: {},
            queries.BY_DEVICE: {},
            queries.BY_PLATFORM: {},
        }
        named = {
            queries.BY_COUNTRY: "country",
            queries.BY_DEVICE: "device",
            queries.BY_PLATFORM: "platform",
        }
        for row in sums:
            part = row["part"]
            if part == queries.BY_PIECE:
                pieces[row["piece"]] = _sums(row, measures)
            elif part == queries.BY_SLOT:
                if row["slot"]:
                    points[position[row["slot"]]] = _sums(row, measures)
            elif row["views"] and row[named[part]]:
                dimensions[part][row[named[part]]] = row["views"]
        elapsed = pieces.get(facts.ELAPSED, {})
        rest = pieces.get(facts.REST, {})
        return VideoReading(
            total={name: elapsed.get(name, 0) + rest.get(name, 0) for name in measures},
            elapsed=elapsed,
            before=pieces.get(facts.BEFORE, {}) if compare and window.previous else None,
            unique=sum(row["users"] for row in users if row["whole"]),
            points=points,
            unique_points={position[row["slot"]]: row["users"] for row in users if not row["whole"]},
            countries=dimensions[queries.BY_COUNTRY],
            devices=dimensions[queries.BY_DEVICE],
            platforms=dimensions[queries.BY_PLATFORM],
        )

    async def summary(self, window: Window, compare: bool) -> SummaryReading:
        """See `VideoReader.summary`."""
        compares = compare and window.previous is not None
        (row,), trends = await asyncio.gather(
            self.rows(queries.summary_sums(window)),
            self.rows(queries.summary_trends(window)) if compares else _nothing(),
        )
        names = SUMMARY_MEASURES
        pieces = {each["piece"]: {name: each[f"s_{name}"] for name in names} for each in trends}

        def sums(prefix: str) -> Sums:
            return {name: row.get(f"{prefix}_{name}", 0) for name in names}

        return SummaryReading(
            videos=row["videos"],
            total=sums("total"),
            elapsed=pieces.get(facts.ELAPSED, {}),
            before=pieces.get(facts.BEFORE, {}) if compares else None,
            recorded=sums("recorded"),
            reactions=sums("viewed"),
            top=tuple(
                RankedVideo(video_id, dict(zip(sorted(names), values, strict=True)))
                for _, _, video_id, *values in row["top"]
            ),
        )


@contextmanager
def _complete_answer() -> Iterator[None]:
    """Turn the parse error of a truncated answer into `StoreUnavailableError`."""
    try:
        yield
    except ValueError as error:
        raise StoreUnavailableError(_STORE, f"a response that broke off: {error}") from error


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _sums(row: Mapping[str, Any], measures: Collection[str]) -> Sums:
    return {name: row[name] for name in measures}


def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


async def _nothing() -> list[dict[str, Any]]:
    return []
