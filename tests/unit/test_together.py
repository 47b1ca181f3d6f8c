"""What many ask at the same time is asked in one request, and each answer is as new as if asked for alone."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest

from sinks import together
from sinks.clickhouse.archive import ClickHouseArchive
from sinks.together import Together


class Requests:
    """Requests that are answered when the test says so, with what `value` is when they begin."""

    def __init__(self) -> None:
        self.value, self.put = 0, list[list[str]]()
        self.answers: list[asyncio.Future[None]] = []

    async def __call__(self, keys: Collection[str]) -> dict[str, int]:
        self.put.append(list(keys))
        value, answer = self.value, asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        await answer
        return {key: value for key in keys if key != "unknown"}


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a request wait for the one before it, however long that takes here."""
    monkeypatch.setattr(together, "_PATIENCE", 60.0)


async def asked(shared: Together[str, int], *keys: str) -> list[asyncio.Task[dict[str, int]]]:
    tasks = [asyncio.create_task(shared([key])) for key in keys]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_those_who_ask_meanwhile_share_the_next_request_and_get_a_new_answer() -> None:
    requests = Requests()
    shared = Together(requests)
    first = await asked(shared, "a", "b", "a", "unknown")
    requests.value = 1
    later = await asked(shared, "b", "c") + await asked(shared, "d")
    assert requests.put == [["a", "b", "unknown"]]
    requests.answers[0].set_result(None)
    assert await asyncio.gather(*first) == [{"a": 0}, {"b": 0}, {"a": 0}, {}]
    await asked(shared)
    assert requests.put[1:] == [["b", "c", "d"]]
    requests.answers[1].set_result(None)
    assert await asyncio.gather(*later) == [{"b": 1}, {"c": 1}, {"d": 1}]
    assert await shared([]) == {}


async def test_an_error_is_raised_by_those_who_shared_the_request_and_by_nobody_else() -> None:
    requests = Requests()
    shared = Together(requests)
    first, (second,) = await asked(shared, "a", "b"), await asked(shared, "c")
    requests.answers[0].set_exception(OSError("down"))
    for task in first:
        with pytest.raises(OSError, match="down"):
            await task
    await asked(shared)
    requests.answers[1].set_result(None)
    assert await second == {"c": 0}


async def test_who_asked_first_may_leave() -> None:
    requests = Requests()
    shared = Together(requests)
    first, second = await asked(shared, "a", "b")
    first.cancel()
    await asyncio.wait({first})
    requests.answers[0].set_result(None)
    assert await second == {"b": 0}


async def test_a_request_without_an_answer_does_not_hold_the_next_one_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "_PATIENCE", 0.01)
    requests = Requests()
    shared = Together(requests)
    (silent,) = await asked(shared, "a")
    (second,) = await asked(shared, "b")
    while len(requests.answers) < 2:
        await asyncio.sleep(0.001)
    requests.answers[1].set_result(None)
    assert await second == {"b": 0}
    assert not silent.done()
    requests.answers[0].set_result(None)
    assert await silent == {"a": 0}


class Client:
    """A client of ClickHouse that counts its queries, and finds rows of the partitions below 100."""

    def __init__(self) -> None:
        self.queries = 0

    async def query(self, sql: str, parameters: dict[str, Any] | None = None) -> Any:
        self.queries += 1
        await asyncio.sleep(0.001)
        asked = parameters or {}
        if "places" in asked:
            rows: list[Any] = [(*place, 7) for place in asked["places"] if place[2] < 100]
        elif "partitions" in asked:
            rows = [(*each, ["b", "a"]) for each in asked["partitions"] if each[1] < 100]
        else:
            rows = [(5,)] if "max(last_received)" in sql else [(9,), (8,)]
        return SimpleNamespace(result_rows=rows)


async def test_partitions_of_several_topics_do_not_wait_for_each_others_answers() -> None:
    client: Any = Client()
    all_three = asyncio.Barrier(3)
    query = client.query

    async def together(sql: str, parameters: dict[str, Any]) -> Any:
        await all_three.wait()
        return await query(sql, parameters)

    client.query = together
    archive = ClickHouseArchive(client)
    async with asyncio.timeout(30):
        found = await asyncio.gather(*(archive.ahead(table, 5, 10) for table in ("a", "b", "c")))
    assert found == [[9, 8]] * 3


async def test_taking_over_many_partitions_takes_few_queries() -> None:
    client: Any = Client()
    archive = ClickHouseArchive(client)

    async def take_over(number: int) -> Any:
        logs = await archive.logs("topic", number)
        end = await archive.next_offset("a", "topic", number)
        newest = await archive.newest_received()
        ahead = await archive.ahead("playback_events", newest, 10)
        return logs, end, newest, ahead, await archive.ends([("a", "topic", number)])

    found = await asyncio.gather(*map(take_over, range(200)))
    here = (["a", "b"], 7, 5, [9, 8])
    assert found[:100] == [(*here, {("a", "topic", number): 7}) for number in range(100)]
    assert found[100:] == [([], None, 5, [9, 8], {})] * 100
    assert client.queries == 5
