"""Reading ahead: what is read, that it rests, and that no failure ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import UTC, datetime

import pytest
from structlog.testing import CapturingLogger

from api.parameters import Question
from api.warm_up import MAX_HABITS, WarmUp
from streams.domain.errors import StoreUnavailableError
from streams.domain.windows import Window
from tests.audience.world import asked
from tests.readings.stores import serving

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USUAL = {("30d", "UTC", "activity+growth+retention"), ("7d", "UTC", "engagement")}


class Keeper:
    """Keeps nothing; tells what it was asked to keep, and may fail."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str]] = []
        self.newest_days: str | None = "days"
        self.readies = 0
        self.fails: list[Exception] = []
        self.took: Callable[[], None] = lambda: None
        self.first_event = datetime(2026, 1, 1, tzinfo=UTC)
        self.starts: list[datetime] = []

    async def first(self) -> datetime:
        return self.first_event

    async def prefetch_split(self, now: datetime) -> str | None:
        if self.fails:
            raise self.fails.pop()
        return self.newest_days

    async def prefetch(self, window: Window, parts: Collection[str], split: str) -> None:
        self.kept.append((window.period or "", window.zone.key, "+".join(sorted(parts))))
        self.starts.append(window.start)
        self.took()

    def mark_prefetched(self, split: str) -> None:
        self.readies += 1


def _asked(period: str, zone: str = "UTC") -> Question:
    return asked(period, zone, NOW)


async def test_what_is_asked_by_default_and_what_was_asked_lately_is_read_ahead() -> None:
    keeper, seconds = Keeper(), 0.0
    warm_up = WarmUp(keeper, lambda: NOW, retention_days=1100, seconds=lambda: seconds)
    for period in ("1h", "24h", "1d", "all"):
        warm_up.note(_asked(period, "Asia/Kolkata"), ["growth"])
    await warm_up.once()
    assert set(keeper.kept) == USUAL | {(period, "Asia/Kolkata", "growth") for period in ("1d", "all")}
    assert len(keeper.kept) == len(set(keeper.kept))
    assert keeper.readies == 1
    keeper.kept.clear()
    seconds = 26 * 3600
    await warm_up.once()
    assert set(keeper.kept) == USUAL


async def test_many_windows_are_not_all_read() -> None:
    keeper = Keeper()
    warm_up = WarmUp(keeper, lambda: NOW, retention_days=1100)
    for hour in range(1, 13):
        for period in ("1d", "7d"):
            warm_up.note(_asked(period, f"Etc/GMT+{hour}"), ["growth"])
    await warm_up.once()
    assert len(keeper.kept) == MAX_HABITS + len(USUAL)
    assert ("7d", "Etc/GMT+12", "growth") in keeper.kept
    assert ("1d", "Etc/GMT+1", "growth") not in keeper.kept


async def test_the_next_day_is_read_before_it_begins() -> None:
    keeper, now = Keeper(), datetime(2026, 11, 20, 23, 54, tzinfo=UTC)
    warm_up = WarmUp(keeper, lambda: now, retention_days=1100)
    await warm_up.once()
    assert len(keeper.kept) == 2
    now = datetime(2026, 11, 20, 23, 56, tzinfo=UTC)
    await warm_up.once()
    assert len(keeper.kept) == 2 + 4


async def test_it_is_read_again_only_after_a_change_or_a_while() -> None:
    keeper, seconds = Keeper(), 0.0
    warm_up = WarmUp(keeper, lambda: NOW, retention_days=1100, seconds=lambda: seconds)

    async def readings() -> int:
        keeper.kept.clear()
        await warm_up.once()
        return len(keeper.kept)

    assert [await readings() for _ in range(3)] == [2, 0, 0]
    keeper.newest_days = "other days"
    assert [await readings() for _ in range(2)] == [2, 0]
    keeper.newest_days = None
    assert await readings() == 0
    keeper.newest_days = "other days"
    seconds = 60
    assert [await readings() for _ in range(2)] == [2, 0]


async def test_all_begins_earlier_once_an_older_event_has_landed() -> None:
    keeper = Keeper()
    warm_up = WarmUp(keeper, lambda: NOW, retention_days=1100)
    warm_up.note(_asked("all"), ["growth"])
    await warm_up.once()
    keeper.first_event, keeper.newest_days = datetime(2025, 12, 24, 18, tzinfo=UTC), "other days"
    await warm_up.once()
    firsts = [
        start for start, (period, *_) in zip(keeper.starts, keeper.kept, strict=True) if period == "all"
    ]
    assert firsts == [datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 12, 24, tzinfo=UTC)]


async def test_nothing_is_read_ahead_of_which_a_part_is_not_kept_any_more() -> None:
    keeper = Keeper()
    warm_up = WarmUp(keeper, lambda: NOW, retention_days=20)
    warm_up.note(_asked("all"), ["growth"])
    await warm_up.once()
    kept = {period: start for start, (period, *_) in zip(keeper.starts, keeper.kept, strict=True)}
    # 30 days are refused, too.
    assert kept == {"all": datetime(2026, 11, 3, tzinfo=UTC), "7d": datetime(2026, 11, 14, tzinfo=UTC)}


async def test_a_failure_is_logged_and_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper, rests, seconds = Keeper(), list[float](), 0.0

    async def sleep(rest: float) -> None:
        rests.append(rest)
        if len(rests) == 4:
            await asyncio.Event().wait()

    def took() -> None:
        nonlocal seconds
        seconds += 2

    keeper.took = took
    keeper.fails = [
        ValueError("nobody foresaw"),
        StoreUnavailableError("clickhouse", "down"),
        StoreUnavailableError("clickhouse", "down"),
    ]
    warm_up = WarmUp(keeper, lambda: NOW, retention_days=1100, seconds=lambda: seconds)
    monkeypatch.setattr("api.warm_up.asyncio.sleep", sleep)
    # A logger of its own: where others go, another test may have said in this process.
    log = CapturingLogger()
    monkeypatch.setattr("api.warm_up._log", log)
    async with warm_up.open():
        async with asyncio.timeout(30):
            while len(rests) < 4:
                await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.01)
    # Two readings of two seconds each: it rests for ten times as long.
    assert rests == [30, 30, 300, 40]
    assert len(keeper.kept) == 2
    said = " ".join(call.args[0] for call in log.calls)
    assert said.count("the cache is not warmed") == 1
    assert said.count("reading ahead failed") == 1


async def test_a_reading_that_goes_on_does_not_keep_the_process() -> None:
    keeper = Keeper()
    begun = asyncio.Event()

    async def for_ever(window: Window, parts: Collection[str], split: str) -> None:
        begun.set()
        await asyncio.Event().wait()

    keeper.prefetch = for_ever  # type: ignore[method-assign]
    async with asyncio.timeout(30):
        async with WarmUp(keeper, lambda: NOW, retention_days=1100).open():
            await begun.wait()
    assert keeper.readies == 0


@pytest.mark.parametrize("reads_ahead", [True, False])
async def test_a_process_of_the_api_reads_ahead_from_its_start_to_its_end(reads_ahead: bool) -> None:
    def tasks() -> set[str]:
        return {task.get_name() for task in asyncio.all_tasks()}

    nobody = "127.0.0.1:1"
    async with serving(
        lambda: NOW,
        clickhouse_url=f"http://{nobody}/none",
        redis_url=f"redis://{nobody}/0",
        warm_up=reads_ahead,
    ) as api:
        assert ("warm-up" in tasks()) is reads_ahead
        assert (await api.get("/healthz")).status_code == 200
    assert "warm-up" not in tasks()
