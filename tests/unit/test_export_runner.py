"""The background worker of exports, while Redis is away for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from api.exports.jobs import Job, Status
from api.exports.orders import Order
from api.exports.runner import Runner
from api.exports.source import BrokenSourceError, _checked
from api.exports.storage import Folder, StorageUnavailableError
from streams.domain.errors import StoreUnavailableError
from streams.domain.windows import named, zone_of
from tests.logs import captured
from tests.waiting import until

NOW = datetime(2024, 3, 30, 14, 5, tzinfo=UTC)
ORDER = Order("system", ("api",), "csv", named("1h", zone=zone_of("UTC"), now=NOW))


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the runner logs from now on."""
    return captured(monkeypatch, "api.exports.runner._log")


class FakeJobs:
    """One job, whose lease cannot be renewed at first, or ever."""

    owner = "me"

    #: Whether another process has it meanwhile.
    lost = False

    def __init__(self, away: float, away_at_the_end: int = 0) -> None:
        self.waiting: Job | None = Job(
            "exp_1", ORDER.to_json(), "csv", Status.QUEUED, NOW, NOW + timedelta(hours=1)
        )
        self.away, self.renewals, self.completed = away, 0, asyncio.Event()
        self.away_at_the_end, self.reason, self.over = away_at_the_end, "", asyncio.Event()

    async def take(self) -> Job | None:
        job, self.waiting = self.waiting, None
        return job

    async def release(self, export_id: str) -> None:
        raise StoreUnavailableError("redis", "away")

    async def renew(self, export_id: str, rows: int | None, size: int) -> bool:
        self.renewals += 1
        if self.renewals <= self.away:
            raise StoreUnavailableError("redis", "away")
        return not self.lost

    async def complete(self, export_id: str, rows: int | None, size: int) -> bool:
        self._end()
        self.completed.set()
        return True

    async def fail(self, export_id: str, reason: str) -> None:
        self._end()
        self.reason = reason
        self.over.set()

    def _end(self) -> None:
        self.away_at_the_end -= 1
        if self.away_at_the_end >= 0:
            raise StoreUnavailableError("redis", "away")


