"""Streams of live answers share what is asked, also when many clients come at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import orjson
import pytest

from api.live_feed import Feeds
from streams.domain.errors import StoreUnavailableError

#: No answer of a poll comes within a test that does not wait for it.
NEVER = 3600.0


class Question:
    """Counts how often it is asked; each answer is the number of the asking, or an error."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_away = False

    async def ask(self) -> Any:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(0)
        if self.is_away:
            raise StoreUnavailableError("redis", "away")
        return number


async def first_of(feeds: Feeds, question: Question, stack: AsyncExitStack) -> tuple[str, Any]:
    updates = await stack.enter_async_context(feeds.subscribe("", question.ask, None))
    update = await anext(updates)
    return update.event, orjson.loads(update.data)


async def test_clients_that_come_at_once_or_later_share_one_answer() -> None:
    feeds, question = Feeds(100, NEVER), Question()
    async with AsyncExitStack() as stack:
        first = await asyncio.gather(*(first_of(feeds, question, stack) for _ in range(50)))
        assert first == [("live", 1)] * 50
        assert await first_of(feeds, question, stack) == ("live", 1)
        assert (question.asked, feeds.streams, feeds.polls) == (1, 51, 1)
    assert (feeds.streams, feeds.polls) == (0, 0)
    async with AsyncExitStack() as stack:
        assert await first_of(feeds, question, stack) == ("live", 2)


async def test_while_there_is_no_answer_a_new_client_asks_and_is_told_the_error() -> None:
    feeds, question = Feeds(100, 0.001), Question()
    async with AsyncExitStack() as stack:
        updates = await stack.enter_async_context(feeds.subscribe("", question.ask, None))
        question.is_away = True
        while (await anext(updates)).event == "live":
            pass
        with pytest.raises(StoreUnavailableError):
            await first_of(feeds, question, stack)
        question.is_away = False
        assert (await first_of(feeds, question, stack))[0] == "live"
        assert feeds.polls == 1
    assert (feeds.streams, feeds.polls) == (0, 0)
