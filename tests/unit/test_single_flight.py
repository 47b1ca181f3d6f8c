"""What several wait for is done once, whoever leaves, and nobody complains of what none of them heard."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from sinks.single_flight import SingleFlight, let_go, shared_result


class Question:
    """A question that is answered when the test says so, and counts how often it was put."""

    def __init__(self) -> None:
        self.put = 0
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __call__(self) -> str:
        self.put += 1
        return await self.answer


async def asked(shared: SingleFlight[str], question: Question, times: int = 1) -> list[asyncio.Task[str]]:
    tasks = [asyncio.create_task(shared.run("key", question)) for _ in range(times)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_who_ask_meanwhile_have_one_answer_and_who_asks_later_another() -> None:
    shared, question = SingleFlight[str](), Question()
    tasks = await asked(shared, question, 3)
    question.answer.set_result("yes")
    assert await asyncio.gather(*tasks) == ["yes"] * 3
    assert question.put == 1
    assert await shared.run("key", question) == "yes"
    assert question.put == 2


async def test_who_asked_first_may_leave() -> None:
    shared, question = SingleFlight[str](), Question()
    first, second = await asked(shared, question, 2)
    first.cancel()
    await asyncio.wait({first})
    question.answer.set_result("yes")
    assert first.cancelled()
    assert await second == "yes"
    assert question.put == 1


async def test_a_failure_is_raised_by_all_and_forgotten() -> None:
    shared, question = SingleFlight[str](), Question()
    tasks = await asked(shared, question, 2)
    question.answer.set_exception(OSError("down"))
    for task in tasks:
        with pytest.raises(OSError, match="down"):
            await task
    again = Question()
    again.answer.set_result("yes")
    assert await shared.run("key", again) == "yes"


@pytest.mark.parametrize("alone", [True, False])
async def test_nobody_complains_of_a_failure_that_none_waits_for(alone: bool) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))
    question = Question()
    if alone:
        asking = asyncio.create_task(shared_result(asyncio.create_task(question())))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    else:
        (asking,) = await asked(SingleFlight[str](), question)
    asking.cancel()
    await asyncio.wait({asking})
    assert question.put == 1
    question.answer.set_exception(OSError("down"))
    await asyncio.sleep(0.01)
    del asking, question
    gc.collect()
    assert said == []


@pytest.mark.parametrize("steps", range(5))
async def test_nobody_complains_of_a_task_that_fails_while_it_is_let_go(steps: int) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(context))

    async def fail() -> None:
        raise OSError("down")

    async def gather() -> None:
        await asyncio.gather(fail(), asyncio.sleep(60))

    task = asyncio.create_task(gather())
    for _ in range(steps):
        await asyncio.sleep(0)
    let_go(task)
    await asyncio.wait({task})
    del task
    gc.collect()
    assert said == []


async def test_a_task_that_is_cancelled_cancels_who_waits_for_it() -> None:
    question = Question()
    task = asyncio.create_task(question())
    waiting = asyncio.create_task(shared_result(task))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