class SlowSource:
    """A source whose rows come as soon as `may_go_on` says so."""

    def __init__(self, may_go_on: Callable[[], bool] = lambda: True) -> None:
        self.asked, self.left, self._may_go_on = 0, asyncio.Event(), may_go_on

    @asynccontextmanager
    async def stream(self, query: Any, encoding: str, settings: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked += 1

        async def pieces() -> AsyncIterator[bytes]:
            await until(self._may_go_on)
            yield b'"time"\n"2024"\n'

        try:
            yield pieces()
        finally:
            self.left.set()


@pytest.mark.parametrize(
    ("away", "lease", "ends"),
    # Of a busy machine, the first lease must outlast the pauses.
    [(3, 10.0, True), (float("inf"), 0.2, False)],
    ids=["a moment", "for good"],
)
async def test_an_export_goes_on_while_its_lease_lasts(
    away: float, lease: float, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.exports.runner._RENEW_SECONDS", 0.02)
    monkeypatch.setattr("api.exports.runner.LEASE_SECONDS", lease)
    jobs: Any = FakeJobs(away)
    source: Any = SlowSource(lambda: jobs.renewals > away)
    running = asyncio.create_task(Runner(jobs, source, Folder(tmp_path), 3600).run())
    try:
        if ends:
            await asyncio.wait_for(jobs.completed.wait(), 30)
            assert (tmp_path / "exp_1.csv").read_bytes() == b'"time"\n"2024"\n'
        else:
            await asyncio.wait_for(source.left.wait(), 30)
            await until(lambda: list(tmp_path.iterdir()) == [])
            assert not (jobs.completed.is_set() or jobs.over.is_set())
    finally:
        running.cancel()
        await asyncio.wait({running})


class BrokenSource(SlowSource):
    error: Exception = BrokenSourceError("broken off")

    @asynccontextmanager
    async def stream(self, query: Any, encoding: str, settings: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked += 1
        if self.asked:
            raise self.error
        async with super().stream(query, encoding, settings) as pieces:
            yield pieces


class NoSpace(BrokenSource):
    """Fails as the file does that its pieces are written to."""

    error = OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", [SlowSource, BrokenSource, NoSpace])
async def test_an_outcome_is_stored_once_redis_is_back(
    kind: type[SlowSource], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.exports.runner._STORE_SECONDS", 0.01)
    jobs, source = FakeJobs(0, away_at_the_end=3), kind()
    running = asyncio.create_task(Runner(jobs, source, Folder(tmp_path), 3600).run())  # type: ignore[arg-type]
    try:
        await asyncio.wait_for((jobs.completed if kind is SlowSource else jobs.over).wait(), 30)
        assert source.asked == 1
        assert [file.name for file in tmp_path.iterdir()] == (["exp_1.csv"] if kind is SlowSource else [])
        told = {SlowSource: "", BrokenSource: "could not be read", NoSpace: "could not be written"}[kind]
        assert told in jobs.reason and bool(jobs.reason) == bool(told)
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_a_runner_that_waits_to_store_an_outcome_can_be_stopped(tmp_path: Path) -> None:
    jobs: Any = FakeJobs(0, away_at_the_end=10**9)
    running = asyncio.create_task(Runner(jobs, SlowSource(), Folder(tmp_path), 3600).run())  # type: ignore[arg-type]
    await until(lambda: jobs.away_at_the_end < 10**9)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=30)
    assert done == {running}


@pytest.mark.parametrize("form", ["csv", "xlsx"])
async def test_whoever_lost_an_export_stops_writing_it_and_leaves_the_file_of_the_other(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.exports.runner._RENEW_SECONDS", 0.02)
    jobs, other = FakeJobs(0), tmp_path / f"exp_1.{form}"
    assert jobs.waiting is not None
    jobs.waiting = replace(jobs.waiting, extension=form, order=replace(ORDER, format=form).to_json())
    jobs.lost = True
    other.write_bytes(b"of the other")
    source = SlowSource(lambda: False)
    running = asyncio.create_task(Runner(jobs, source, Folder(tmp_path), 3600).run())  # type: ignore[arg-type]
    try:
        # Its query ends: nothing else would free its connection.
        await asyncio.wait_for(source.left.wait(), 30)
        await until(lambda: list(tmp_path.iterdir()) == [other])
        assert other.read_bytes() == b"of the other"
        assert not (jobs.completed.is_set() or jobs.over.is_set())
    finally:
        running.cancel()
        await asyncio.wait({running})


async def test_whoever_slept_while_another_made_its_export_does_not_replace_the_file(tmp_path: Path) -> None:
    jobs, source, other = FakeJobs(0), SlowSource(), tmp_path / "exp_1.csv"
    jobs.lost = True
    other.write_bytes(b"of the other")
    running = asyncio.create_task(Runner(jobs, source, Folder(tmp_path), 3600).run())  # type: ignore[arg-type]
    try:
        await until(lambda: jobs.renewals and list(tmp_path.iterdir()) == [other])
        assert other.read_bytes() == b"of the other"
        assert not (jobs.completed.is_set() or jobs.over.is_set())
    finally:
        running.cancel()
        await asyncio.wait({running})


class Cut(SlowSource):
    """A source whose connection breaks after the first piece, as the real one says it."""

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield b'"time"\n'
        raise aiohttp.ClientPayloadError("Response payload is not completed")

    @asynccontextmanager
    async def stream(self, query: Any, encoding: str, settings: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        self.asked += 1
        yield _checked(self._pieces())


async def test_an_export_that_clickhouse_leaves_in_the_middle_is_neither_whole_nor_over(
    tmp_path: Path, logs: list[Any]
) -> None:
    jobs, source = FakeJobs(0), Cut()
    running = asyncio.create_task(Runner(jobs, source, Folder(tmp_path), 3600).run())  # type: ignore[arg-type]
    try:
        await until(lambda: logs)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert [entry["event"] for entry in logs] == ["an export waits for a store and will be retried"]
    assert list(tmp_path.iterdir()) == []
    assert not (jobs.completed.is_set() or jobs.over.is_set())


class Unswept(Folder):
    """A folder from which nothing can be removed."""

    sweep_seconds = 0.0

    async def sweep(self, before: float) -> None:
        raise StorageUnavailableError("away")


async def test_an_export_is_made_though_old_ones_cannot_be_removed_and_another_was_a_mishap(
    tmp_path: Path, logs: list[Any]
) -> None:
    jobs = FakeJobs(0)
    assert jobs.waiting is not None
    whole = jobs.waiting
    # A spreadsheet waits in a folder of its own.
    jobs.waiting = replace(whole, order="{}", extension="xlsx")
    runner = Runner(jobs, SlowSource(), Unswept(tmp_path), 3600)  # type: ignore[arg-type]
    running = asyncio.create_task(runner.run())
    try:
        await until(lambda: len(logs) > 1)
        jobs.waiting = whole
        runner.wake()
        await asyncio.wait_for(jobs.completed.wait(), 30)
    finally:
        running.cancel()
        await asyncio.wait({running})
    assert [entry["event"] for entry in logs][:2] == [
        "old exports were not removed",
        "an export ended unexpectedly",
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["exp_1.csv"]
