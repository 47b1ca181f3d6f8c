"""`kill -9` of workers in the middle of the stream: afterwards nothing is lost and nothing is double."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from random import Random

import pytest

from tests.e2e.cluster import Cluster, cluster
from tests.e2e.platform import Platform, expected_dead_letters, expected_rows, platform
from tests.e2e.questions import now_utc, some_questions, wrong_answers
from tests.oracle.log import Record, read
from tests.oracle.views import facts
from tests.world.world import World, build

SEED = int(os.environ.get("TEST_SEED", "9"))
pytestmark = pytest.mark.slow


async def working(running: Platform) -> None:
    """Wait until a worker has taken something of what was sent."""
    before = running.behind()
    async with asyncio.timeout(60):
        while running.behind() == before and before:
            await asyncio.sleep(0.005)


async def send_and_kill(
    rng: Random, servers: Cluster, running: Platform, records: list[Record], kills: int
) -> None:
    """Send records in bursts; in each, kill the worker at some moment of its work on it."""
    size = -(-len(records) // kills)
    for begin in range(0, len(records), size):
        worker = servers.workers[-1]
        burst = records[begin : begin + size]
        half = rng.randrange(len(burst))
        await running.send(burst[:half])
        await working(running)
        sending = asyncio.create_task(running.send(burst[half:]))
        await asyncio.sleep(rng.random() * rng.choice((0.05, 0.3, 1.2)))
        worker.kill()
        servers.worker()
        await sending
    await running.caught_up()


async def check(rng: Random, running: Platform, world: World) -> None:
    """Hold both stores, and Kafka's dead letters, against the truth."""
    log = read(world.delivered)
    assert running.stored() == expected_rows(log)
    assert await running.dead_letters() == expected_dead_letters(log)
    asked = some_questions(rng, world, now_utc(), 40)
    assert await wrong_answers(running, asked, log, facts(log)) == []


async def test_nothing_is_lost_or_double_when_the_worker_is_killed_at_work(tmp_path: Path) -> None:
    rng = Random(SEED)
    world = build(SEED, now_utc(), views=150)
    catalog, before, changes, after = world.phases
    with cluster(tmp_path) as servers:
        async with platform(servers.endpoints) as running:
            servers.worker()
            await running.send(catalog)
            await running.caught_up()
            await send_and_kill(rng, servers, running, before, kills=1)
            await running.send(changes)
            await running.caught_up()
            await send_and_kill(rng, servers, running, after, kills=2)
            await check(rng, running, world)
        assert len(servers.workers) == 4
