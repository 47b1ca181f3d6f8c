"""A nasty world through the whole running stack: every number that the API tells is the truth."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.e2e.platform import Platform, expected_dead_letters, expected_rows, platform
from tests.e2e.questions import now_utc, questions, wrong_answers
from tests.oracle.log import Log, read
from tests.oracle.views import Facts, facts
from tests.world.world import World, build

if TYPE_CHECKING:
    from tests.conftest import Stack

SEED = int(os.environ.get("TEST_SEED", "20261123"))
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


# Without a repr: whoever shows the arguments of a running test, as asyncio does, would write out the world.
@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """A world that was sent, and the truth about it."""

    world: World
    platform: Platform
    log: Log
    facts: Facts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(stack: Stack) -> AsyncIterator[Told]:
    """Send a world, phase by phase, and wait until both stores have it."""
    world = build(SEED, now_utc())
    async with platform(stack.endpoints) as running:
        for phase in world.phases:
            await running.send(phase)
            await running.caught_up()
        log = read(world.delivered)
        yield Told(world, running, log, facts(log))


async def test_every_answer_about_videos_is_the_truth(told: Told) -> None:
    asked = questions(Random(SEED), told.world, now_utc())
    assert len(asked) > 200
    assert await wrong_answers(told.platform, asked, told.log, told.facts) == []


async def test_every_record_is_stored_once_or_accounted_for(told: Told) -> None:
    assert told.platform.stored() == expected_rows(told.log)


async def test_dead_letters_are_the_broken_records_byte_for_byte_with_their_reason(told: Told) -> None:
    found = await told.platform.dead_letters()
    expected = expected_dead_letters(told.log)
    assert [(topic, fault, value[:60]) for topic, fault, value in (found - expected)] == []
    assert [(topic, fault, value[:60]) for topic, fault, value in (expected - found)] == []


async def test_a_world_sent_twice_changes_nothing(told: Told) -> None:
    """Every record again, as after a producer's restart: nothing counts twice."""
    sound = [record for record in told.world.phases[-1] if record.fault is None and record.value is not None]
    await told.platform.send(sound)
    await told.platform.caught_up()
    assert told.platform.stored() == expected_rows(told.log)
    asked = [question for question in questions(Random(1), told.world, now_utc()) if question.video is None]
    assert await wrong_answers(told.platform, asked, told.log, told.facts) == []
