"""Answers about the platform itself, from ClickHouse, by the minute."""

from __future__ import annotations

from dataclasses import dataclass

from api import system_answers
from api.answers import STORE, Data, envelope
from api.parameters import Question
from streams.domain.system_readings import SystemReader
from streams.domain.windows import Window


@dataclass(frozen=True, slots=True)
class SystemService:
    """Answers questions about the platform.

    Every method raises `RequestError` for an invalid question, and `StoreUnavailableError` when the store
    cannot answer.
    """

    reader: SystemReader

    async def health(self, question: Question) -> Data:
        """Answer `GET /analytics/system/health`."""
        window = await self._window(question)
        return envelope(system_answers.health(await self.reader.health(window)), window, STORE)

    async def performance(self, question: Question) -> Data:
        """Answer `GET /analytics/system/performance`."""
        window = await self._window(question)
        data = system_answers.performance(await self.reader.performance(window), window)
        return envelope(data, window, STORE)

    async def _window(self, question: Question) -> Window:
        return question.window(await self.reader.first() if question.needs_first else None)
