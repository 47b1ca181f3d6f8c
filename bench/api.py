"""The API's response times over the roll-ups of a hundred million events, compared with ClickHouse alone.

For each number of events, the benchmark generates the roll-ups in SQL (`bench.rollups`), starts the API as a
process of its own in front of them, and requests every endpoint repeatedly, one request at a time. After each
answer it runs the same queries directly against ClickHouse, over the same protocol and with the same
concurrency: the difference is the API's own share.

    python -m bench.api --millions 1 --millions 100

Milliseconds depend on the machine and its load; compare the share, and the same endpoint with a hundred
times the events. The CPU time of an answer in ClickHouse hardly depends on the machine's other load.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, takewhile
from pathlib import Path
from typing import Annotated, Any, Final

import aiohttp
import psutil
import typer
from rich.console import Console
from rich.table import Table

from api.parameters import PREVIOUS, Question, QuestionParser
from api.system_service import SystemService
from api.user_service import UserService
from api.video_service import VideoService
from api.warm_up import WarmUp
from bench.freshness import percentile
from bench.metrics import samples
from bench.recorder import Recorder, run
from bench.rollups import Size, going_on
from bench.standing import Standing, serving
from sinks.clickhouse.client import connect
from sinks.clickhouse.day_cache import DayCache, Split
from sinks.clickhouse.known_audience import KnownAudience
from sinks.clickhouse.known_cache import KnownCache
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.system_reader import ClickHouseSystem
from sinks.clickhouse.user_reader import ClickHouseUsers
from streams.domain.definitions import USERS, VIDEO
from streams.domain.instruments import CACHE
from streams.domain.metrics import groups_of

_PERIOD: Final = "30d"
#: Seconds of requests to each endpoint before its measurement: connections are opened, and the API caches
#: results about past days only after some seconds.
_WARM_UP_SECONDS: Final = 6.0
#: Longest wait, in seconds, for the API to warm its cache: it pauses ten times as long as it reads.
_READ_AHEAD_SECONDS: Final = 600.0
#: ClickHouse counts as idle when it has used less than this share of a core for `_IDLE_SECONDS`, which is
#: longer than the API waits before it looks for something to read ahead.
_IDLE_SHARE: Final = 0.1
_IDLE_SECONDS: Final = 7
#: Size of the cache of known users in the service that records the queries.
_KNOWN_BYTES: Final = 1 << 30
#: Inserts per second into a table, as by a worker.
_INSERTS: Final = 4
_VIDEO_ID: Final = "vid_000000"
_USERS_PATH: Final = "/analytics/users"


@dataclass(slots=True)
class Times:
    """Seconds of each answer of an endpoint, and of its queries alone.

    `first` is the very first answer; `cpu` is the CPU time of an answer in ClickHouse, in seconds.
    """

    first: float = 0.0
    cpu: float = 0.0
    answers: list[float] = field(default_factory=list)
    queries: list[float] = field(default_factory=list)


Ask = Callable[[Question], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A request: its path and parameters, and `ask`, which puts the same question to the service directly."""

    name: str
    path: str
    parameters: dict[str, str]
    ask: Ask


def reading_ahead(reader: ClickHouseReader) -> tuple[UserService, WarmUp[Split]]:
    """Return the API's user service, and the warm-up of its cache."""
    known = KnownAudience(reader, KnownCache(_KNOWN_BYTES))
    users = ClickHouseUsers(reader, DayCache(reader), known)
    warm_up = WarmUp(users, lambda: datetime.now(UTC), retention_days=1100)
    return UserService(users, warm_up.note), warm_up


