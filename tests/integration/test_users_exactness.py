"""Every number of both user endpoints against the oracle: random worlds, ragged windows, clock changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from api.parameters import Question, QuestionParser
from api.user_service import UserService
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrator import migrate
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.user_reader import ClickHouseUsers
from streams.domain.definitions import USERS
from streams.domain.metrics import groups_of
from streams.domain.windows import rfc3339
from tests.audience.comparison import differences
from tests.audience.landing import land
from tests.audience.world import ZONES, now_of, people, stretch
from tests.oracle import windows
from tests.oracle.log import Accepted
from tests.oracle.users import Audience

#: Clocks change in New York on 6 November and 13 March, in London on 30 October and 27 March 2050, and by
#: half an hour on Lord Howe on 2 October and 3 April. In the future, so that no retention touches the rows.
NOWS = (now_of("2050-11-20T08:07:41.250"), now_of("2050-04-08T23:30:00"))
PERIODS = ("1h", "24h", "1d", "7d", "30d", "all")


@dataclass(frozen=True)
class Landed:
    """A world in ClickHouse, who answers about it, and the truth."""

    now: datetime
    service: UserService
    truth: Audience


@pytest_asyncio.fixture(params=range(4))
async def landed(
    request: pytest.FixtureRequest, clickhouse_server: str, clickhouse_database: str
) -> AsyncIterator[Landed]:
    seed = request.param
    rng = Random(seed)
    now = NOWS[seed % len(NOWS)]
    url = f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    accepted = people(rng, now, sessions=(400, 300, 60, 0)[seed])
    await land(url, accepted, rng)
    store = ClickHouseReader(url)
    yield Landed(now, UserService(ClickHouseUsers(store)), Audience(accepted))
    await store.close()


def questions(
    now: datetime, rng: Random, events: list[Accepted]
) -> Iterator[tuple[Question, windows.Window | None]]:
    """Yield questions and the oracle's windows for them; None stands for `all`.

    Where nothing ever happened, every window is as empty as the next one, and few are asked for.
    """

    def ask(
        zone: str, period: str | None, start: datetime | None = None, end: datetime | None = None
    ) -> Question:
        return QuestionParser(now, raw_retention_days=180, rollup_retention_days=1100).parse(
            period=period,
            default="",
            start=rfc3339(start) if start else None,
            end=rfc3339(end) if end else None,
            zone=zone,
            compare="previous",
        )

    for turn, zone in enumerate(rng.sample(ZONES, 2 if events else 1)):
        # In a second zone, only periods that are local days and weeks answer with other numbers.
        for period in PERIODS if turn == 0 else ("1d", "7d"):
            truth = None if period == "all" else windows.period(period, now, ZoneInfo(zone))
            yield ask(zone, period), truth
        for _ in range(4):
            start, end = stretch(rng, now, events)
            yield ask(zone, None, start, end), windows.custom(start, end, ZoneInfo(zone))


async def test_every_number_is_the_oracles(landed: Landed) -> None:
    rng = Random(landed.truth.events[0].at if landed.truth.events else 0)
    for asked, window in questions(landed.now, rng, landed.truth.events):
        window = window or windows.period("all", landed.now, asked.zone, landed.truth.first)
        answer = await landed.service.users(asked, groups_of(USERS, None))
        truth = landed.truth.users(window, landed.now)
        assert not list(differences(answer["data"], truth)), (asked, window)
        answer = await landed.service.engagement(asked)
        assert not list(differences(answer["data"], landed.truth.engagement(window))), (asked, window)


async def test_all_begins_with_what_is_kept_and_counts_nobody_as_lost_of_whom_nothing_is_kept(
    clickhouse_server: str, clickhouse_database: str
) -> None:
    """Retention deletes the days of users, and never when they were first seen."""
    now, url = NOWS[0], f"{clickhouse_server}/{clickhouse_database}"
    migrate(url)
    rng = Random(5)
    accepted = people(rng, now, sessions=300)
    await land(url, accepted, rng)
    kept = now.date() - timedelta(days=40)
    store = ClickHouseReader(url)
    client = await connect(url)
    try:
        # As the TTL does.
        await client.command("DELETE FROM user_days WHERE day < {day:Date}", parameters={"day": kept})
        service, truth = UserService(ClickHouseUsers(store)), Audience(accepted)
        parser = QuestionParser(now, raw_retention_days=20, rollup_retention_days=1100)
        asked = parser.parse(period="all", default="", start=None, end=None, zone="UTC", compare="previous")
        answer = (await service.users(asked, ["growth", "retention"]))["data"]
        window = windows.period("all", now, ZoneInfo("UTC"), datetime.combine(kept, time(), UTC))
        expected = {"growth": truth.growth(window), "retention": truth.retention(window, now)}
        assert not list(differences(answer, expected))
    finally:
        await client.close()
        await store.close()
