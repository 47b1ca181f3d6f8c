"""Lag is what Kafka has and a store lacks, by the ledgers."""

from __future__ import annotations

import io

from rich.console import Console

from deploy.operations.lag import PartitionLag, lags, positions
from deploy.operations.lag_command import _show
from deploy.operations.log_ends import LogEnds
from sinks.base import Ledger, Partition

NOW = 1_800_000_000.0
HERE = Partition("c", "user.events", 0)
THERE = Partition("c", "user.events", 1)


def test_the_slower_store_counts_and_a_block_in_doubt_is_not_in() -> None:
    done = Ledger(3, counted=100, block_from=50, block_to=90, landed=90)
    doubt = Ledger(3, counted=100, block_from=50, block_to=90, done=False, landed=50)
    ends = {HERE: LogEnds(0, 100, NOW - 4), THERE: LogEnds(0, 100, NOW - 9)}
    one, other = lags(ends, {HERE: done, THERE: doubt}, NOW)
    assert (one.counted, one.stored, one.records, one.seconds) == (100, 90, 10, 4.0)
    assert (other.stored, other.records, other.seconds) == (50, 50, 9.0)
    assert positions({HERE: done, THERE: doubt}, "c", {"user.events": [0, 1]}) == {HERE: 90, THERE: 50}


def test_a_partition_that_nobody_took_lacks_everything_that_is_there_and_lost_nothing() -> None:
    (lag,) = lags({HERE: LogEnds(40, 100, NOW - 1)}, {}, NOW)
    assert (lag.records, lag.lost) == (60, 0)
    assert positions({}, "c", {"user.events": [0]}) == {HERE: 0}


def test_what_retention_deleted_unread_is_told_and_is_no_lag() -> None:
    ledger = Ledger(3, counted=30, block_from=0, block_to=30, landed=30)
    (lag,) = lags({HERE: LogEnds(40, 100, NOW - 1)}, {HERE: ledger}, NOW)
    assert (lag.records, lag.lost) == (60, 10)


def test_who_is_ahead_of_what_kafka_said_has_no_lag() -> None:
    ledger = Ledger(3, counted=120, block_from=0, block_to=110, landed=110)
    (lag,) = lags({HERE: LogEnds(0, 100, NOW - 5)}, {HERE: ledger}, NOW)
    assert (lag.log_end, lag.records, lag.seconds) == (120, 10, 0.0)


def test_another_cluster_has_ledgers_of_its_own() -> None:
    ledger = Ledger(3, counted=120, block_from=0, block_to=110)
    assert positions({HERE: ledger}, "other", {"user.events": [0]}) == {
        Partition("other", "user.events", 0): 0
    }


def _shown(console: Console) -> str:
    _show(console, [PartitionLag(HERE.topic, 0, 0, 1_234_567_890, 1_234_567_880, 1_234_567_870, 9.0, 0)])
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_no_figure_is_cut_in_a_narrow_terminal_and_piped_rows_are_whole() -> None:
    narrow = _shown(Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None))
    assert "…" not in narrow
    piped = _shown(Console(file=io.StringIO(), width=40))
    assert "1,234,567,890  1,234,567,880  1,234,567,870" in piped


def test_the_partition_that_stands_still_is_named_among_many() -> None:
    found = [PartitionLag(HERE.topic, n, 0, 9, 9, 9 - (n == 7), 540.0 * (n == 7), 0) for n in range(9)]
    console = Console(file=io.StringIO(), width=200)
    _show(console, found)
    assert isinstance(console.file, io.StringIO)
    last = console.file.getvalue().splitlines()[-1]
    assert last == "1 records behind in 9 partitions; the oldest waits for 540.0 s, in user.events/7"