def endpoints(reader: ClickHouseReader, audience: UserService) -> list[Endpoint]:
    """Return the endpoints to query: all that ClickHouse answers, for thirty days."""
    videos = VideoService(reader, reader, reader, reader)
    operations = SystemService(ClickHouseSystem(reader))

    def users(*metrics: str) -> Ask:
        return lambda asked: audience.users(asked, groups_of(USERS, list(metrics) or None))

    video: Ask = lambda asked: videos.video(_VIDEO_ID, asked, groups_of(VIDEO, None), None)  # noqa: E731
    return [
        Endpoint("one video", f"/analytics/videos/{_VIDEO_ID}", {}, video),
        Endpoint("videos summary", "/analytics/videos/summary", {}, videos.summary),
        Endpoint("users", _USERS_PATH, {}, users()),
        Endpoint("users: activity", _USERS_PATH, {"metrics": "activity"}, users("activity")),
        Endpoint("users: growth", _USERS_PATH, {"metrics": "growth"}, users("growth")),
        Endpoint("users: retention", _USERS_PATH, {"metrics": "retention"}, users("retention")),
        Endpoint("user engagement", f"{_USERS_PATH}/engagement", {}, audience.engagement),
        Endpoint("system health", "/analytics/system/health", {}, operations.health),
        Endpoint("system performance", "/analytics/system/performance", {}, operations.performance),
    ]


def _asked() -> Question:
    parser = QuestionParser(datetime.now(UTC), raw_retention_days=180, rollup_retention_days=1100)
    return parser.parse(period=_PERIOD, default="", start=None, end=None, zone="UTC", compare=PREVIOUS)


