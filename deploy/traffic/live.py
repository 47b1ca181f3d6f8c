"""The present: arrivals at such a pace that the platform emits a given number of events a second."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from heapq import merge
from operator import itemgetter
from random import Random
from typing import Final

from deploy.traffic.events import SECOND_MS, Arrival, Ids
from deploy.traffic.jobs import maintenance, processing_ms, publication
from deploy.traffic.sessions import session
from deploy.traffic.system import HOSTS, SERVICES, Operations
from deploy.traffic.world import World

#: Interval of health probes and host samples; longer if they would be more than a fifth of the rate.
SAMPLE_EVERY_MS: Final = 15_000
_STEADY_SHARE: Final = 0.2
#: Share of the visits that are a person's first.
_NEWCOMERS: Final = 0.1
#: Jobs and new videos a second, as shares of the rate; a new video makes a dozen events, a job three.
_JOBS: Final = 0.004
_VIDEOS: Final = 0.0001
_MOST_VIDEOS_PER_S: Final = 1 / 40
# The events of a visit are modelled in steps of 10 s for 50 minutes.
_STEP_MS: Final = 10_000
_STEPS: Final = 300
_SAMPLE: Final = 600
_REPAY_S: Final = 300
_SWAY: Final = 0.2
_FOR_EVER: Final = 2**62


def arrivals(world: World, start_ms: int) -> Iterator[Arrival]:
    """Yield, without end and in order of time, the actors that begin from `start_ms` on."""
    rate = world.config.rate
    every = max(SAMPLE_EVERY_MS, int(SECOND_MS * (len(SERVICES) + len(HOSTS)) / (_STEADY_SHARE * rate)))
    steady: list[Arrival] = []
    for service in SERVICES:
        steady.append((start_ms, world.operations.probes(service, start_ms, _FOR_EVER, every)))
    for number in range(len(HOSTS)):
        steady.append((start_ms, world.operations.samples(number, start_ms, _FOR_EVER, every)))
    jobs, videos = rate * _JOBS, min(rate * _VIDEOS, _MOST_VIDEOS_PER_S)
    for_visits = rate - len(steady) * SECOND_MS / every - 3 * jobs - 13 * videos
    return merge(
        steady,
        _visits(world, start_ms, for_visits),
        _maintenance(world, start_ms, jobs),
        _publications(world, start_ms, videos),
        key=itemgetter(0),
    )


def _visits(world: World, start_ms: int, rate: float) -> Iterator[Arrival]:
    """Yield visits that together make `rate` events a second, from the first seconds on.

    A visit lasts for minutes, so starting visits at their final pace would reach the rate only slowly.
    Instead, each step starts as many visits as the visits of earlier steps leave room for: sum over j of
    pace[i - j] * effect[j] = rate, solved for pace[i]. The effect is estimated from a small sample, so a
    surplus or shortage of events is corrected within minutes.
    """
    rng = world.rng
    effect = footprint(world, start_ms)
    paces: list[float] = []
    at = float(start_ms)
    owed, before = 0.0, world.visit_events
    while True:
        wanted = rate + max(-_SWAY * rate, min(_SWAY * rate, owed / _REPAY_S))
        step_end = start_ms + (len(paces) + 1) * _STEP_MS
        recent = paces[: -len(effect) : -1] if paces else []
        under_way = sum(pace * later for pace, later in zip(recent, effect[1:], strict=False))
        paces.append(max(0.0, (wanted * _STEP_MS / SECOND_MS - under_way) / effect[0]))
        if len(paces) > 4 * len(effect):
            start_ms += (len(paces) - len(effect)) * _STEP_MS
            del paces[: -len(effect)]
        per_ms = paces[-1] / _STEP_MS
        while per_ms > 0 and (at := at + rng.expovariate(per_ms)) < step_end:
            yield _visit(world, int(at))
        owed += rate * _STEP_MS / SECOND_MS - (world.visit_events - before)
        before = world.visit_events
        at = float(step_end)  # exponential waits are memoryless: the next pace draws a new one


def _visit(world: World, at_ms: int) -> Arrival:
    person = None if world.rng.random() < _NEWCOMERS else world.crowd.returning(world.rng, at_ms)
    if person is None:
        return at_ms, session(world, world.crowd.newcomer(world.rng, at_ms), at_ms, first=True)
    return at_ms, session(world, person, at_ms)


def footprint(world: World, at_ms: int) -> list[float]:
    """Return a visit's mean number of events in each step, from the step in which it begins, over a sample.

    A visit begins anywhere within its step. A copy of the world plays the sample, with random numbers
    and ids of its own.
    """
    double = copy(world)
    double.rng = Random(f"footprint/{world.config.seed}")
    double.ids = Ids(world.config.seed, 0)
    double.operations = Operations(double.rng, double.ids, double.incidents)
    double.crowd = world.crowd.sketch()
    steps = [0.0] * _STEPS
    for _ in range(_SAMPLE):
        begun = int(double.rng.random() * _STEP_MS)
        for _, _, at, _ in _visit(double, at_ms)[1]:
            steps[min((begun + at - at_ms) // _STEP_MS, _STEPS - 1)] += 1 / _SAMPLE
    return steps


def _maintenance(world: World, start_ms: int, per_s: float) -> Iterator[Arrival]:
    at = float(start_ms)
    while True:
        at += world.rng.expovariate(per_s / SECOND_MS)
        yield int(at), maintenance(world, int(at))


def _publications(world: World, start_ms: int, per_s: float) -> Iterator[Arrival]:
    """Yield uploads from `start_ms` on, with the jobs and publications that follow, in order of time."""
    rng = world.rng
    owners = list(world.owners)
    waiting: list[Arrival] = []
    at = float(start_ms)
    while True:
        at += rng.expovariate(per_s / SECOND_MS)
        while waiting and waiting[0][0] <= at:
            yield waiting.pop(0)
        video = world.library.make(rng.choice(owners), int(at))
        video.published_ms = int(at) + processing_ms(video)
        waiting = sorted([*waiting, *publication(world, video)], key=itemgetter(0))
        while waiting and waiting[0][0] <= at:
            yield waiting.pop(0)
