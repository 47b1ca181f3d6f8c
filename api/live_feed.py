"""Streams of live answers: each question is polled once a second, however many clients subscribe.

A new subscriber does not ask again either: when a server restarts, all its clients come back at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from api.errors import MESSAGES, TooManyStreamsError, code_of
from api.metrics import STREAMS
from sinks.single_flight import SingleFlight
from streams.domain.errors import RequestError, StoreUnavailableError

_log = structlog.get_logger(__name__)

#: Seconds between two answers of a stream.
INTERVAL: Final = 1.0
#: The event of an answer.
LIVE: Final = "live"
Ask = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Update:
    """One event of a stream: `live` with an answer, or `error` with the body of an error."""

    event: str
    data: str


def error_update(error: Exception, message: str) -> Update:
    """Return an error as an event."""
    content = {"success": False, "error": {"code": code_of(error), "message": message, "details": {}}}
    return Update("error", orjson.dumps(content).decode())


class _Poll:
    """Polls one question, and keeps the newest answer."""

    def __init__(self, ask: Ask, interval: float, first: Update) -> None:
        self._ask = ask
        self._interval = interval
        self._number = 0
        self._changed = asyncio.Event()
        self._ended = False
        self.listeners = 0
        self.latest = first
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while True:
                await asyncio.sleep(self._interval)
                self._publish(await self._next())
        except RequestError as error:
            # The video does not exist (any more), so polling ends.
            self._publish(error_update(error, str(error)))
        except Exception:
            _log.exception("a live stream ended unexpectedly")
        finally:
            self._finish()

    def end(self) -> None:
        """Stop polling, and end the streams of all subscribers."""
        self._task.cancel()
        self._finish()

    @property
    def ended(self) -> bool:
        """Whether no more answers will come."""
        return self._ended

    def _finish(self) -> None:
        self._ended = True
        self._changed.set()

    async def _next(self) -> Update:
        try:
            return await ask_once(self._ask)
        except StoreUnavailableError as error:
            return error_update(error, MESSAGES[503])

    def _publish(self, update: Update) -> None:
        self.latest = update
        self._number += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def updates(self, first: Update) -> AsyncIterator[Update]:
        """Yield `first`, then each newest answer; a slow subscriber misses those in between."""
        seen = self._number
        yield first
        while True:
            while self._number == seen:
                if self._ended:
                    return
                await self._changed.wait()
            seen = self._number
            yield self.latest


async def ask_once(ask: Ask) -> Update:
    """Ask once, and return the answer as an event."""
    return Update(LIVE, orjson.dumps(await ask()).decode())


class Feeds:
    """The streams of one process: `max_streams` at once, and one poll for each question.

    One key may hold three quarters of them, so that nobody can take all.
    """

    def __init__(self, max_streams: int, interval: float = INTERVAL) -> None:
        """Poll nothing yet. `interval` is in seconds."""
        self._max_streams = max_streams
        self._interval = interval
        self._polls: dict[Hashable, _Poll] = {}
        self._first = SingleFlight[Update]()
        self._max_per_key = max(1, max_streams * 3 // 4)
        self._streams_of: Counter[str | None] = Counter()

    @property
    def streams(self) -> int:
        """Return the number of streams that are open now."""
        return self._streams_of.total()

    @property
    def polls(self) -> int:
        """Return the number of questions that are polled now."""
        return len(self._polls)

    @asynccontextmanager
    async def subscribe(
        self, question: Hashable, ask: Ask, key_id: str | None
    ) -> AsyncIterator[AsyncIterator[Update]]:
        """Subscribe to the answers to a question for as long as the context lasts.

        The first answer is there on entry, so errors of the question are raised here. `key_id` is None when
        the API is open. Raises `TooManyStreamsError` when all streams, or all that a key may have, are taken.
        """
        if self.streams >= self._max_streams:
            raise TooManyStreamsError(
                f"This server sends {self._max_streams} streams at once, and all are taken."
            )
        if key_id is not None and self._streams_of[key_id] >= self._max_per_key:
            raise TooManyStreamsError(
                f"This key has {self._max_per_key} streams of this server, the most for one key. Close some."
            )
        self._streams_of[key_id] += 1
        STREAMS.inc()
        try:
            first = await self._first_answer(question, ask)
            poll = self._polls.get(question)
            if poll is None or poll.ended:
                poll = self._polls[question] = _Poll(ask, self._interval, first)
            poll.listeners += 1
            try:
                yield poll.updates(first)
            finally:
                poll.listeners -= 1
                if not poll.listeners:
                    poll.end()
                    if self._polls.get(question) is poll:
                        del self._polls[question]
        finally:
            self._streams_of[key_id] -= 1
            if not self._streams_of[key_id]:
                del self._streams_of[key_id]
            STREAMS.dec()

    async def _first_answer(self, question: Hashable, ask: Ask) -> Update:
        """Return the newest answer to a question; ask if nobody does, or if the last answer was an error."""
        poll = self._polls.get(question)
        if poll is not None and not poll.ended and poll.latest.event == LIVE:
            return poll.latest
        return await self._first.run(question, lambda: ask_once(ask))

    def end(self) -> None:
        """End all streams."""
        for poll in self._polls.values():
            poll.end()
