"""What a worker tells of the partitions at work, and of those that left."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import structlog
from faust.types import TP
from prometheus_client import REGISTRY

from sinks.base import Unavailable
from sinks.memory import MemoryStore
from streams.assignment import PartitionStatus
from streams.domain.instruments import (
    DEAD_LETTERS,
    FENCED,
    LOOKUPS,
    LOST,
    RECORDS,
    RECOVERIES,
    REPLACED,
)
from streams.gauges import Gauges
from streams.retry import Retry
from tests.pipeline.bench import NOW, Bench, Log, view

HERE, GONE = TP("gauged", 0), TP("gauged", 1)


class App:
    rebalancing = False

    def __init__(self, highwater: dict[TP, int | None]) -> None:
        self.consumer = self
        self._fetched = highwater

    def end_offset(self, tp: TP, broker_end: int | None) -> int | None:
        known = [end for end in (broker_end, self._fetched.get(tp)) if end is not None]
        return max(known, default=None)


class Pipeline:
    def __init__(self, **statuses: Any) -> None:
        self.found: dict[TP, PartitionStatus] = {}

    def statuses(self) -> dict[TP, PartitionStatus]:
        return self.found


def told(name: str, partition: int = 0) -> float | None:
    labels = {"topic": "gauged", "partition": str(partition)}
    return REGISTRY.get_sample_value(f"videocloud_{name}", labels)


def gauges(highwater: dict[TP, int | None]) -> tuple[Gauges, Pipeline]:
    pipeline = Pipeline()
    return Gauges(App(highwater), pipeline, lambda: NOW), pipeline  # type: ignore[arg-type]


def test_lag_is_what_waits_and_how_old_the_newest_taken_record_is() -> None:
    watching, pipeline = gauges({HERE: 150, GONE: None})
    pipeline.found = {
        HERE: PartitionStatus(position=100, safe=90, newest_at=NOW - 40, rows=10, bytes=2_000, keys=7),
        GONE: PartitionStatus(position=5, safe=5, newest_at=0.0, rows=0, bytes=0, keys=0),
    }
    watching.update(NOW, {})
    assert (told("lag_records"), told("lag_seconds"), told("position")) == (60, 40, 90)
    assert (told("buffered_rows"), told("buffered_bytes"), told("memory_keys")) == (10, 2_000, 7)
    assert (told("lag_records", 1), told("lag_seconds", 1)) == (None, None)
    assert REGISTRY.get_sample_value("videocloud_partitions", {"topic": "gauged"}) == 2


def test_what_arrives_while_nothing_is_fetched_is_lag() -> None:
    watching, pipeline = gauges({HERE: 100})
    # Redis is away since ten minutes; at its last fetch it had everything.
    pipeline.found = {HERE: PartitionStatus(100, 100, NOW - 600, 0, 0, 0)}
    watching.update(NOW, {HERE: 30_100})
    assert (told("lag_records"), told("lag_seconds")) == (30_000, 600)
    # The broker does not answer, or its answer is older than the last fetch.
    for ends in ({}, {HERE: 90}):
        watching.update(NOW, ends)
        assert (told("lag_records"), told("lag_seconds")) == (0, 0)


def test_a_partition_that_is_up_to_date_is_not_behind_however_old_its_last_record_is() -> None:
    watching, pipeline = gauges({HERE: 100})
    pipeline.found = {HERE: PartitionStatus(100, 100, NOW - 9_000, 0, 0, 0)}
    watching.update(NOW, {})
    assert (told("lag_records"), told("lag_seconds")) == (0, 0)


def test_the_first_record_after_quiet_weeks_has_not_waited_for_weeks() -> None:
    watching, pipeline = gauges({HERE: 100})
    pipeline.found = {HERE: PartitionStatus(100, 100, NOW - 30 * 86_400, 0, 0, 0)}
    watching.update(NOW, {HERE: 100})
    # ClickHouse and Redis are away, and it waits.
    for seconds in (5, 700):
        watching.update(NOW + seconds, {HERE: 101})
        assert (told("lag_records"), told("lag_seconds")) == (1, seconds)
    # Nobody knows what waits while the broker does not answer.
    watching.update(NOW + 705, {})
    watching.update(NOW + 710, {HERE: 101})
    assert told("lag_seconds") == 710


def test_a_worker_that_begins_behind_says_so_before_its_first_batch() -> None:
    watching, pipeline = gauges({HERE: 150, GONE: 150})
    # As it was taken over, an hour behind; and a topic of which nobody has taken anything.
    pipeline.found = {
        HERE: PartitionStatus(100, 100, NOW - 3_600, 0, 0, 0),
        GONE: PartitionStatus(0, 0, 0.0, 0, 0, 0),
    }
    watching.update(NOW, {})
    assert (told("lag_records"), told("lag_seconds")) == (50, 3_600)
    assert (told("lag_records", 1), told("lag_seconds", 1)) == (150, None)
    pipeline.found[GONE] = PartitionStatus(20, 20, NOW - 60, 0, 0, 0)
    watching.update(NOW, {})
    assert told("lag_seconds", 1) == 60


async def test_a_partition_that_is_taken_over_knows_when_its_newest_record_was_taken() -> None:
    made = Log()
    for event in view("v", int(NOW * 1000) - 7_200_000):
        made.append(event, event["occurredAt"] + 500)
    bench = Bench(made, MemoryStore())
    await bench.restart()
    assert bench.worker.status.newest_at == 0
    await bench.run([3])
    await bench.restart()
    assert bench.worker.status.newest_at == made.records[-1].timestamp / 1000
    # Redis lost everything: the record's time is in ClickHouse.
    bench.store.ledgers.clear()
    bench.store.live.clear()
    await bench.restart()
    assert bench.worker.status.newest_at == made.records[-1].timestamp / 1000


def test_a_partition_that_left_is_told_no_more() -> None:
    watching, pipeline = gauges({HERE: 100, GONE: 7})
    pipeline.found = {tp: PartitionStatus(1, 1, NOW, 0, 0, 0) for tp in (HERE, GONE)}
    watching.update(NOW, {})
    assert told("position", 1) == 1
    pipeline.found = {HERE: pipeline.found[HERE]}
    watching.update(NOW, {})
    assert told("position", 1) is None
    assert told("position") == 1
    pipeline.found = {}
    watching.update(NOW, {})
    assert REGISTRY.get_sample_value("videocloud_partitions", {"topic": "gauged"}) == 0


def test_what_never_happened_to_a_topic_at_work_is_told_as_none() -> None:
    watching, pipeline = gauges({})
    pipeline.found = {TP("quiet", 0): PartitionStatus(0, 0, 0.0, 0, 0, 0)}
    watching.update(NOW, {})
    told = [
        sample
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.labels.get("topic") == "quiet" and sample.name.endswith("_total")
    ]
    assert {sample.value for sample in told} == {0}
    for instrument in (RECORDS, DEAD_LETTERS, RECOVERIES):
        label = instrument.labels[1]
        values = {sample.labels[label] for sample in told if sample.name == instrument.name}
        assert values == set(re.findall(r"[\w-]+", instrument.help.partition(": ")[2])) - {"or"}
    alone = {instrument.name for instrument in (FENCED, LOST, REPLACED, LOOKUPS)}
    assert alone <= {sample.name for sample in told}


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"videocloud_{name}", labels) or 0.0


async def test_a_run_is_counted_in_batches_blocks_and_dead_letters() -> None:
    topic = {"topic": "playback.events"}
    before = {
        name: value(name, **topic)
        for name in ("batch_records_sum", "batch_seconds_count", "count_seconds_count", "insert_rows_sum")
    }
    letters = value("dead_letters_total", error="NotJson", **topic)
    made = Log()
    for event in view("v", int(NOW * 1000) - 60_000):
        made.append(event, int(NOW * 1000))
    made.append(b"{not json", int(NOW * 1000))
    bench = Bench(made, MemoryStore())
    await bench.run([7])
    assert value("batch_records_sum", **topic) - before["batch_records_sum"] == 7
    assert value("batch_seconds_count", **topic) - before["batch_seconds_count"] == 1
    assert value("count_seconds_count", **topic) - before["count_seconds_count"] == 1
    assert value("insert_rows_sum", **topic) - before["insert_rows_sum"] == 6
    assert value("dead_letters_total", error="NotJson", **topic) - letters == 1
    assert bench.worker.status == PartitionStatus(7, 7, NOW, 0, 0, bench.worker.status.keys)


async def test_a_retry_is_counted_by_store_and_logged_with_its_coordinates(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = value("retries_total", store="redis", operation="count")
    left = [Unavailable("Redis: away", "redis")]

    async def count() -> str:
        if left:
            raise left.pop()
        return "counted"

    # Whatever a test before this one made of the logs, a process that configured them among others.
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    try:
        retry = Retry(cluster="c", topic="playback.events", partition=3)
        assert await retry.forever(count, "count", offset_from=10, offset_to=20) == "counted"
    finally:
        structlog.reset_defaults()
    assert value("retries_total", store="redis", operation="count") - before == 1
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert (line["event"], line["operation"]) == ("retrying", "count")
    assert [line[name] for name in ("cluster", "topic", "partition", "offset_from", "offset_to")] == [
        "c",
        "playback.events",
        3,
        10,
        20,
    ]


@pytest.mark.parametrize(("every", "lines"), [(0.0, 50), (3600.0, 8)])
async def test_a_long_outage_is_told_now_and_then_and_counted_each_time(
    every: float, lines: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.retry._TELL_SECONDS", every)
    monkeypatch.setattr("random.uniform", lambda *_: 0.0)
    before = value("retries_total", store="redis", operation="wait for long")
    left = [Unavailable("Redis: away", "redis")] * 50

    async def count() -> None:
        if left:
            raise left.pop()

    structlog.reset_defaults()
    structlog.configure(processors=[structlog.processors.JSONRenderer()])
    try:
        await Retry(partition=3).forever(count, "wait for long")
    finally:
        structlog.reset_defaults()
    assert value("retries_total", store="redis", operation="wait for long") - before == 50
    assert capsys.readouterr().out.count("retrying") == lines
