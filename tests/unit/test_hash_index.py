"""Looking up hashes among many: what is found is what is there, however the hashes lie."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.clickhouse.hash_index import HashMap, HashSet, contained, distinct_by_group
from sinks.clickhouse.native_reader import Shape
from tests.audience.tables import table

LARGEST = 2**64 - 1
MARK = Shape(user="UInt64", bits="UInt8")
ANY = st.integers(0, LARGEST)
#: Hashes that crowd: alike but for their last bits, at either end and in the middle.
CROWDED = st.builds(
    lambda base, low: base + low, st.sampled_from((0, 2**63, LARGEST - 5000)), st.integers(0, 5000)
)


def numbers(some: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(some, np.uint64)


@given(st.sets(ANY | CROWDED, max_size=300), st.lists(ANY | CROWDED, max_size=50), st.data())
def test_exactly_those_that_are_there_are_found(
    there: set[int], others: list[int], data: st.DataObject
) -> None:
    asked = others + (data.draw(st.lists(st.sampled_from(sorted(there)))) if there else [])
    ascending = sorted(there)
    here, at = HashSet(numbers(ascending)).find(numbers(asked))
    assert here.tolist() == [number for number, each in enumerate(asked) if each in there]
    assert [ascending[place] for place in at] == [asked[number] for number in here]


@given(st.lists(ANY | CROWDED, max_size=300), st.lists(ANY | CROWDED, max_size=50), st.data())
def test_exactly_those_that_are_among_others_are_contained(
    there: list[int], others: list[int], data: st.DataObject
) -> None:
    asked = others + (data.draw(st.lists(st.sampled_from(there))) if there else [])
    assert contained(numbers(there), numbers(asked)).tolist() == [each in there for each in asked]


@given(
    st.dictionaries(ANY | CROWDED, st.integers(0, 255), max_size=300),
    st.lists(ANY | CROWDED, max_size=50),
    st.data(),
)
def test_a_mark_is_that_of_the_hash_and_0_where_there_is_none(
    marks: dict[int, int], others: list[int], data: st.DataObject
) -> None:
    asked = others + (data.draw(st.lists(st.sampled_from(sorted(marks)))) if marks else [])
    there, found = HashMap.of(table(MARK, sorted(marks.items()))).find(numbers(asked))
    assert there.tolist() == [each in marks for each in asked]
    assert found.tolist() == [marks.get(each, 0) for each in asked]


@given(
    st.lists(st.tuples(ANY | CROWDED | st.sampled_from((0, 64, LARGEST)), st.integers(0, 4)), max_size=300)
)
def test_each_hash_counts_once_in_each_group(pairs: list[tuple[int, int]]) -> None:
    hashes, groups = [each for each, _ in pairs], np.array([group for _, group in pairs], np.uint8)
    counts = distinct_by_group(numbers(hashes), groups, 5)
    assert counts.tolist() == [len({each for each, of in pairs if of == group}) for group in range(5)]


def test_pairs_that_come_to_one_slot_are_counted() -> None:
    # A hash that is less by as much as its group adds.
    pairs = [(2**63 - group * 0x9E3779B97F4A7C15) % 2**64 for group in range(5)] * 2
    counts = distinct_by_group(numbers(pairs), np.array([*range(5)] * 2, np.uint8), 5)
    assert counts.tolist() == [1] * 5


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 1000])
def test_the_first_and_the_last_are_found_whatever_the_size(length: int) -> None:
    step = LARGEST // max(1, length - 1)
    ascending = [number * step for number in range(length)]
    asked = numbers([*ascending, 7, LARGEST - 7])
    here, at = HashSet(numbers(ascending)).find(asked)
    assert here.tolist() == at.tolist() == list(range(length))
    there, marks = HashMap.of(table(MARK, [(each, 1) for each in ascending])).find(asked)
    assert there.tolist() == [*[True] * length, False, False]
    assert marks.tolist() == [*[1] * length, 0, 0]


@pytest.mark.parametrize("first", [0, 2**63, LARGEST - 99_999])
def test_hashes_that_crowd_are_looked_up_like_others(first: int) -> None:
    crowd = np.arange(100_000, dtype=np.uint64) + np.uint64(first)
    marked = HashMap(crowd, np.ones(len(crowd), np.uint8))
    assert marked.nbytes < 2 * 9 * len(crowd) * 5 / 3
    ended = time.process_time() + 5
    there, _ = marked.find(crowd[::-1])
    assert there.all()
    # One place after the other it would be five thousand million.
    assert time.process_time() < ended
