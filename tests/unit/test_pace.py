"""How long rows wait for their block."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from sinks.base import Partition
from streams.blocks import BlockWriter
from streams.pace import Pace

_NOW = 100.0


def partition(number: int) -> Partition:
    """Name a partition."""
    return Partition("cluster", "topic", number)


def _pace(partitions: int, insert_seconds: float, rate: float = 14.0) -> Pace:
    """Return the pace of a worker that writes so many partitions, after many inserts that took so long."""
    pace = Pace(rate, 1.0)
    for number in range(partitions):
        pace.note_insert(partition(number), _NOW)
    for _ in range(100):
        pace.note_duration(insert_seconds)
    return pace


def _leave(pace: Pace, number: int) -> None:
    """Have the writer of a partition leave."""
    writer = cast(BlockWriter, SimpleNamespace(partition=partition(number), group=("table", 0)))
    pace.register(writer)
    assert writer in pace.writers(writer.group)
    pace.unregister(writer)
    assert writer not in pace.writers(writer.group)


def test_a_row_and_its_insert_take_a_part_of_the_longest_wait_when_clickhouse_is_quick() -> None:
    assert _pace(1, 0.05).linger(_NOW, 100, behind=False) == pytest.approx(0.25, rel=0.01)
    assert _pace(3, 0.05).linger(_NOW, 100, behind=False) == pytest.approx(0.25, rel=0.01)


def test_more_partitions_wait_longer_so_that_inserts_stay_few() -> None:
    assert _pace(7, 0.01).linger(_NOW, 100, behind=False) == pytest.approx(0.5)
    assert _pace(48, 0.01).linger(_NOW, 100, behind=False) == 1.0


def test_partitions_wait_longer_while_inserts_take_long_so_that_they_do_not_pile_up() -> None:
    assert _pace(4, 0.15).linger(_NOW, 100, behind=False) == pytest.approx(4 * 0.15 / 1.5, rel=0.01)
    assert _pace(4, 0.5).linger(_NOW, 100, behind=False) == 1.0


def test_an_outage_slows_inserts_down_for_moments_only() -> None:
    pace = _pace(4, 0.05)
    pace.note_duration(3600.0)
    for _ in range(12):
        pace.note_duration(0.05)
    assert pace.linger(_NOW, 100, behind=False) < 0.3


def test_partitions_that_fell_silent_count_no_more() -> None:
    pace = _pace(7, 0.01)
    pace.note_insert(partition(0), _NOW + 4.0)
    assert pace.linger(_NOW + 4.0, 100, behind=False) == pytest.approx(0.29, rel=0.01)


def test_many_rows_wait_the_longest_and_a_partition_that_is_behind_longer() -> None:
    assert _pace(1, 0.05).linger(_NOW, 20_000, behind=False) == 1.0
    assert _pace(1, 0.05).linger(_NOW, 100, behind=True) == 4.0


def test_few_rows_wait_for_more_where_several_groups_have_few() -> None:
    assert _pace(1, 0.05).linger(_NOW, 1, behind=False) == pytest.approx(1 / 3.5), "an event alone is quick"
    assert _pace(3, 0.05).linger(_NOW, 49, behind=False) == pytest.approx(3 / 3.5)
    assert _pace(3, 0.05).linger(_NOW, 50, behind=False) == pytest.approx(0.25, rel=0.01), (
        "now it is worth an insert"
    )
    assert _pace(48, 0.05).linger(_NOW, 1, behind=False) == 1.0


def test_a_partition_that_left_counts_no_more() -> None:
    pace = _pace(7, 0.01)
    for number in range(1, 7):
        _leave(pace, number)
    assert pace.linger(_NOW, 100, behind=False) == pytest.approx(0.29, rel=0.01)


def test_a_partition_is_behind_with_a_block_of_its_own_in_kafka() -> None:
    pace = Pace(14.0, 1.0)
    assert pace.is_behind(partition(0), 50_000, 50_000)
    assert not pace.is_behind(partition(0), 49_999, 50_000)


def test_many_partitions_are_behind_together() -> None:
    pace = Pace(14.0, 1.0)
    behind = [pace.is_behind(partition(number), 20_000, 50_000) for number in range(12)]
    assert behind == [False] * 9 + [True] * 3
    assert not pace.is_behind(partition(0), 100, 50_000), "it has caught up itself"
    for number in range(6):
        _leave(pace, number)
    assert not pace.is_behind(partition(11), 20_000, 50_000), "the others have left"
