"""Answers about users, from ClickHouse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from api import user_answers
from api.answers import STORE, Data, envelope
from api.parameters import Question
from streams.domain.errors import InvalidPeriodError, NotKeptError
from streams.domain.user_readings import SESSIONS_AHEAD, UserReader, active_stretches
from streams.domain.windows import Window, cover, rfc3339

#: The part that has its own endpoint; the other parts are groups of `metrics`.
ENGAGEMENT: Final = "engagement"


def ahead_of(parts: Collection[str]) -> timedelta:
    """Return for how long before a window its data are read: sessions are, to know which began before."""
    return SESSIONS_AHEAD if {"activity", ENGAGEMENT} & set(parts) else timedelta()


def window_of(question: Question, parts: Collection[str], first: datetime | None) -> Window:
    """Return the window of a question about these parts, with `previous` only if it compares.

    `first` is the instant of the first data; None when there is none. Raises as `Question.window` does.
    """
    window = question.window(first, ahead_of(parts))
    return window if question.compare else replace(window, previous=None)


def _unnoted(question: Question, parts: Collection[str]) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class UserService:
    """Answers questions about users.

    Every method raises `RequestError` for an invalid question, and `StoreUnavailableError` when the store
    cannot answer. `note` is called with every valid question and its parts.
    """

    reader: UserReader
    note: Callable[[Question, Collection[str]], None] = _unnoted

    async def users(self, question: Question, groups: Collection[str]) -> Data:
        """Answer `GET /analytics/users`."""
        window = await self._window(question, groups)
        _check_edges(window, question, groups)
        self.note(question, groups)
        answers: dict[str, Awaitable[Data]] = {}
        if "activity" in groups:
            answers["activity"] = self._activity(window)
        if "growth" in groups:
            answers["growth"] = self._growth(window, question.compare)
        if "retention" in groups:
            answers["retention"] = self._retention(window)
        given = await asyncio.gather(*answers.values())
        return envelope(dict(zip(answers, given, strict=True)), window, STORE)

    async def engagement(self, question: Question) -> Data:
        """Answer `GET /analytics/users/engagement`."""
        window = await self._window(question, (ENGAGEMENT,))
        self.note(question, (ENGAGEMENT,))
        return envelope(user_answers.engagement(await self.reader.engagement(window)), window, STORE)

    async def _window(self, question: Question, parts: Collection[str]) -> Window:
        first = await self.reader.first() if question.needs_first else None
        return window_of(question, parts, first)

    async def _activity(self, window: Window) -> Data:
        return user_answers.activity(await self.reader.activity(window))

    async def _growth(self, window: Window, compare: bool) -> Data:
        return user_answers.growth(await self.reader.growth(window), compare=compare)

    async def _retention(self, window: Window) -> Data:
        return user_answers.retention(await self.reader.retention(window), window)


def _check_edges(window: Window, question: Question, groups: Collection[str]) -> None:
    """Raise InvalidPeriodError for edges within a quarter of an hour whose raw events are expired.

    Raises NotKeptError if active users are those of days before the data that are kept.
    """
    stretches = list(active_stretches(window).values()) if "activity" in groups else []
    if any(stretch.start < question.kept_since for stretch in stretches):
        raise NotKeptError(
            "Active users are those of the 30 days before the window's end, and data are kept since "
            f"{rfc3339(question.kept_since)}.",
            parameter="metrics",
            since=rfc3339(question.kept_since),
        )
    if "growth" in groups and window.previous:
        stretches.append(window.previous)
    for stretch in stretches:
        if any(edge.start < question.raw_since for edge in cover([stretch])[1]):
            raise InvalidPeriodError(
                "start and end must be full quarters of an hour: this window is compared with days whose "
                "single events are no longer kept.",
                parameter="end",
                since=question.raw_since.isoformat(),
            )
