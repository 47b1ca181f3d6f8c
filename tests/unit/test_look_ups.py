"""Look-ups by key: few questions, none longer than a server takes."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from clickhouse_connect.driver.binding import bind_query

from sinks.clickhouse.archive import key_lists

#: ClickHouse's `http_max_uri_size` where nobody changed it.
LONGEST_ADDRESS = 1_048_576


@pytest.mark.parametrize("letter", ["a", "'", "\\", "é", "😀"])
@pytest.mark.parametrize("length", [1, 36, 128])
def test_a_question_fits_into_an_address_whatever_the_ids(letter: str, length: int) -> None:
    keys = [(f"{n:x}".rjust(length, letter)[-length:], letter * length) for n in range(4_096)]
    lists = list(key_lists(keys))
    assert [key for some in lists for key in some] == keys
    for some in lists:
        bound = bind_query("{keys:Array(Tuple(String, String))}", {"keys": some}, None)[1]
        assert len(urlencode(bound)) < LONGEST_ADDRESS - 10_000


def test_a_batch_of_usual_ids_takes_few_questions() -> None:
    keys = [(f"vid_{n % 1000:06}", f"view_{n:016x}") for n in range(4_096)]
    assert len(list(key_lists(keys))) == 3
