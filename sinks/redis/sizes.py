"""What reading the last hour would cost Redis, which does nothing else while a script runs. Pure.

A cell is a video in a minute of a partition, a pair a video in a partition. Measured on a core of a small
machine: 0.2 µs for a cell, 2 to 3 µs for a pair, 4 µs for a pair of which viewers are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

#: Pairs that may be added up at once: 0.3 s of Redis' time at most. ClickHouse is not slower at this size.
MOST_PAIRS: Final = 100_000
#: So many cells that only repeat a pair cost as much as one pair.
CELLS_A_PAIR: Final = 16
#: Up to so many cells, it does not matter how many pairs they are.
FEW_CELLS: Final = 50_000
#: Pairs whose viewers may be counted, every second while somebody has a stream open.
MOST_WATCHED: Final = 25_000
#: Pairs whose sums over the hour may be looked up; each costs 60 µs and more.
MOST_SUMS: Final = 3_000
#: Partitions with live counters that may be read at once. Each takes 60 to 200 µs, however little it has.
MOST_PARTITIONS: Final = 1_500


def estimate_pairs(cells: int, sample: Sequence[int], minutes: int, sampled_minutes: int) -> int:
    """Estimate how many different pairs some cells in as many minutes are.

    `sample`: the cells of one partition, those of its sampled minutes, and how many videos these are. New
    videos come ever more slowly, as new words do in a text (Heaps' law): k times the minutes have k^b times
    the videos, with a b between 0 (the same in every minute) and 1 (others in every minute).
    """
    mine, sampled, videos = sample
    if not sampled or sampled_minutes < 2:
        return cells
    growth = log(max(1.0, videos * sampled_minutes / sampled)) / log(sampled_minutes)
    return min(cells, int(videos * (minutes / sampled_minutes) ** growth * cells / mine))


def too_many(cells: int, pairs: int) -> bool:
    """Say whether it takes too long to add up so many cells, which are so many pairs."""
    return pairs + cells // CELLS_A_PAIR > MOST_PAIRS
