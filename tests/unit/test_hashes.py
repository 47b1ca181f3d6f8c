"""Looking up hashes among many: what is found is what is there, however the hashes lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.clickhouse.hashes import Hashes, Marked
from sinks.clickhouse.packed import Shape
from tests.audience.tables import table

LARGEST = 2**64 - 1
ANY = st.integers(0, LARGEST)
#: Hashes that crowd: alike but for their last bits, at either end and in the middle.
CROWDED = st.builds(
    lambda base, low: base + low, st.sampled_from((0, 2**63, LARGEST - 5000)), st.integers(0, 5000)
)


def numbers(some: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(some, np.uint64)


@pytest.mark.parametrize("sieve", [False, True])
@given(st.sets(ANY | CROWDED, max_size=300), st.lists(ANY | CROWDED, max_size=50), st.data())
def test_exactly_those_that_are_there_are_found(
    sieve: bool, there: set[int], others: list[int], data: st.DataObject
) -> None:
    asked = others + (data.draw(st.lists(st.sampled_from(sorted(there)))) if there else [])
    ascending = sorted(there)
    here, at = Hashes(numbers(ascending), sieve=sieve).find(numbers(asked))
    assert here.tolist() == [number for number, each in enumerate(asked) if each in there]
    assert [ascending[place] for place in at] == [asked[number] for number in here]


@pytest.mark.parametrize("sieve", [False, True])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 1000])
def test_the_first_and_the_last_are_found_whatever_the_size(length: int, sieve: bool) -> None:
    step = LARGEST // max(1, length - 1)
    ascending = [number * step for number in range(length)]
    here, at = Hashes(numbers(ascending), sieve=sieve).find(numbers([*ascending, 7]))
    assert here.tolist() == at.tolist() == list(range(length))


def test_a_mark_is_that_of_the_hash_and_0_where_there_is_none() -> None:
    shape = Shape(user="UInt64", bits="UInt8")
    marked = Marked.of(table(shape, [(3, 7), (2**63, 255), (LARGEST, 0)]))
    asked = numbers([LARGEST, 5, 3, 2**63, 3])
    here, marks = marked.find(asked)
    assert here.tolist() == [0, 2, 3, 4]
    assert marks.tolist() == [0, 7, 255, 7]
    assert marked.marks(asked).tolist() == [0, 0, 7, 255, 7]
