"""The past: every day's visits, publications and samples, as arrivals for the timeline."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import chain
from operator import itemgetter
from typing import Final

from deploy.traffic.events import DAY_MS, MINUTE_MS, Actor, Arrival
from deploy.traffic.jobs import maintenance, publication, removal
from deploy.traffic.rhythm import day_factor, moment
from deploy.traffic.sessions import VIEWS_PER_VISIT, session
from deploy.traffic.system import HOSTS, SERVICES
from deploy.traffic.world import Config, World

# Less often than live: uptime is a share of the observed minutes, and resources need only the latest sample.
PROBE_EVERY_MS: Final = 5 * MINUTE_MS
SAMPLE_EVERY_MS: Final = 10 * MINUTE_MS
_JOBS_PER_DAY: Final = 24


def platform(config: Config, now_ms: int) -> tuple[World, int]:
    """Return the platform whose history ends at `now_ms`, and the beginning of the history, in epoch ms."""
    start_ms = first_ms(now_ms, config.history_days)
    return World(config, start_ms, now_ms, VIEWS_PER_VISIT), start_ms


def first_ms(now_ms: int, days: int) -> int:
    """Return the UTC midnight at which a history of `days` whole days and today begins; now itself for 0."""
    return now_ms - now_ms % DAY_MS - days * DAY_MS if days else now_ms


def catalog(world: World, at_ms: int) -> Actor:
    """Yield the catalog records of every video that can be watched at `at_ms`."""
    return iter([video.entry(at_ms) for video in world.library.shown])


def arrivals(world: World, start_ms: int, end_ms: int) -> Iterator[Arrival]:
    """Yield the actors that begin from `start_ms` until the end of the day of `end_ms`, in order of time.

    Services report until `end_ms`; visits are planned for the whole last day, so that the history can
    continue while the clock runs.
    """
    yield start_ms, catalog(world, start_ms)
    by_time = itemgetter(0)
    parts = chain.from_iterable(publication(world, video) for video in world.library.coming)
    new = [part for part in parts if part[0] >= start_ms]
    yield from merge(sorted(new, key=by_time), _days(world, start_ms, end_ms), key=by_time)


def _days(world: World, start_ms: int, end_ms: int) -> Iterator[Arrival]:
    for day in range(start_ms // DAY_MS, end_ms // DAY_MS + 1):
        yield from sorted(_day(world, day, end_ms), key=itemgetter(0))


def _day(world: World, day: int, end_ms: int) -> Iterator[Arrival]:
    rng = world.rng
    begin, end = day * DAY_MS, min((day + 1) * DAY_MS, end_ms)
    for service in SERVICES:
        yield begin, world.operations.probes(service, begin, end, PROBE_EVERY_MS)
    for number in range(len(HOSTS)):
        yield begin, world.operations.samples(number, begin, end, SAMPLE_EVERY_MS)
    for _ in range(_JOBS_PER_DAY):
        at = begin + int(rng.random() * DAY_MS)
        yield at, maintenance(world, at)
    for video in world.library.shown:
        if video.removed_ms is not None and video.removed_ms // DAY_MS == day:
            yield video.removed_ms, removal(world, video, video.removed_ms)
    yield from _visits(world, day)


def _visits(world: World, day: int) -> Iterator[Arrival]:
    rng = world.rng
    again = 1 - 1 / world.visits_per_day
    for person in world.crowd.people:
        age = day - person.joined_ms // DAY_MS
        if age < 0:
            continue
        if age == 0:
            yield person.joined_ms, session(world, person, person.joined_ms, first=True)
        elif rng.random() < person.chance(age) * day_factor(person.place, day):
            at = moment(rng, person.place, day)
            yield at, session(world, person, at)
        else:
            continue
        while rng.random() < again:
            at = moment(rng, person.place, day)
            if at > person.joined_ms:
                yield at, session(world, person, at)
