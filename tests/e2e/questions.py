"""The requests that tests send about a world: windows, time zones and groupings for the video endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from tests.e2e.compare import differences
from tests.e2e.platform import Answer, Platform
from tests.oracle.log import Log
from tests.oracle.videos import first_data, is_known, summary, video_analytics
from tests.oracle.views import Facts
from tests.oracle.windows import Window, custom, period
from tests.world.world import ZONES, World


@dataclass(frozen=True, slots=True)
class Question:
    """One request about a video, or for the summary if there is no video."""

    parameters: tuple[tuple[str, str], ...]
    video: str | None = None

    def window(self, log: Log, facts: Facts, now: datetime) -> Window:
        """Return the window that the request means at `now`."""
        asked = dict(self.parameters)
        zone = ZoneInfo(asked.get("timezone", "UTC"))
        if "start" in asked:
            return custom(datetime.fromisoformat(asked["start"]), datetime.fromisoformat(asked["end"]), zone)
        return period(asked["period"], now, zone, first_data(facts, self.video))

    def check(self, answer: Answer, log: Log, facts: Facts) -> list[str]:
        """Return what is wrong with the answer."""
        if self.video is not None and not is_known(log, facts, self.video):
            return [] if answer.status == 404 else [f"{self}: not known, but answered {answer.status}"]
        if answer.status != 200:
            return [f"{self}: status {answer.status}: {answer.data}"]
        asked = dict(self.parameters)
        now = datetime.fromisoformat(answer.meta["asOf"])
        window = self.window(log, facts, now)
        compare = asked.get("compare") != "none"
        if self.video is None:
            expected = summary(log, facts, window, now, compare=compare)
        else:
            expected = video_analytics(
                log, facts, self.video, window, now, group=asked.get("groupBy"), compare=compare
            )
        about = {
            "partial": window.span.end > now,
            "timezone": asked.get("timezone", "UTC"),
            "source": "redis" if asked.get("period") == "1h" else "clickhouse",
        }
        told = {name: answer.meta.get(name) for name in about}
        return [
            f"{self} as of {now}: {line}"
            for line in [*differences(expected, answer.data), *differences(about, told, "meta")]
        ]


def named(rng: Random) -> Iterator[dict[str, str]]:
    """Yield every period, each in some time zone and grouping, with and without comparison."""
    for name in ("1h", "24h", "1d", "7d", "30d", "all"):
        asked = {"period": name, "timezone": rng.choice(ZONES)}
        if rng.random() < 0.5:
            asked["groupBy"] = rng.choice(("hour", "day", "week"))
        if rng.random() < 0.2:
            asked["compare"] = "none"
        yield asked


def around_clock_changes(world: World) -> Iterator[dict[str, str]]:
    """Yield the local days on which clocks changed, by hour, and the weeks around them, by day."""
    for name, changes in world.clock_changes.items():
        zone = ZoneInfo(name)
        for at in changes:
            day = at.astimezone(zone).date()
            for before, after, group in ((0, 1, "hour"), (1, 2, "hour"), (3, 4, "day"), (20, 10, "week")):
                start, end = (
                    datetime.combine(day + timedelta(days=days), time(), zone) for days in (-before, after)
                )
                yield {"start": start.isoformat(), "end": end.isoformat(), "timezone": name, "groupBy": group}


def ragged(rng: Random, now: datetime, count: int) -> Iterator[dict[str, str]]:
    """Yield windows that begin and end anywhere, to the millisecond."""
    for _ in range(count):
        length = timedelta(milliseconds=rng.choice((1, 60_000, 3_599_999, rng.randrange(1, 10 * 86_400_000))))
        end = now - timedelta(milliseconds=rng.randrange(rng.choice((3_600_000, 30 * 86_400_000))))
        yield {
            "start": (end - length).isoformat(timespec="milliseconds"),
            "end": end.isoformat(timespec="milliseconds"),
            "timezone": rng.choice(ZONES),
        }


def last_hour(now: datetime) -> dict[str, str]:
    """Return the rolling hour as `start` and `end`: ClickHouse answers that, while Redis answers `1h`."""
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return {"start": (end - timedelta(hours=1)).isoformat(), "end": end.isoformat()}


def questions(rng: Random, world: World, now: datetime) -> list[Question]:
    """Return the requests: some named periods for every video, many more for the busiest and the summary."""
    busiest = [video.id for video in world.videos[:2]]
    asked: list[tuple[str | None, dict[str, str]]] = []
    for name in [*(video.id for video in world.videos), "vid_unwatched", "vid_ghost", "no such video"]:
        asked += [(name, parameters) for parameters in rng.sample([*named(rng), last_hour(now)], 3)]
    everything: list[str | None] = [None, *busiest]
    for about in everything:
        asked += [(about, parameters) for parameters in named(rng)]
        asked += [(about, parameters) for parameters in around_clock_changes(world)]
        asked += [(about, parameters) for parameters in ragged(rng, now, 6)]
    asked.append((None, last_hour(now)))
    return [
        Question(tuple(p for p in parameters.items() if name is not None or p[0] != "groupBy"), name)
        for name, parameters in asked
    ]


def some_questions(rng: Random, world: World, now: datetime, count: int) -> list[Question]:
    """Draw `count` of the requests; a quarter are about the rolling hour, which comes from Redis."""
    every = questions(rng, world, now)
    live = [question for question in every if ("period", "1h") in question.parameters]
    return [*rng.sample(live, count // 4), *rng.sample(every, count - count // 4)]


async def wrong_answers(asking: Platform, asked: list[Question], log: Log, facts: Facts) -> list[str]:
    """Send all requests, a few at a time, and return what is wrong with the answers."""
    at_once = asyncio.Semaphore(4)

    async def one(question: Question) -> list[str]:
        path = "/analytics/videos/" + ("summary" if question.video is None else question.video)
        async with at_once:
            answer = await asking.ask(path, **dict(question.parameters))
        return question.check(answer, log, facts)

    return [line for found in await asyncio.gather(*map(one, asked)) for line in found]


def now_utc() -> datetime:
    """Return the present, for tests that run against real clocks."""
    return datetime.now(UTC)
