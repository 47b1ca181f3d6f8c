"""How much a summary of the last hour is, is estimated from a few minutes of one partition."""

from __future__ import annotations

from random import Random

import pytest

from sinks.redis.sizes import MOST_PAIRS, estimate_pairs, too_many


def _sample(minutes: list[set[int]], apart: int = 10) -> tuple[list[int], int]:
    """Return what a partition tells about its minutes, and how many videos there really are."""
    some = minutes[::apart]
    told = [sum(map(len, minutes)), sum(map(len, some)), len(set().union(*some))]
    return told, len(set().union(*minutes))


def test_the_same_videos_in_every_minute_are_counted_once() -> None:
    told, videos = _sample([set(range(1000))] * 60)
    assert estimate_pairs(12 * told[0], told, 60, 6) == 12 * videos == 12_000


def test_other_videos_in_every_minute_are_all_counted() -> None:
    told, videos = _sample([set(range(minute * 50, minute * 50 + 50)) for minute in range(60)])
    assert estimate_pairs(told[0], told, 60, 6) == videos == 3000


@pytest.mark.parametrize(("tail", "most"), [(0.6, 1.5), (0.8, 1.5), (1.2, 1.5)])
def test_a_long_tail_is_estimated_well(tail: float, most: float) -> None:
    random = Random(1)
    minutes = [{min(10**6, int(random.paretovariate(tail))) for _ in range(2000)} for _ in range(60)]
    told, videos = _sample(minutes)
    assert 1 / most < estimate_pairs(told[0], told, 60, 6) / videos < most


def test_without_a_sample_every_cell_counts() -> None:
    assert estimate_pairs(500, (500, 0, 0), 60, 6) == 500
    assert estimate_pairs(500, (500, 500, 400), 1, 1) == 500


def test_cells_that_repeat_a_pair_are_cheap() -> None:
    assert too_many(MOST_PAIRS + 1, MOST_PAIRS + 1)
    assert not too_many(MOST_PAIRS * 2, MOST_PAIRS // 10)
    assert too_many(MOST_PAIRS * 20, MOST_PAIRS // 10)
