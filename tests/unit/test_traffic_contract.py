"""Every event that the simulator makes keeps the contract with producers (docs/events.md)."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import msgspec
import pytest

from deploy.traffic import history, live
from deploy.traffic.events import CATALOG, DAY_MS, MINUTE_MS, PLAYBACK, SYSTEM, TOPICS, USER, Event
from deploy.traffic.timeline import Timeline
from deploy.traffic.views import HEARTBEAT_MS, LADDER
from deploy.traffic.world import Config
from streams.domain import events as contract

NOW = 1_795_440_000_000 + 13 * 3_600_000 + 123
CONFIG = Config(seed=7, history_days=4, views_per_day=500, videos=140, users=2_000, rate=25)
STARTED = ("view.progress", "view.end")


def history_events(config: Config = CONFIG, now_ms: int = NOW) -> list[Event]:
    world, start_ms = history.platform(config, now_ms)
    timeline = Timeline()
    timeline.feed(history.arrivals(world, start_ms, now_ms))
    return list(timeline.until(now_ms))


def live_events(config: Config = CONFIG, minutes: int = 20) -> list[Event]:
    world, _ = history.platform(config, NOW)
    timeline = Timeline()
    timeline.feed(live.arrivals(world, NOW))
    return list(timeline.until(NOW + minutes * MINUTE_MS))


@pytest.fixture(scope="module", params=["history", "live"])
def events(request: pytest.FixtureRequest) -> list[Event]:
    return history_events() if request.param == "history" else live_events()


@pytest.fixture(scope="module")
def views(events: list[Event]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for topic, _, _, value in events:
        if topic == PLAYBACK and value is not None:
            found[value["viewId"]].append(value)
    return found


def ms(instant: Any) -> int:
    if isinstance(instant, int):
        return instant
    return round(msgspec.convert(instant, datetime).timestamp() * 1000)


def test_every_event_is_of_a_type_of_the_contract(events: list[Event]) -> None:
    types = {
        PLAYBACK: contract.PlaybackEvent,
        USER: contract.UserEvent,
        SYSTEM: contract.SystemEvent,
        CATALOG: contract.CatalogEntry,
    }
    seen = set()
    for topic, _, _, value in events:
        if value is not None:
            msgspec.json.decode(msgspec.json.encode(value), type=types[topic])
            seen.add(value.get("type", "catalog"))
    assert len(seen) >= 17


def test_no_event_has_a_field_that_its_type_does_not_know(events: list[Event]) -> None:
    structs = [
        *contract.PlaybackEvent.__args__,
        *contract.UserEvent.__args__,
        *contract.SystemEvent.__args__,
    ]
    known = {
        struct.__struct_config__.tag: {field.encode_name for field in msgspec.structs.fields(struct)}
        for struct in structs
    }
    for topic, _, _, value in events:
        if value is not None and topic != CATALOG:
            assert set(value) - {"type"} <= known[value["type"]], value


def test_keys_are_those_of_the_topics(events: list[Event]) -> None:
    assert {topic for topic, _, _, _ in events} <= set(TOPICS)
    for topic, key, _, value in events:
        if value is None:
            assert topic == CATALOG
        elif topic == PLAYBACK:
            assert key == value["viewId"]
        elif topic == USER:
            assert key == (value.get("userId") or value["viewerId"])
        else:
            assert key == value["service" if topic == SYSTEM else "videoId"]


def test_event_ids_are_unique_and_short(events: list[Event]) -> None:
    ids = [value["eventId"] for topic, _, _, value in events if value is not None and topic != CATALOG]
    assert len(ids) == len(set(ids))
    assert max(map(len, ids)) <= 64


def test_records_come_in_order_of_time(events: list[Event]) -> None:
    times = [at for _, _, at, _ in events]
    assert times == sorted(times)


def test_the_record_less_the_sending_delay_is_when_it_happened(events: list[Event]) -> None:
    """Corrected time = record timestamp - (sentAt - occurredAt), which must give occurredAt back."""
    with_sent_at = as_text = 0
    for topic, _, at, value in events:
        if value is None or topic == CATALOG:
            continue
        occurred = ms(value["occurredAt"])
        delay = ms(value["sentAt"]) - occurred if "sentAt" in value else 0
        assert at - delay == occurred
        assert delay >= 0
        with_sent_at += "sentAt" in value
        as_text += isinstance(value["occurredAt"], str)
    assert 0.02 < with_sent_at / len(events) < 0.5
    assert 0.01 < as_text / len(events) < 0.5


def test_seq_counts_from_zero_without_holes(views: dict[str, list[dict[str, Any]]]) -> None:
    for view in views.values():
        assert [event["seq"] for event in view] == list(range(len(view)))


def test_a_view_has_one_identity(views: dict[str, list[dict[str, Any]]]) -> None:
    for view in views.values():
        names = ("videoId", "sessionId", "userId", "viewerId", "country", "device", "platform")
        assert len({tuple(event.get(name) for name in names) for event in view}) == 1
        assert "userId" in view[0] or "viewerId" in view[0]


def test_a_view_begins_with_an_attempt_and_only_then_starts(views: dict[str, list[dict[str, Any]]]) -> None:
    for view in views.values():
        kinds = [event["type"] for event in view]
        assert kinds[0] == "view.attempt"
        assert "view.attempt" not in kinds[1:]
        assert kinds.count("view.start") <= 1
        if "view.start" in kinds:
            assert kinds[1] == "view.start"
        else:
            assert set(kinds[1:]) <= {"view.error"}


def test_started_at_is_the_first_frame_on_every_later_event(views: dict[str, list[dict[str, Any]]]) -> None:
    for view in views.values():
        first = next((event for event in view if event["type"] == "view.start"), None)
        for event in view:
            if first is not None and event["seq"] > first["seq"]:
                assert event["startedAt"] == first["occurredAt"]
            else:
                assert "startedAt" not in event


def test_totals_never_fall_and_fit_into_the_time_passed(views: dict[str, list[dict[str, Any]]]) -> None:
    for view in views.values():
        totals = [event for event in view if event["type"] in STARTED]
        for name in ("watchedMs", "rebufferMs", "rebufferCount"):
            values = [event[name] for event in totals]
            assert values == sorted(values)
        for event in totals:
            passed = ms(event["occurredAt"]) - ms(event["startedAt"])
            assert event["watchedMs"] + event["rebufferMs"] <= passed
            assert (event["rebufferMs"] > 0) <= (event["rebufferCount"] > 0)
            assert event["bitrateKbps"] in LADDER


def test_stretches_lie_in_the_video_and_add_up_to_what_was_watched(events: list[Event]) -> None:
    lengths = {
        value["videoId"]: value.get("durationMs")
        for topic, _, _, value in events
        if topic == CATALOG and value is not None
    }
    if not lengths:  # the live run goes on with the catalog of the history
        world, _ = history.platform(CONFIG, NOW)
        lengths = {video.id: video.duration_ms for video in world.library.shown}
    played: dict[str, int] = defaultdict(int)
    watched: dict[str, int] = {}
    for topic, key, _, value in events:
        if topic != PLAYBACK or value is None or value["type"] not in STARTED:
            continue
        assert 0 <= value["fromMs"] <= value["toMs"]
        length = lengths.get(value["videoId"])
        if length is not None:
            assert value["toMs"] <= length
            assert (value.get("reason") == "ended") == (
                value["type"] == "view.end" and value["toMs"] == length
            )
        played[key] += value["toMs"] - value["fromMs"]
        watched[key] = value["watchedMs"]
    assert played == watched
    assert len(watched) > 100


def test_heartbeats_are_at_most_ten_seconds_apart(views: dict[str, list[dict[str, Any]]]) -> None:
    beats = 0
    for view in views.values():
        times = [ms(event["occurredAt"]) for event in view if event["type"] in ("view.start", *STARTED)]
        for before, after in zip(times, times[1:], strict=False):
            assert after - before <= HEARTBEAT_MS
            beats += 1
    assert beats > 1_000


def test_nothing_follows_the_end_or_a_fatal_error_but_the_leaving(
    views: dict[str, list[dict[str, Any]]],
) -> None:
    for view in views.values():
        kinds = [event["type"] for event in view]
        if "view.end" in kinds:
            assert kinds.index("view.end") == len(kinds) - 1
        for place, event in enumerate(view):
            if event.get("fatal"):
                assert set(kinds[place + 1 :]) <= {"view.end"}


def test_videos_are_watched_only_while_they_are_out() -> None:
    out: set[str] = set()
    attempts = removed = 0
    for topic, key, _, value in history_events():
        if topic == CATALOG:
            out.add(key) if value is not None else out.discard(key)
            removed += value is None
        elif value is not None and value["type"] == "view.attempt":
            assert value["videoId"] in out
            attempts += 1
    assert attempts > 1_000
    assert removed >= 1


def test_jobs_are_queued_then_started_then_over(events: list[Event]) -> None:
    jobs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, _, _, value in events:
        if value is not None and value.get("type") == "job":
            jobs[value["jobId"]].append(value)
    assert len(jobs) > 20
    for job in jobs.values():
        states = [event["state"] for event in job]
        assert states in (
            ["queued"],
            ["queued", "started"],
            ["queued", "started", "finished"],
            ["queued", "started", "failed"],
        )
        if states[-1] == "finished":
            assert job[-1]["durationMs"] == ms(job[-1]["occurredAt"]) - ms(job[1]["occurredAt"])


def test_the_history_fills_every_day_and_ends_now() -> None:
    times = [at for _, _, at, _ in history_events()]
    first_day = NOW // DAY_MS - CONFIG.history_days
    assert {at // DAY_MS for at in times} == set(range(first_day, NOW // DAY_MS + 1))
    assert times[0] == first_day * DAY_MS
    assert NOW - 10 * MINUTE_MS < times[-1] < NOW


def test_devices_suit_their_platforms(events: list[Event]) -> None:
    pairs = {(value["device"], value["platform"]) for _, _, _, value in events if value and "device" in value}
    assert ("mobile", "ios") in pairs
    assert ("desktop", "web") in pairs
    for device, platform in pairs:
        assert device in contract.DEVICES
        assert platform in contract.PLATFORMS
        assert (device == "tv") == (platform == "tv")
        assert not (device == "desktop" and platform in ("ios", "android"))
