"""A storm of rebalances: how long a partition stands still though records wait and its stores are up.

Exactness is the judge's business. Here nothing fails but a second worker, which comes and goes, and every
answer of ClickHouse takes long.
"""

from __future__ import annotations

import asyncio
import gc
import random
from typing import Any, Final

from faust.types import TP

from tests.simulation.episode import seeded
from tests.simulation.loop import SimulatedLoop, outside
from tests.simulation.world import World

_SHAPE: Final[dict[str, tuple[Any, ...]]] = {
    "playback partitions": (4,),
    "user partitions": (4,),
    "trouble": (0,),
    "rows of a block": (1_000,),
    "inserts a second": (14.0,),
    "longest wait": (1.0,),
    "bytes buffered": (1 << 30,),
    "keys in memory": (10_000,),
    "seconds in memory": (1e9,),
    "burst": (5, 10, 40),
}
#: Seconds before the storm, in which the first worker takes everything over.
_CALM: Final = 10.0


def standstills(seed: int, *, seconds: float, every: float, answer: float) -> dict[TP, float]:
    """Return for how long each partition stood still at most (seconds), in a storm.

    Args:
        seed: decides everything.
        seconds: how long the storm lasts.
        every: seconds between two rebalances: a second worker starts, or ends in order or without.
        answer: how long an answer of ClickHouse takes on average, in seconds.
    """
    rng = random.Random(seed)
    loop = SimulatedLoop(rng, in_order=True)
    world = World(seed, loop, rng, None, _SHAPE)
    found: dict[TP, float] = dict.fromkeys(world.places, 0.0)
    gc.disable()
    try:
        with seeded(world):
            loop.run_until_complete(_storm(world, found, seconds, every, answer))
    finally:
        loop.bury([worker.machine for worker in world.hired])
        gc.enable()
    return found


async def _storm(world: World, found: dict[TP, float], seconds: float, every: float, answer: float) -> None:
    end = _CALM + seconds
    outside(world.group.run())
    world.does_hire_again = False
    world.hire()
    outside(world.producer.run(end, world.now))
    await asyncio.sleep(_CALM)
    clickhouse = world.network.servers["clickhouse"]
    clickhouse.latency, clickhouse.patience = answer / 2, 60.0
    outside(_watch(world, found))
    second = None
    while world.loop.time() < end:
        if second is None:
            second = world.hire()
        else:
            if world.rng.random() < 0.5:
                second.stop()
            else:
                world.kill(second)
            second = None
        await asyncio.sleep(every * world.rng.uniform(0.8, 1.2))


async def _watch(world: World, found: dict[TP, float]) -> None:
    """Note for how long partitions stand still that had records before they last moved."""
    seen: dict[TP, tuple[tuple[int, int], int, float]] = {}
    while True:
        now = world.loop.time()
        for tp in world.places:
            ledger = world.store.ledgers[world.partition(tp)]
            at = ledger.counted or 0, ledger.stored_to or 0
            before, end, since = seen.get(tp, (None, 0, now))
            if at != before or min(at) >= end:
                seen[tp] = at, world.kafka.log(tp).end, now
            else:
                found[tp] = max(found[tp], now - since)
        await asyncio.sleep(1)
