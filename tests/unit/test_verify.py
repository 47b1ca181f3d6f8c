"""What must agree between the stores, and how a difference is told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from io import StringIO
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from deploy.operations.verify import (
    Check,
    balance,
    kept_sums,
    lasting,
    offsets,
    raw_rows,
    shortened,
    steady,
    window,
)
from deploy.operations.verify_command import _show
from deploy.operations.verifying import Verification
from docs.schema_page import feeds, tables
from sinks.base import Books, Ledger, Partition
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.clickhouse.audit import Bounds, Difference, Forgotten, Ingested
from sinks.clickhouse.forgetting import PERSONAL
from sinks.clickhouse.rollups import NOT_ROLLED_UP, RAW, ROLLUP_QUERIES, SUMS
from sinks.redis.window import LiveCounters, RedisWindow, expected
from streams.domain.aggregate import Live
from streams.settings import Settings

HERE = Partition("c", "playback.events", 0)
WHERE = ("c", "playback.events", 0)
DONE = Ledger(3, counted=100, block_from=50, block_to=90, landed=88)


def test_a_ledger_and_clickhouse_that_agree() -> None:
    assert offsets(HERE, DONE, {WHERE: Ingested(88, 80)}) == []
    assert offsets(HERE, replace(DONE, landed=0), {}) == []


def test_rows_that_one_of_them_does_not_know() -> None:
    assert (
        "up to offset 88, ClickHouse has them up to 70" in offsets(HERE, DONE, {WHERE: Ingested(70, 60)})[0]
    )
    assert "up to 0" in offsets(HERE, DONE, {})[0]
    assert offsets(HERE, replace(DONE, incarnation=1), {WHERE: Ingested(88, 80)}) != []


def test_a_block_under_way_may_be_in_or_not_but_nothing_else() -> None:
    doubt = replace(DONE, done=False, landed=50)
    for landed in (50, 88, 90):
        assert offsets(HERE, doubt, {WHERE: Ingested(landed, 40)}) == []
    assert offsets(HERE, doubt, {WHERE: Ingested(95, 40)}) != []


def test_books_balance_when_every_record_has_a_fate_and_every_stored_one_a_row() -> None:
    booked = {WHERE: Ingested(88, 60), ("c#1", "playback.events", 0): Ingested(20, 10)}
    assert balance(HERE, DONE, Books(100, 75, 20, 3, 2), booked) == []
    assert "100 records read, but 99" in balance(HERE, DONE, Books(100, 75, 20, 2, 2), booked)[0]
    # Ten records are counted and not landed yet, so at most ten rows may be missing.
    assert "ClickHouse has 70" in balance(HERE, DONE, Books(106, 81, 20, 3, 2), booked)[0]
    assert balance(HERE, replace(DONE, generation=7), Books(106, 81, 20, 3, 2), booked) == []


def test_double_and_missing_rows_are_told_apart() -> None:
    booked = {WHERE: Ingested(88, 60)}
    assert raw_rows(booked, {WHERE: (60, 60)}, HERE.topic, {}, whole=True).differences == []
    assert "some are double" in raw_rows(booked, {WHERE: (60, 59)}, HERE.topic, {}, whole=True).differences[0]
    assert "50 rows, but 60" in raw_rows(booked, {WHERE: (50, 50)}, HERE.topic, {}, whole=True).differences[0]
    aged = raw_rows(booked, {WHERE: (50, 50)}, HERE.topic, {}, whole=False)
    assert aged.differences == [] and aged.notes
    assert raw_rows(booked, {WHERE: (61, 61)}, HERE.topic, {}, whole=False).differences != []


def test_rows_that_were_forgotten_are_not_missing_and_no_others_are_excused() -> None:
    booked, gone = {WHERE: Ingested(88, 60)}, {WHERE: 10}
    right = raw_rows(booked, {WHERE: (50, 50)}, HERE.topic, gone, whole=True)
    assert right.differences == [] and "10 rows" in right.notes[0]
    for rows in (49, 51):
        (line,) = raw_rows(booked, {WHERE: (rows, rows)}, HERE.topic, gone, whole=True).differences
        assert line.endswith(f"{rows} rows, but 60 by ClickHouse's books, less 10 forgotten")


def test_sums_may_have_more_on_days_of_somebody_who_was_forgotten() -> None:
    at = datetime(2026, 5, 1, 12, 15, tzinfo=UTC)
    forgotten = Forgotten({}, frozenset({date(2026, 5, 1)}))
    more = Difference("video_15m", at, "views", 5, 7)
    checksum = replace(more, value="checksum", raw=9, rolled_up=2)
    over = replace(more, table="activity_days", raw=Bounds(1, 5), rolled_up=6)
    kept = [more, checksum, over]
    wrong = [
        replace(more, rolled_up=4),
        replace(more, table="view_starts"),
        replace(more, bucket=datetime(2026, 5, 2, tzinfo=UTC)),
        replace(over, rolled_up=0),
    ]
    assert kept_sums([*kept, *wrong], forgotten) == (wrong, kept)
    assert kept_sums(kept, Forgotten({}, frozenset())) == (kept, [])


def test_sums_have_no_column_by_which_somebody_could_be_found() -> None:
    for table in tables():
        persons = {name for name, _, _ in table.columns if re.search("user|session|view_id|first", name)}
        assert not (table.name in SUMS and persons)


def test_of_people_every_roll_up_is_forgotten_or_keeps_sums_only() -> None:
    sources = feeds()

    def is_of_people(table: str) -> bool:
        return table in ("playback_events", "user_events") or any(map(is_of_people, sources.get(table, ())))

    found = {each.table for each in ROLLUP_QUERIES if is_of_people(each.table)}
    assert found - SUMS - PERSONAL.keys() == set(), (
        "sinks/clickhouse: add to PERSONAL in forgetting.py if it has ids of people, else SUMS in rollups.py"
    )


def test_what_moved_between_two_readings_is_not_judged() -> None:
    moved = replace(DONE, block_from=90, block_to=95)
    counted = replace(DONE, counted=200)
    other = Partition("c", "playback.events", 1)
    assert steady({HERE: DONE, other: DONE}, {HERE: counted, other: moved}) == {HERE}


def test_a_roll_up_that_events_are_just_reaching_is_not_judged() -> None:
    def reading(**gaps: int) -> dict[str, Difference]:
        at = datetime(2026, 5, 1, tzinfo=UTC)
        # The checksum ran over in the raw rows, and not yet in the roll-up.
        return {
            name: Difference("video_15m", at, name, (each + gap) % (1 << 64), each)
            for each, (name, gap) in enumerate(gaps.items(), (1 << 64) - 2)
        }

    first, second = reading(views=3, checksum=5, likes=1), reading(views=4, checksum=5)
    differences, moving = lasting([first, second])
    assert [each.value for each in differences] == ["checksum"] and moving == 1
    assert lasting([first, {}]) == ([], 0)
    text = Difference("latency_1m", datetime(2026, 5, 1, tzinfo=UTC), "quantiles", "[1]", "[2]")
    assert lasting([{"q": text}, {"q": text}]) == ([text], 0)
    assert lasting([{"q": text}, {"q": replace(text, raw="[3]")}]) == ([], 1)
    over = replace(text, raw=Bounds(1, 5), rolled_up=9)
    later = replace(over, raw=Bounds(1, 7), rolled_up=11)
    assert lasting([{"q": over}, {"q": later}]) == ([later], 0)
    assert lasting([{"q": over}, {"q": replace(over, rolled_up=0)}]) == ([], 1)


def test_a_window_is_compared_by_minute_measure_and_video() -> None:
    live = Live()
    live.add((10, "a"), views=2, likes=1)
    live.add((10, "b"), views=1)
    live.add((9, "a"), views=9)
    recount = expected(live, 100, 10, 20)
    assert recount.totals == {(10, "views"): 3, (10, "likes"): 1}
    assert recount.views == {(10, "a"): 2, (10, "b"): 1}
    read = LiveCounters(100, {(10, "views"): 3}, {(10, "a"): 3})
    assert window(HERE, recount, recount) == []
    assert window(HERE, read, recount) == [
        "c/playback.events/0: minute 10, likes: 0 in Redis, 1 by raw events",
        "c/playback.events/0: minute 10, views of video a: 3 in Redis, 2 by raw events",
        "c/playback.events/0: minute 10, views of video b: 0 in Redis, 1 by raw events",
    ]


def test_every_table_is_compared_or_has_a_reason_not_to_be() -> None:
    """A migration that makes a table adds it to `ROLLUP_QUERIES`, `RAW` or `NOT_ROLLED_UP`."""
    compared = [question.table for question in ROLLUP_QUERIES]
    known = [*compared, *RAW, *NOT_ROLLED_UP]
    assert len(known) == len(set(known))
    there = {*(table.name for table in tables()), "schema_migrations"}
    assert set(known) - there == set()
    assert there - set(known) == set(), "sinks/clickhouse/rollups.py: add to ROLLUP_QUERIES or NOT_ROLLED_UP"


def test_every_column_of_a_roll_up_is_compared() -> None:
    questions = {question.table: question for question in ROLLUP_QUERIES}
    for table in tables():
        if question := questions.get(table.name):
            text = " ".join((question.bucket, question.merged, *question.values.values()))
            left = {name for name, _, _ in table.columns if not re.search(rf"\b{name}\b", text)}
            assert not left, f"{table.name}: vca verify does not look at {left}"


def test_many_differences_are_shortened() -> None:
    lines = shortened(str(n) for n in range(100))
    assert len(lines) == 21 and lines[-1] == "... and 80 more"


class _Ledgers:
    """A Redis that has ledgers of so many partitions, and counts requests and ledgers read."""

    def __init__(self, partitions: int) -> None:
        self.partitions, self.requests, self.read = partitions, 0, 0
        self._asked = 0

    async def scan_iter(self, **_: Any) -> AsyncIterator[bytes]:
        for number in range(self.partitions):
            yield f"vc:{{c/playback.events/{number}}}:ledger".encode()

    def register_script(self, _: str) -> Any:
        return None

    async def hgetall(self, _: Any) -> dict[bytes, bytes]:
        self.requests += 1
        self.read += 1
        return {b"epoch": b"3", b"counted": b"7", b"block_from": b"0", b"block_to": b"7"}

    def pipeline(self, *, transaction: bool) -> Any:
        self._asked = 0
        return SimpleNamespace(hgetall=self._ask, execute=self._answer)

    def _ask(self, _: Any) -> None:
        self._asked += 1

    async def _answer(self) -> list[Any]:
        answers = [await self.hgetall(None) for _ in range(self._asked)]
        self.requests -= self._asked - 1
        return answers


async def test_comparing_live_counters_reads_each_ledger_a_few_times_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def read(*_: Any) -> LiveCounters:
        return LiveCounters(7)

    async def recent(*_: Any, **__: Any) -> AsyncIterator[list[Any]]:
        for rows in list[list[Any]]():
            yield rows

    monkeypatch.setattr(RedisWindow, "read", read)
    monkeypatch.setattr(ClickHouseArchive, "recent", recent)
    redis = _Ledgers(1_200)
    nothing: Any = None
    check = await Verification(Settings(), "c", redis, nothing, nothing)._live()
    assert (check.compared, check.differences, check.notes) == (1_200, [], [])
    assert redis.read == 2 * 1_200
    # All in a few requests, and then each by itself.
    assert redis.requests <= 1_200 + 5


async def test_live_counters_of_a_few_partitions_are_compared_at_a_time_and_told_in_order() -> None:
    comparing: Any = object.__new__(Verification)
    comparing._settings, running, most = Settings(), 0, 0

    async def read() -> dict[Partition, None]:
        return {Partition("c", comparing._settings.topic_playback, number): None for number in range(20)}

    async def live_of(where: Partition, *_: Any) -> list[str] | None:
        nonlocal running, most
        running, most = running + 1, max(most, running + 1)
        await asyncio.sleep(0.001 * (20 - where.number))
        running -= 1
        return None if where.number == 9 else [str(where.number)] if where.number > 17 else []

    comparing._read, comparing._live_of = read, live_of
    check = await comparing._live()
    assert 1 < most <= 4
    assert check.compared == 19
    assert check.differences == ["18", "19"]
    assert check.notes == ["c/playback.events/9: ClickHouse did not catch up with Redis; see `vca lag`"]


@pytest.mark.parametrize(
    ("check", "last"),
    [
        (Check("live"), "Everything agrees."),
        (
            Check("live", notes=["9: did not catch up"]),
            "What was compared agrees; the lines above name the rest.",
        ),
        (Check("live", differences=["9: 1, but 2"], notes=["8: did not catch up"]), "`vca rebuild` repairs"),
    ],
    ids=["all", "a part", "differs"],
)
def test_the_last_line_claims_no_more_than_was_compared(check: Check, last: str) -> None:
    told = StringIO()
    _show(Console(file=told, width=120), [Check("books"), check], ok=not check.differences)
    assert told.getvalue().splitlines()[-1].startswith(last)
