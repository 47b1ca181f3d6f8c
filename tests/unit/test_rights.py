"""Which rights of a worker are missing, by what brokers say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from streams.rights import OPERATIONS, lacking_for, needed
from streams.settings import Settings

SETTINGS = Settings()
READ, WRITE = OPERATIONS["Read"], OPERATIONS["Write"]
ENOUGH = {name: READ | WRITE for name in needed(SETTINGS)}


class Admin:
    """aiokafka's admin client, asked about the group alone; `error` is raised for its coordinator."""

    def __init__(self, operations: int, error: Exception | None = None) -> None:
        self.asked = 0
        self._operations, self._error = operations, error
        self._client = self

    async def find_coordinator(self, _group: str) -> int:
        self.asked += 1
        if self._error:
            raise self._error
        return 1

    async def send(self, _node: int, _request: Any) -> Any:
        return SimpleNamespace(groups=[(0, "group", "Empty", "", "", [], self._operations)])


@pytest.mark.parametrize(
    ("admin", "allowed", "lacks"),
    [
        (Admin(READ), ENOUGH, []),
        (Admin(READ), {}, []),
        (Admin(-(2**31)), ENOUGH, []),
        (Admin(WRITE), ENOUGH, ["Read on group videocloud-analytics"]),
        (Admin(READ, GroupAuthorizationFailedError()), ENOUGH, ["Read on group videocloud-analytics"]),
        (Admin(READ), ENOUGH | {"user.events": WRITE}, ["Read on topic user.events"]),
        (Admin(READ), ENOUGH | {"events.deadletter": 0}, ["Write on topic events.deadletter"]),
    ],
)
async def test_what_brokers_do_not_grant_is_lacking(
    admin: Admin, allowed: dict[str, int | None], lacks: list[str]
) -> None:
    assert await lacking_for(admin, SETTINGS, allowed) == lacks
    assert admin.asked == 1


async def test_a_broker_that_says_nothing_of_topics_is_not_asked_about_the_group() -> None:
    admin = Admin(0)
    assert await lacking_for(admin, SETTINGS, dict.fromkeys(ENOUGH)) == []
    assert admin.asked == 0
