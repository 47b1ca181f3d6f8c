"""What becomes of queries whose answer broke off, and of those that wait too long for their turn."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, cast

import pytest

from sinks.clickhouse.native_reader import Shape, Table, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain.errors import StoreUnavailableError
from tests.audience.tables import sent

SHAPE = Shape(user="UInt64", bits="UInt8")
TABLE = sent(SHAPE, [(1, 2), (3, 4)])


@pytest.fixture(params=[False, True], ids=["small", "large"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make every table one that is read in a thread, or none."""
    if request.param:
        monkeypatch.setattr("sinks.clickhouse.reader._LARGE", 0)
    return bool(request.param)


async def test_a_table_is_the_same_wherever_it_is_read(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, threads = ClickHouseReader("http://127.0.0.1:1/videocloud"), list[int]()
    read = Shape.read

    def reading(shape: Shape, answer: bytes) -> Table:
        threads.append(threading.get_ident())
        return read(shape, answer)

    async def answered(query: Query, form: str) -> bytes:
        return TABLE

    monkeypatch.setattr(reader, "_answer", answered)
    monkeypatch.setattr(Shape, "read", reading)
    table = await reader.table(TableQuery(Query("SELECT 1", {}), SHAPE))
    assert (table["user"].tolist(), table["bits"].tolist()) == ([1, 3], [2, 4])
    assert (threads != [threading.get_ident()]) is large


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(
    ("answer", "packed"),
    [(b'{"views":1}\n{"vie', False), (b'{"views":1}\nCode: 241. DB::Exception', False), (TABLE[:-1], True)],
)
async def test_an_answer_that_broke_off_is_no_answer(
    answer: bytes, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, query = ClickHouseReader("http://127.0.0.1:1/videocloud"), Query("SELECT 1", {})

    async def answered(query: Query, form: str) -> bytes:
        return answer

    monkeypatch.setattr(reader, "_answer", answered)
    with pytest.raises(StoreUnavailableError, match="broke off"):
        await (reader.table(TableQuery(query, SHAPE)) if packed else reader.rows(query))


class Server:
    """Answers each query as soon as the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = asyncio.Event()

    async def raw_query(self, *_: Any, **__: Any) -> bytes:
        self.asked += 1
        await self.answers.wait()
        return b'{"views":1}'

    async def ping(self, timeout: float) -> bool:
        return True


async def test_queries_do_not_pile_up_behind_a_slow_server() -> None:
    reader, server = ClickHouseReader("http://127.0.0.1:1/videocloud", connections=2), Server()
    reader._client = cast(Any, server)
    first = [asyncio.create_task(reader.rows(Query("SELECT 1", {}))) for _ in range(2)]
    await asyncio.sleep(0.01)
    reader._query_timeout = 0.01
    later = [reader.rows(Query("SELECT 1", {})) for _ in range(50)]
    async with asyncio.timeout(30):
        results = await asyncio.gather(*later, return_exceptions=True)
    for result in results:
        assert isinstance(result, StoreUnavailableError) and "too many queries" in str(result)
    assert server.asked == 2
    reader._query_timeout = 30
    server.answers.set()
    assert await asyncio.gather(*first) == [[{"views": 1}]] * 2
    later = [reader.rows(Query("SELECT 1", {})) for _ in range(50)]
    assert await asyncio.gather(*later) == [[{"views": 1}]] * 50
