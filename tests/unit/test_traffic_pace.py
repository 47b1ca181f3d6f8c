"""Live traffic keeps to the clock and to the rate, and a run does what was asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.traffic import history, live
from deploy.traffic.display import LiveStatus
from deploy.traffic.events import CATALOG, PLAYBACK, SYSTEM, Arrival, Event
from deploy.traffic.once import Once
from deploy.traffic.pace import CATCH_UP, GIVE_UP_MS, Pace, Step
from deploy.traffic.run import Run
from deploy.traffic.timeline import Timeline
from deploy.traffic.world import Config

NOW = 1_795_440_000_000 + 15 * 3_600_000


class Clock:
    """Epoch seconds that go on by `tick` at each look, with leaps at given looks."""

    def __init__(self, tick: float = 0.05) -> None:
        self.seconds = NOW / 1000
        self.tick = tick

    def __call__(self) -> float:
        self.seconds += self.tick
        return self.seconds


class Shelf:
    """An outlet that keeps what it gets."""

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.flushed = 0

    async def send(self, events: Iterable[Event]) -> int:
        await asyncio.sleep(0)
        before = len(self.taken)
        self.taken.extend(events)
        return len(self.taken) - before

    async def flush(self) -> None:
        self.flushed = len(self.taken)


class Notes:
    """A display that remembers what it was told."""

    def __init__(self) -> None:
        self.shares: list[float] = []
        self.statuses: list[LiveStatus] = []
        self.notes: list[str] = []

    def history(self, share: float, sent: int, at_ms: int) -> None:
        self.shares.append(share)

    def live(self, status: LiveStatus) -> None:
        self.statuses.append(status)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def close(self) -> None:
        return


def lived(rate: float, minutes: float, users: int = 3_000) -> list[Event]:
    world, _ = history.platform(
        Config(seed=2, history_days=0, rate=rate, users=users, views_per_day=5_000), NOW
    )
    timeline = Timeline()
    timeline.feed(live.arrivals(world, NOW))
    return list(timeline.until(NOW + int(minutes * 60_000)))


@pytest.mark.parametrize("rate", [5, 50, 150])
def test_live_traffic_has_the_rate_asked_for_from_the_first_minute(rate: float) -> None:
    events = lived(rate, 4)
    minutes = [sum(1 for event in events if (event[2] - NOW) // 60_000 == minute) for minute in range(4)]
    assert sum(minutes) / 240 == pytest.approx(rate, rel=0.25)
    assert min(minutes) / 60 > 0.5 * rate
    assert max(minutes) / 60 < 1.6 * rate


def test_the_rate_holds_for_an_hour() -> None:
    events = lived(12, 60)
    assert len(events) / 3600 == pytest.approx(12, rel=0.06)


def test_probes_come_every_fifteen_seconds_unless_the_rate_is_tiny() -> None:
    def probes(rate: float) -> int:
        return sum(1 for _, _, _, value in lived(rate, 10) if value and value.get("type") == "health.probe")

    assert probes(50) == 4 * 40
    assert probes(0.5) < 0.2 * 0.5 * 600


def test_new_videos_come_out_while_it_is_live() -> None:
    events = lived(100, 15)
    published = [value for topic, _, _, value in events if topic == CATALOG and value]
    assert len(published) >= 2
    ids = {value["videoId"] for value in published}
    assert any(topic == PLAYBACK and value and value["videoId"] in ids for topic, _, _, value in events)


def test_the_pace_follows_the_clock() -> None:
    pace = Pace(NOW)
    assert pace.step(NOW + 100) == Step(NOW + 100, 0)
    assert pace.step(NOW + 200) == Step(NOW + 200, 0)


def test_a_delay_is_made_up_for_without_a_burst() -> None:
    pace = Pace(NOW)
    now = NOW + 10_000
    reached = [pace.step(now).until_ms]
    assert reached[0] < NOW + 2_000
    while reached[-1] < now:
        now += 100
        reached.append(pace.step(now).until_ms)
    assert all(after - before <= 100 * CATCH_UP for before, after in pairwise(reached))
    # What was left open, 8.5 s, is closed by half a second each second.
    assert now - (NOW + 10_000) == pytest.approx(17_000, abs=500)


def test_a_long_delay_is_given_up() -> None:
    pace = Pace(NOW)
    pace.step(NOW + 100)
    assert pace.step(NOW + GIVE_UP_MS + 5_000) == Step(NOW + GIVE_UP_MS + 5_000, GIVE_UP_MS + 4_900)


@given(st.lists(st.integers(-5_000, 40_000), max_size=60))
def test_the_pace_never_goes_back_nor_ahead_of_the_clock(leaps: list[int]) -> None:
    pace, now, reached = Pace(NOW), NOW, NOW
    latest = NOW
    for leap in leaps:
        now += leap
        latest = max(latest, now)
        step = pace.step(now)
        assert reached <= step.until_ms <= latest
        reached = step.until_ms


def actor(times: list[int], name: str) -> Iterator[Event]:
    for at in times:
        yield SYSTEM, name, at, None


@given(
    st.lists(st.lists(st.integers(0, 1_000), min_size=1, max_size=8).map(sorted), max_size=12),
    st.integers(1, 400),
)
def test_a_timeline_yields_every_event_once_in_order_however_it_is_cut(
    plans: list[list[int]], cut: int
) -> None:
    plans.sort(key=lambda times: times[0])
    arrivals: list[Arrival] = [(times[0], actor(times, str(number))) for number, times in enumerate(plans)]
    timeline = Timeline()
    timeline.feed(arrivals)
    merged: list[Event] = []
    for end in range(cut, 1_001 + cut, cut):
        part = list(timeline.until(end))
        assert all(event[2] < end for event in part)
        merged += part
    assert [event[2] for event in merged] == sorted(at for times in plans for at in times)
    for number, times in enumerate(plans):
        assert [event[2] for event in merged if event[1] == str(number)] == times


def test_who_stops_listening_to_a_timeline_loses_and_repeats_nothing() -> None:
    timeline = Timeline()
    timeline.feed([(0, actor([0, 1, 2, 3], "a"))])
    first = next(timeline.until(10))
    assert [first, *timeline.until(10)] == list(actor([0, 1, 2, 3], "a"))


async def test_a_run_without_live_traffic_sends_the_history_and_ends() -> None:
    shelf, notes = Shelf(), Notes()
    run = Run(Config(history_days=2, views_per_day=100), shelf, notes, Clock())
    await run.all(live=False, duration_s=None)
    assert run.summary.history_events == len(shelf.taken) == shelf.flushed > 1_000
    assert run.summary.live_events == 0
    assert notes.shares == sorted(notes.shares)
    assert notes.shares[-1] == 1
    assert all(event[2] < NOW + 60_000 for event in shelf.taken)


async def test_a_history_that_was_interrupted_is_sent_again_as_it_was_and_then_no_more(
    tmp_path: Path,
) -> None:
    config, file, clock = Config(history_days=2, views_per_day=100), tmp_path / "demo-history", Clock()

    async def sent(stop_after: int | None = None) -> list[Event]:
        shelf, notes = Shelf(), Notes()
        run = Run(config, shelf, notes, clock)

        async def stop() -> None:
            while stop_after is not None and len(shelf.taken) < stop_after:
                await asyncio.sleep(0)
            if stop_after is not None:
                run.stopping.set()

        await asyncio.gather(run.all(live=False, duration_s=None, once=Once(file)), stop())
        return shelf.taken

    first = await sent(stop_after=1_000)
    clock.seconds += 86_400
    second = await sent()
    assert 1_000 <= len(first) < len(second)
    assert second[: len(first)] == first
    assert second[-1][2] < NOW + 60_000
    assert {event[0] for event in await sent()} == {CATALOG}


async def test_a_folder_whose_history_an_older_version_noted_gets_none(tmp_path: Path) -> None:
    file, shelf = tmp_path / "demo-history", Shelf()
    file.touch()
    await Run(Config(history_days=1), shelf, Notes(), Clock()).all(
        live=False, duration_s=None, once=Once(file)
    )
    assert {event[0] for event in shelf.taken} == {CATALOG}


async def test_a_run_goes_on_with_live_traffic_where_the_history_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    shelf, notes = Shelf(), Notes()
    run = Run(Config(history_days=1, views_per_day=100, rate=40), shelf, notes, Clock())
    await run.all(live=True, duration_s=60)
    assert run.summary.live_events / run.summary.live_s == pytest.approx(40, rel=0.3)
    times = [event[2] for event in shelf.taken]
    assert times == sorted(times)
    ids = [value["eventId"] for _, _, _, value in shelf.taken if value and "eventId" in value]
    assert len(ids) == len(set(ids))
    assert "live" in str(run.summary)


async def test_the_last_hour_of_a_history_is_as_busy_as_what_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    shelf, clock = Shelf(), Clock()
    run = Run(Config(history_days=1, views_per_day=100, rate=2), shelf, Notes(), clock)
    await run.all(live=True, duration_s=120)
    ago = [(NOW - event[2]) / 60_000 for event in shelf.taken]
    lead = [sum(begin <= minutes < begin + 10 for minutes in ago) / 600 for begin in range(0, 60, 10)]
    assert lead == pytest.approx([2] * 6, rel=0.5)
    assert sum(60 <= minutes < 120 for minutes in ago) / 3_600 < 0.2
    assert sum(minutes < 0 for minutes in ago) / 120 == pytest.approx(2, rel=0.5)


async def test_so_many_events_a_second_have_a_shorter_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    monkeypatch.setattr("deploy.traffic.run._LEAD_EVENTS", 3_000)
    shelf = Shelf()
    await Run(Config(history_days=1, views_per_day=100, rate=50), shelf, Notes(), Clock()).all(
        live=True, duration_s=1
    )
    assert sum(60_000 <= NOW - event[2] < 120_000 for event in shelf.taken) < 100
    assert 2_000 < sum(0 <= NOW - event[2] < 60_000 for event in shelf.taken) < 4_500


async def test_live_traffic_begins_now_where_the_history_was_interrupted_long_ago(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    file, shelf, clock = tmp_path / "demo-history", Shelf(), Clock()
    assert Once(file).end(NOW) == NOW
    clock.seconds += 86_400
    run = Run(Config(history_days=1, views_per_day=100, rate=2), shelf, Notes(), clock)
    await run.all(live=True, duration_s=120, once=Once(file))
    later = [event[2] - NOW for event in shelf.taken if event[2] > NOW]
    assert min(later) > 86_400_000 - 60_000
    assert len(later) / 120 == pytest.approx(2, rel=0.5)


async def test_a_run_without_history_makes_the_catalog_known_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    shelf = Shelf()
    config = Config(history_days=0, videos=30, rate=50)
    await Run(config, shelf, Notes(), Clock()).all(live=True, duration_s=5)
    assert [topic for topic, _, _, _ in shelf.taken[:30]] == [CATALOG] * 30
    assert len(shelf.taken) > 60


async def test_a_run_gives_up_what_a_sleeping_machine_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    shelf, notes, clock = Shelf(), Notes(), Clock()
    run = Run(Config(history_days=0, rate=40), shelf, notes, clock)

    async def sleep_in_between() -> None:
        while len(notes.statuses) < 200:
            await asyncio.sleep(0)
        clock.seconds += 3_600
        slept_at.append(len(shelf.taken))

    slept_at: list[int] = []
    await asyncio.gather(run.all(live=True, duration_s=3_660), sleep_in_between())
    assert any("skipped" in note for note in notes.notes)
    woken = shelf.taken[slept_at[0]][2]
    assert woken - shelf.taken[slept_at[0] - 1][2] > 3_500_000
    before = {value["viewId"] for _, _, _, value in shelf.taken[: slept_at[0]] if value and "viewId" in value}
    after = {value["viewId"] for _, _, _, value in shelf.taken[slept_at[0] :] if value and "viewId" in value}
    assert before
    assert after
    assert before.isdisjoint(after)


async def test_a_stopped_run_ends_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.traffic.run._TICK_S", 0.0001)
    shelf, notes = Shelf(), Notes()
    run = Run(Config(history_days=0, rate=40), shelf, notes, Clock())

    async def stop() -> None:
        while len(notes.statuses) < 50:
            await asyncio.sleep(0)
        run.stopping.set()

    await asyncio.wait_for(asyncio.gather(run.all(live=True, duration_s=None), stop()), 20)
    assert shelf.flushed == len(shelf.taken)
