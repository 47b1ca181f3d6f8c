"""The simulator's numbers have the shapes of a real platform, and are functions of the seed and the time."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from random import Random

import orjson
import pytest

from deploy.traffic import history, live
from deploy.traffic.catalog import ZIPF, Library, pull
from deploy.traffic.events import DAY_MS, HOUR_MS, MINUTE_MS, Event, Ids, rfc3339
from deploy.traffic.people import Crowd
from deploy.traffic.places import PLACES
from deploy.traffic.rhythm import PEAK, day_factor, moment, weight, world_load
from deploy.traffic.sessions import VIEWS_PER_VISIT
from deploy.traffic.system import Incidents, Operations
from deploy.traffic.timeline import Timeline
from deploy.traffic.titles import title
from deploy.traffic.views import View, stay
from deploy.traffic.world import Config

NOW = 1_795_440_000_000 + 9 * HOUR_MS
NEW_YORK, TOKYO = PLACES[0], PLACES[6]


def made(config: Config, now_ms: int = NOW, live_minutes: int = 0) -> list[Event]:
    world, start_ms = history.platform(config, now_ms)
    timeline = Timeline()
    timeline.feed(history.arrivals(world, start_ms, now_ms))
    events = list(timeline.until(now_ms))
    if live_minutes:
        world.crowd.retain(now_ms)
        timeline.feed(live.arrivals(world, now_ms))
        events += timeline.until(now_ms + live_minutes * MINUTE_MS)
    return events


@pytest.fixture(scope="module")
def month() -> list[Event]:
    return made(Config(seed=3, views_per_day=400, users=5_000))


def test_the_same_seed_at_the_same_time_makes_the_same_bytes() -> None:
    config = Config(seed=5, history_days=2, views_per_day=200, users=500)
    once, again = made(config, live_minutes=5), made(config, live_minutes=5)
    assert [orjson.dumps(event) for event in once] == [orjson.dumps(event) for event in again]
    assert len(once) > 5_000


def test_another_seed_and_another_time_share_no_event_id() -> None:
    config = Config(seed=5, history_days=1, views_per_day=100, users=300)
    runs = [
        made(config),
        made(Config(seed=6, history_days=1, views_per_day=100, users=300)),
        made(config, NOW + 1_000),
    ]
    ids = [{value["eventId"] for _, _, _, value in run if value and "eventId" in value} for run in runs]
    assert ids[0].isdisjoint(ids[1])
    assert ids[0].isdisjoint(ids[2])


def test_people_and_videos_keep_their_ids_from_run_to_run() -> None:
    config = Config(seed=5, history_days=2, views_per_day=100)
    first = history.platform(config, NOW)[0]
    later = history.platform(Config(seed=5, history_days=0, views_per_day=900), NOW + 5 * MINUTE_MS)[0]
    people = [(one.id, one.place, one.gear, one.source) for one in first.crowd.people]
    assert people == [(one.id, one.place, one.gear, one.source) for one in later.crowd.people[: len(people)]]
    videos = {
        video.id: (video.title, video.owner, video.duration_ms, video.appeal)
        for video in (*first.library.shown, *first.library.coming)
        if video.removed_ms is None
    }
    assert len(videos) == 197
    assert videos == {
        video.id: (video.title, video.owner, video.duration_ms, video.appeal) for video in later.library.shown
    }


def test_what_comes_after_the_history_has_ids_of_its_own() -> None:
    config = Config(seed=5, history_days=0)
    worlds = [history.platform(config, NOW + run * MINUTE_MS)[0] for run in range(2)]
    assert len({world.crowd.newcomer(world.rng, NOW).id[-12:] for world in worlds}) == 2
    assert len({world.library.make("usr_1", NOW).id for world in worlds}) == 2


def test_views_a_day_are_as_many_as_asked_for(month: list[Event]) -> None:
    starts = sum(1 for _, _, _, value in month if value and value.get("type") == "view.start")
    days = 30 + 9 / 24
    assert starts / days == pytest.approx(400, rel=0.2)


def test_few_users_come_more_often_to_make_the_views_asked_for() -> None:
    events = made(Config(seed=3, history_days=10, views_per_day=400, users=60))
    starts = [value for _, _, _, value in events if value and value.get("type") == "view.start"]
    assert len({value.get("userId") or value["viewerId"] for value in starts}) <= 60
    assert len(starts) / 10.4 == pytest.approx(400, rel=0.35)


def test_popularity_follows_zipfs_law() -> None:
    old = NOW - 400 * DAY_MS
    library = Library(1, "run", 300, ["usr_1"], NOW, NOW)
    rng = Random(2)
    counts = sorted(Counter(library.pick(rng, NOW).id for _ in range(60_000)).values(), reverse=True)
    points = [(math.log(rank), math.log(count)) for rank, count in enumerate(counts[:100], 1)]
    mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
    assert -slope == pytest.approx(ZIPF, abs=0.25)
    video = library.make("usr_1", old, 5)
    assert pull(video, NOW) == pytest.approx(5**-ZIPF)


def test_new_videos_draw_more_and_come_out_during_the_history() -> None:
    library = Library(1, "run", 100, ["usr_1"], NOW - 30 * DAY_MS, NOW)
    assert len(library.coming) == 40
    assert all(NOW - 30 * DAY_MS < video.published_ms < NOW for video in library.coming)
    video = library.coming[0]
    pulls = [pull(video, video.published_ms + days * DAY_MS) for days in (0, 1, 3, 10, 30)]
    assert pulls == sorted(pulls, reverse=True)
    assert pulls[0] > 3 * pulls[-1]


def test_titles_are_distinct_however_many() -> None:
    rng, taken = Random(4), set[str]()
    titles = [title(rng, rng.choice((30_000, 120_000, 900_000, None)), taken) for _ in range(3_000)]
    assert len(set(titles)) == 3_000
    assert all(3 < len(text) < 90 and "{" not in text for text in titles)


def test_people_watch_in_the_evening_of_their_own_clock() -> None:
    rng = Random(1)
    day = NOW // DAY_MS
    for place, evening, night in ((NEW_YORK, 1, 9), (TOKYO, 12, 19)):
        hours = Counter(moment(rng, place, day) // HOUR_MS % 24 for _ in range(8_000))
        assert hours[evening] > 4 * hours[night]
        assert sum(hours.values()) == 8_000


def test_summer_time_moves_the_rhythm_by_an_hour() -> None:
    winter, summer = 20_470 * 24, 20_647 * 24  # 2026-01-17 and 2026-07-13, both in New York's clock
    busiest = []
    for day in (winter, summer):
        weights = [weight(NEW_YORK, day + hour) for hour in range(24)]
        busiest.append(weights.index(max(weights)))
    assert (busiest[0] - busiest[1]) % 24 == 1


def test_the_rhythm_is_one_on_average_and_never_above_its_peak() -> None:
    monday = 20_472  # 2026-01-19
    for place in PLACES:
        weights = [weight(place, monday * 24 + hour) for hour in range(7 * 24)]
        assert sum(weights) / len(weights) == pytest.approx(1, abs=0.02)
        assert max(weights) < PEAK
    assert sum(world_load(monday * 24 + hour) for hour in range(7 * 24)) / 168 == pytest.approx(1, abs=0.02)


def test_weekends_are_busier_than_the_middle_of_the_week() -> None:
    tuesday, saturday = 20_473, 20_477
    assert day_factor(PLACES[3], saturday) > 1.1 * day_factor(PLACES[3], tuesday)


def test_most_leave_long_videos_and_finish_short_ones() -> None:
    rng = Random(1)
    shares = []
    for duration in (15_000, 60_000, 240_000, 1_800_000):
        stays = [stay(rng, duration) for _ in range(4_000)]
        assert all(0 < one <= duration + 500 for one in stays)
        shares.append(sum(one == duration for one in stays) / len(stays))
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == pytest.approx(0.8, abs=0.03)
    assert shares[2] == pytest.approx(0.5, abs=0.03)


def test_a_slow_network_delays_and_interrupts_but_breaks_nothing() -> None:
    rng, library = Random(1), Library(1, "run", 60, ["usr_1"], NOW, NOW)
    watched = {0.05: 0, 1.0: 0}
    rebuffer = {0.05: 0, 1.0: 0}
    for network in watched:
        for number in range(400):
            view = View(rng, f"view_{number}", library.pick(rng, NOW), {"device": "tv"}, NOW, network=network)
            times = [at for _, _, at, _ in view.events()]
            assert times == sorted(times)
            assert view.watched + view.rebuffer <= view.clock - NOW
            watched[network] += view.watched
            rebuffer[network] += view.rebuffer
    assert rebuffer[0.05] / watched[0.05] > 10 * rebuffer[1.0] / watched[1.0]


def test_people_come_back_less_and_less(month: list[Event]) -> None:
    active: dict[int, set[str]] = defaultdict(set)
    signed_up: dict[str, int] = {}
    for _, _, at, value in month:
        user = value and value.get("userId")
        if value and user:
            active[at // DAY_MS].add(user)
            if value["type"] == "user.signup":
                signed_up[user] = at // DAY_MS

    def rate(days: int) -> float:
        over = [user for user, day in signed_up.items() if day + days < NOW // DAY_MS]
        return sum(user in active[signed_up[user] + days] for user in over) / len(over)

    assert 0.35 < rate(1) < 0.75
    assert rate(1) > 1.3 * rate(7) > 1.3 * rate(21) > 0


def test_sign_ups_come_once_a_person_with_a_source(month: list[Event]) -> None:
    signups = [value for _, _, _, value in month if value and value.get("type") == "user.signup"]
    assert len({value["userId"] for value in signups}) == len(signups) > 200
    sources = Counter(value["source"] for value in signups)
    assert sources.most_common(1)[0][0] == "organic"
    assert len(sources) >= 5


def test_quality_is_that_of_a_good_platform(month: list[Event]) -> None:
    kinds: Counter[str] = Counter()
    last: dict[str, tuple[int, int]] = {}
    fatal = ended = 0
    for _, key, _, value in month:
        kind = value.get("type") if value else None
        kinds[str(kind)] += 1
        if value and "watchedMs" in value:
            last[key] = value["watchedMs"], value["rebufferMs"]
            ended += value.get("reason") == "ended"
        fatal += bool(value and value.get("fatal"))
    watched, rebuffer = (sum(axis) for axis in zip(*last.values(), strict=True))
    assert 0.002 < rebuffer / (watched + rebuffer) < 0.03
    assert 0.001 < fatal / kinds["view.attempt"] < 0.02
    assert 0.3 < ended / kinds["view.start"] < 0.8
    assert 0.005 < 1 - kinds["view.start"] / kinds["view.attempt"] < 0.05
    assert 40_000 < watched / kinds["view.start"] < 240_000


def test_countries_are_mixed_and_sometimes_unknown(month: list[Event]) -> None:
    countries = Counter(value.get("country") for _, _, _, value in month if value and "sessionId" in value)
    total = sum(countries.values())
    assert 0.15 < countries["US"] / total < 0.4
    assert countries["GB"] > 0
    assert "UK" not in countries
    assert 0 < countries[None] / total < 0.05
    assert len(countries) > 15


def test_services_fail_in_incidents_and_hardly_else() -> None:
    incidents = Incidents(Random(3), NOW, 60)
    operations = Operations(Random(4), Ids(1, NOW), incidents)
    probes = [
        value for _, _, _, value in operations.probes("api", NOW, NOW + 60 * DAY_MS, MINUTE_MS) if value
    ]
    failed = [value["occurredAt"] for value in probes if not value["ok"]]
    assert failed
    assert len(failed) / len(probes) < 0.003
    assert sum(incidents.now("api", at) for at in failed) > len(failed) / 2


def test_latencies_have_a_long_tail() -> None:
    operations = Operations(Random(4), Ids(1, NOW), Incidents(Random(3), NOW, 0))
    values = [operations.request("/videos", NOW)[3] for _ in range(5_000)]
    times = sorted(value["durationMs"] for value in values if value)
    assert 40 < times[2_500] < 90
    assert 2 * times[2_500] < times[4_950] < 12 * times[2_500]
    assert {value["status"] for value in values if value} >= {200, 304, 404}


def test_host_samples_stay_within_their_hosts() -> None:
    operations = Operations(Random(4), Ids(1, NOW), Incidents(Random(3), NOW, 0))
    samples = [
        value for _, _, _, value in operations.samples(2, NOW, NOW + 3 * DAY_MS, 10 * MINUTE_MS) if value
    ]
    assert len(samples) == 3 * 144
    for sample in samples:
        assert 0 < sample["cpu"] < 1
        assert 0 < sample["memoryUsedBytes"] < sample["memoryTotalBytes"]
        assert 0 < sample["storageUsedBytes"] < sample["storageTotalBytes"]
    fifteen = [sample["load"][2] for sample in samples]
    one = [sample["load"][0] for sample in samples]
    assert max(fifteen) - min(fifteen) < max(one) - min(one)


def test_a_person_already_here_does_not_come_twice() -> None:
    crowd, rng = Crowd(1, "run", 0), Random(1)
    crowd.fill(50, NOW // DAY_MS, NOW // DAY_MS)
    found = {person.id for _ in range(300) if (person := crowd.returning(rng, NOW))}
    assert len(found) > 20
    for person in crowd.people:
        person.online = True
    assert crowd.returning(rng, NOW) is None


def test_views_per_visit_is_what_visits_have(month: list[Event]) -> None:
    visits = {value["sessionId"] for _, _, _, value in month if value and "sessionId" in value}
    attempts = sum(1 for _, _, _, value in month if value and value.get("type") == "view.attempt")
    assert attempts / len(visits) == pytest.approx(VIEWS_PER_VISIT, rel=0.1)


def test_rfc3339_is_exact_to_the_millisecond() -> None:
    assert rfc3339(1_795_406_651_031) == "2026-11-23T04:04:11.031Z"
    assert rfc3339(1_795_406_651_000) == "2026-11-23T04:04:11.000Z"
