"""An answer that broke off in the middle is one that may come later, and nothing that is told."""

from __future__ import annotations

import pytest

from sinks.clickhouse.native_reader import Shape, TableQuery
from sinks.clickhouse.queries import Query
from sinks.clickhouse.reader import ClickHouseReader
from streams.domain.errors import StoreUnavailableError
from tests.audience.tables import sent

SHAPE = Shape(user="UInt64", bits="UInt8")
TABLE = sent(SHAPE, [(1, 2), (3, 4)])


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
