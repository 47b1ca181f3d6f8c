"""What the benchmarks decide: whether a ratio fell, which step a sample belongs to, how old a number was."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from bench.cost import REST, shares, step_of
from bench.freshness import Seen
from bench.pipeline import Run
from bench.smoke import REFERENCE, Reference, fallen, ratios
from bench.standing import end_of_data

_REFERENCE = {"events/s : stock Faust": 6.0, "worker CPU : stock Faust": 10.0}
_ROOT = "MainThread;run_worker (/app/streams/app.py:256);Worker._start (/lib/mode/worker.py:257)"
_TAKE = f"{_ROOT};PartitionWorker._take (/app/streams/partition.py:369)"
_READER = (
    "Thread-3;ServiceThread._start_thread (/lib/mode/threads.py:207);BaseEventLoop.run_forever (/py/a.py:1)"
)


def test_a_fall_by_more_than_thirty_percent_is_noticed() -> None:
    seen = {"events/s : stock Faust": 4.1, "worker CPU : stock Faust": 9.0}
    assert fallen(seen, _REFERENCE) == ["events/s : stock Faust"]


def test_a_smaller_fall_and_any_rise_are_not() -> None:
    assert not fallen({"events/s : stock Faust": 4.3, "worker CPU : stock Faust": 30.0}, _REFERENCE)


def test_a_ratio_that_is_not_measured_any_more_counts_as_fallen() -> None:
    assert fallen({"events/s : stock Faust": 6.0}, _REFERENCE) == ["worker CPU : stock Faust"]


def test_the_committed_reference_names_every_ratio() -> None:
    reference = msgspec.json.decode(REFERENCE.read_bytes(), type=Reference)
    assert reference.ratios.keys() == ratios([_round(1.0)]).keys()


def _round(slower: float) -> dict[str, Run]:
    """Return a round on a machine that is so many times slower than when it is quiet."""

    def run(seconds: float, cpu: float, clickhouse: float) -> Run:
        servers = {"clickhouse": clickhouse * slower}
        return Run(100_000, seconds * slower, cpu * slower, 0.0, servers=servers)

    return {
        "pipeline": run(1.0, 0.8, 1.0),
        "stock": run(6.0, 8.0, 0.0),
        "read": run(0.25, 0.2, 0.0),
        "insert": run(0.5, 0.0, 0.9),
    }


def test_ratios_are_those_of_the_best_rounds_whatever_disturbed_the_others() -> None:
    quiet = ratios([_round(1.0)])
    assert quiet["events/s : stock Faust"] == pytest.approx(6.0)
    assert quiet["events/s : aiokafka reads"] == pytest.approx(0.25)
    assert quiet["worker CPU : stock Faust"] == pytest.approx(10.0)
    assert quiet["ClickHouse CPU : its inserts"] == pytest.approx(0.9)
    disturbed = {**_round(1.0), "pipeline": _round(3.0)["pipeline"]}
    assert ratios([disturbed, _round(1.0), _round(2.0)]) == pytest.approx(quiet)


@pytest.mark.parametrize(
    ("frames", "step"),
    [
        (";Columns.encode (/app/sinks/clickhouse/native_writer.py:119)", "ClickHouse: encode, send"),
        (
            ";PlaybackFolder.decode (/a/folding.py:89);Decoder.decode (/a/streams/domain/arrivals.py:9)",
            "decode",
        ),
        (";PlaybackFolder.unknown (/app/streams/domain/folding.py:95)", "repeats: look up"),
        (
            ";PlaybackFolder.fold (/a/streams/domain/folding.py:1);advance (/a/streams/domain/views.py:83)",
            "fold: views and rows",
        ),
        (";PlaybackFolder.count_live (/a/streams/domain/folding.py:1)", "fold: live counters"),
        (
            ";RedisLive.write (/app/sinks/redis/sink.py:58);StreamWriter.write (/py/asyncio/streams.py:342)",
            "Redis",
        ),
        (
            ";BatchFolder._look_up (/a/streams/batch.py:75);bind (/lib/clickhouse_connect/b.py:1)",
            "repeats: look up",
        ),
        ("", "hand over, ack"),
    ],
)
def test_a_sample_belongs_to_the_innermost_step(frames: str, step: str) -> None:
    assert step_of(_TAKE + frames) == step


def test_all_that_the_thread_of_the_kafka_client_does_is_reading() -> None:
    assert step_of(f"{_READER};StreamReader.feed_data (/py/asyncio/streams.py:494)") == "read"


def test_what_no_step_knows_is_the_rest_and_a_wait_is_nothing() -> None:
    assert step_of(f"{_ROOT};BaseEventLoop._run_once (/py/asyncio/base_events.py:1)") == REST
    assert step_of(f"{_ROOT};EpollSelector.select (/py/selectors.py:451)") is None


def test_shares_are_of_the_samples_that_are_no_waits() -> None:
    select = f"{_ROOT};EpollSelector.select (/py/selectors.py:451)"
    spent = shares(
        [
            f"{_TAKE};Columns.encode (/app/sinks/clickhouse/native_writer.py:119) 30",
            f"{select} 500",
            f"{_ROOT} 10",
        ]
    )
    assert spent["ClickHouse: encode, send"] == 0.75
    assert spent[REST] == 0.25
    assert sum(spent.values()) == pytest.approx(1.0)


async def _nothing() -> int:
    return 0


def test_a_heartbeat_is_as_old_as_when_an_answer_first_held_it() -> None:
    seen = Seen("a store", _nothing, 0.0)
    sent = [0.0, 1.0, 2.0, 3.0]
    seen.take(1, 3.5, sent)
    assert not seen.fresh_at, "it shows a number, and an old one"
    seen.take(3, 3.75, sent)
    seen.take(2, 9.0, sent)
    assert seen.ages == {1: 2.5, 2: 1.75, 3: 0.75}
    assert seen.fresh_at == 3.75


@pytest.mark.parametrize(
    ("hours", "end"),
    [
        (None, datetime(2026, 11, 28, 0, 20, 5, tzinfo=UTC)),
        (23.5, datetime(2026, 11, 28, 23, 30, tzinfo=UTC)),
    ],
)
def test_today_has_data_until_now_or_for_so_many_hours(hours: float | None, end: datetime) -> None:
    assert end_of_data(datetime(2026, 11, 28, 0, 20, 5, tzinfo=UTC), hours) == end
