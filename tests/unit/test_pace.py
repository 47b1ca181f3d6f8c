"""How long rows wait for their block."""

from __future__ import annotations

from sinks.base import Partition
from streams.blocks import Pace


def partition(number: int) -> Partition:
    """Name a partition."""
    return Partition("cluster", "topic", number)


def test_a_worker_with_few_partitions_hardly_waits() -> None:
    pace = Pace(10.0, 1.0)
    pace.note(partition(0), 100.0)
    assert pace.linger(100.5, 10, behind=False) == 0.1


def test_more_partitions_wait_longer_so_that_inserts_stay_few() -> None:
    pace = Pace(10.0, 1.0)
    for number in range(5):
        pace.note(partition(number), 100.0)
    assert pace.linger(100.5, 10, behind=False) == 0.5
    for number in range(48):
        pace.note(partition(number), 100.0)
    assert pace.linger(100.5, 10, behind=False) == 1.0


def test_partitions_that_fell_silent_count_no_more() -> None:
    pace = Pace(10.0, 1.0)
    for number in range(5):
        pace.note(partition(number), 100.0)
    pace.note(partition(0), 104.0)
    assert pace.linger(104.0, 10, behind=False) == 0.1


def test_a_busy_block_waits_the_longest_and_one_that_is_behind_longer() -> None:
    pace = Pace(10.0, 1.0)
    pace.note(partition(0), 100.0)
    assert pace.linger(100.0, 10_000, behind=False) == 1.0
    assert pace.linger(100.0, 10, behind=True) == 4.0
