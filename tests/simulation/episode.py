"""Runs one episode from a seed: disturbs a world, lets it calm down, and judges it."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import structlog

from sinks.base import Unexpected
from streams.watchdog import Stalled
from tests.simulation.faults import ALL, Fault
from tests.simulation.judge import judge
from tests.simulation.loop import SimulatedLoop, Stuck, outside
from tests.simulation.world import World

#: Errors with which a worker may end: it starts again and recovers.
_EXPECTED: Final = (Unexpected, Stalled)


@dataclass
class Outcome:
    """How an episode ended; every promise was kept if there are no `problems`."""

    seed: int
    problems: list[str] = field(default_factory=list)
    #: Number, time and name of each fault.
    faults: list[tuple[int, float, str]] = field(default_factory=list)
    #: What happened, one line each, if asked for.
    trace: list[str] = field(default_factory=list)
    records: int = 0
    #: The errors with which workers ended.
    exits: list[str] = field(default_factory=list)


def run(
    seed: int,
    *,
    traced: bool = False,
    only: Sequence[str] = (),
    without: frozenset[int] = frozenset(),
    shape: Mapping[str, tuple[Any, ...]] | None = None,
) -> Outcome:
    """Run an episode.

    Args:
        seed: decides everything.
        traced: whether to keep a trace.
        only: names of the faults that may happen; none for all.
        without: numbers of faults to leave out, to find out which of them matter.
        shape: what the world may be like, if not all of `tests.simulation.world.CHOICES`.
    """
    rng = random.Random(seed)
    loop = SimulatedLoop(rng, in_order=rng.random() < 0.3)
    world = World(seed, loop, rng, [] if traced else None, shape or {})
    outcome = Outcome(seed, trace=world.trace or [])
    gc.disable()  # Or tasks that wait on dead machines would be collected at a moment that no seed decides.
    try:
        with seeded(world):
            loop.run_until_complete(_run(world, outcome, only, without))
    except Stuck as error:
        outcome.problems.append(f"stuck: {error}")
    else:
        outcome.problems += judge(world)
    finally:
        outcome.problems += [
            f"a worker ended: {error!r}" for error in world.errors if not isinstance(error, _EXPECTED)
        ]
        outcome.exits = [type(error).__name__ for error in world.errors]
        outcome.trace = world.trace or []
        loop.bury([worker.machine for worker in world.hired])
        gc.enable()
    return outcome


def shrunk(failed: Outcome, only: Sequence[str] = ()) -> Outcome:
    """Return an episode of the same seed that fails with fewer faults, and its trace.

    Leaving a fault out changes all that is drawn after it, so this is another schedule, and not always the
    same problem.
    """
    without, best = frozenset[int](), failed
    size = max(1, len(failed.faults) // 2)
    while size:
        numbers = [number for number, _, _ in best.faults]
        for begin in range(0, len(numbers), size):
            tried = run(failed.seed, only=only, without=without | set(numbers[begin : begin + size]))
            if tried.problems:
                without, best = without | set(numbers[begin : begin + size]), tried
        size //= 2
    return run(failed.seed, traced=True, only=only, without=without)


async def _run(world: World, outcome: Outcome, only: Sequence[str], without: frozenset[int]) -> None:
    loop = world.loop
    duration = world.draw("seconds")
    world.network.trouble = world.draw("trouble")
    plan = _plan(random.Random(world.seed), duration, only)
    outside(world.group.run())
    for _ in range(world.draw("workers")):
        world.hire()
    sending = outside(world.producer.run(duration, world.now))
    going = set[asyncio.Task[Any]]()
    for number, (at, fault) in enumerate(plan):
        if number in without:
            continue
        await asyncio.sleep(at - loop.time())
        world.note(f"=== {fault.__name__}")
        outcome.faults.append((number, at, fault.__name__))
        going.add(outside(fault(world)))
    await asyncio.gather(sending, *going)
    await world.calm_down()
    outcome.records = sum(len(log.ever) for log in world.logs())


def _plan(rng: random.Random, duration: float, only: Sequence[str]) -> list[tuple[float, Fault]]:
    """Return which faults happen, and when: few kinds or all, once or often."""
    count = rng.choice((8, 16, 24)) if only else rng.choice((0, 1, 2, 4, 8, 16))
    chosen = [kind for kind in ALL if kind.__name__ in only]
    kinds = chosen or rng.sample(list(ALL), rng.choice((2, 2, 5, len(ALL))))
    drawn = rng.choices(kinds, [ALL[kind] for kind in kinds], k=count)
    return sorted(((rng.uniform(0, duration), fault) for fault in drawn), key=lambda each: each[0])


@contextmanager
def seeded(world: World) -> Iterator[None]:
    """Have the seed decide everything that the product draws, and its log lines in the trace."""

    def line(_: Any, level: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if world.trace is not None and level != "debug":
            world.note(f"    {level}: {event.pop('event')} {event}")
        raise structlog.DropEvent

    log = structlog.wrap_logger(None, [line], structlog.BoundLogger)
    with (
        patch("streams.retry.log", log),
        patch("streams.retry.random", world.rng),
        patch("streams.bundles.uuid4", lambda: UUID(int=world.rng.getrandbits(128))),
    ):
        yield