@asynccontextmanager
async def traffic(behind: Standing, size: Size, rows: int) -> AsyncIterator[None]:
    """Insert so many rows into the tables of sessions and users a second, in four inserts each; none if 0."""
    running, client = bool(rows), await connect(behind.url)

    async def insert() -> None:
        for turn in takewhile(lambda _: running, count()):
            for statement in going_on(size, datetime.now(UTC).date(), max(1, rows // _INSERTS), turn):
                await client.command(statement)
            await asyncio.sleep(1 / _INSERTS)

    inserting = asyncio.create_task(insert())
    try:
        yield
    finally:
        running = False
        await inserting
        await client.close()


async def measure(
    api_url: str,
    behind: Standing,
    size: Size,
    seconds: float,
    only: str,
    wait: float = 0.0,
    live: int = 0,
) -> dict[str, Times]:
    """Request every endpoint for some seconds; answers and their bare queries take turns.

    Before that, wait `wait` seconds, or until ClickHouse is idle if 0: the API warms its cache at its start.
    With `live`, so many rows a second are inserted meanwhile. What an answer reads depends on what changed
    since the one before: its queries are recorded anew each time.
    """
    await (asyncio.sleep(wait) if wait else _until_idle(behind.clickhouse))
    reader = Recorder(behind.url, ping_timeout=60, query_timeout=300)
    bare = ClickHouseReader(behind.url, ping_timeout=60, query_timeout=300)
    audience, warm_up = reading_ahead(reader)
    measured: dict[str, Times] = {}
    try:
        async with aiohttp.ClientSession(api_url) as session, traffic(behind, size, live):
            for endpoint in endpoints(reader, audience):
                if only not in endpoint.name:
                    continue
                times = measured[endpoint.name] = Times()
                times.first = await _answer(session, endpoint)
                until = time.monotonic() + _WARM_UP_SECONDS
                while time.monotonic() < until:
                    await _answer(session, endpoint)
                    reader.asked = []
                    await endpoint.ask(_asked())
                await warm_up.once()
                await _until_kept(session, api_url, endpoint)
                for _ in range(2):
                    reader.asked = []
                    await endpoint.ask(_asked())
                queries = reader.asked
                until, cpu = time.monotonic() + seconds, _cpu(behind.clickhouse)
                while time.monotonic() < until or len(times.answers) < 5:
                    if live:
                        reader.asked = []
                        await endpoint.ask(_asked())
                        queries = reader.asked
                    times.answers.append(await _answer(session, endpoint))
                    began = time.perf_counter()
                    for together in queries:
                        await asyncio.gather(*(run(bare, query) for query in together))
                    times.queries.append(time.perf_counter() - began)
                # An answer and its bare queries cost ClickHouse the same, so each is half.
                times.cpu = (_cpu(behind.clickhouse) - cpu) / len(times.answers) / 2
    finally:
        await reader.close()
        await bare.close()
    return measured


async def _until_idle(process: psutil.Process) -> None:
    """Wait until a process has hardly used a core for some seconds in a row."""
    until, quiet = time.monotonic() + _READ_AHEAD_SECONDS, 0
    while quiet < _IDLE_SECONDS and time.monotonic() < until:
        before = _cpu(process)
        await asyncio.sleep(1)
        quiet = quiet + 1 if _cpu(process) - before < _IDLE_SHARE else 0


def _cpu(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


async def _answer(session: aiohttp.ClientSession, endpoint: Endpoint) -> float:
    """Send a query, and return the seconds it took."""
    began = time.perf_counter()
    async with session.get(endpoint.path, params={"period": _PERIOD, **endpoint.parameters}) as response:
        body = await response.read()
        if response.status != 200:
            raise RuntimeError(f"{endpoint.path} answered {response.status}: {body[:300]!r}")
    return time.perf_counter() - began


async def _until_kept(session: aiohttp.ClientSession, api_url: str, endpoint: Endpoint) -> None:
    """Send requests until the API has cached all data that an answer needs, or until the time is up."""
    until = time.monotonic() + _READ_AHEAD_SECONDS
    missed, before = -1.0, await asyncio.to_thread(_misses, api_url)
    while missed != before and time.monotonic() < until:
        await _answer(session, endpoint)
        missed, before = before, await asyncio.to_thread(_misses, api_url)
        await asyncio.sleep(0.5)


def _misses(api_url: str) -> float:
    """Return the number of misses of the caches that the API warms."""
    return sum(
        sample.value
        for sample in samples(api_url, CACHE.name)
        if sample.labels["cache"] in {"days", "people"} and sample.labels["outcome"] == "miss"
    )


def table(measured: dict[int, dict[str, Times]]) -> Table:
    """Return the results as a table, by millions of events."""
    shown = Table(title=f"period={_PERIOD}, milliseconds", title_justify="left")
    shown.add_column("endpoint")
    for millions in measured:
        for name in ("first", "p50", "p99", "queries p50", "API's share", "CPU"):
            shown.add_column(f"{name}\n{millions} M", justify="right")
    if len(measured) > 1:
        shown.add_column("growth", justify="right")
    first = next(iter(measured.values()))
    for name in first:
        cells, medians = [], []
        for times in (each[name] for each in measured.values()):
            answers, queries = sorted(times.answers), sorted(times.queries)
            shares = sorted(a - q for a, q in zip(times.answers, times.queries, strict=True))
            p50 = percentile(answers, 0.5)
            medians.append(p50)
            numbers = (
                times.first,
                p50,
                percentile(answers, 0.99),
                percentile(queries, 0.5),
                percentile(shares, 0.5),
                times.cpu,
            )
            cells += [f"{number * 1000:.1f}" for number in numbers]
        if len(measured) > 1:
            cells.append(f"{medians[-1] / medians[0]:.1f}")
        shown.add_row(name, *cells)
    return shown


def main(
    millions: Annotated[
        list[int] | None, typer.Option(min=1, help="Millions of events; repeat to compare. [default: 1, 100]")
    ] = None,
    daily_users: Annotated[
        int | None, typer.Option(min=1, help="Users per day. [default: in proportion to the events]")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to query each endpoint.")] = 5,
    only: Annotated[str, typer.Option(help="Query only endpoints whose name contains this text.")] = "",
    wait: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds before the first query; 0 to wait until the API has warmed its cache."
        ),
    ] = 0,
    hours: Annotated[
        float | None,
        typer.Option(min=0, max=23.99, help="Hours of today that have data. [default: those until now]"),
    ] = None,
    live: Annotated[
        int, typer.Option(min=0, help="Rows per second that change sessions and users of today meanwhile.")
    ] = 0,
    keep: Annotated[
        Path | None, typer.Option(help="Folder that keeps the generated data for the next run.")
    ] = None,
) -> None:
    """Measure the API's endpoints over generated roll-ups."""
    console = Console(width=int(os.environ.get("COLUMNS", "140")))
    measured = {}
    for each in millions or [1, 100]:
        size = Size.of(each * 1_000_000, daily_users)
        with serving(size, console, keep, hours) as (address, behind):
            measured[each] = asyncio.run(measure(address, behind, size, seconds, only, wait, live))
    console.print(table(measured))


if __name__ == "__main__":
    typer.run(main)
