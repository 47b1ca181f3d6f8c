"""An unclean leader election truncates a log, and other records fill it again: none of them is missed."""

from __future__ import annotations

from collections import Counter

import pytest

from sinks.memory import MemoryStore
from streams.assignment import Fetched
from tests.pipeline.bench import NOW, Bench, Log, failing, view
from tests.waiting import until

_START_MS = int(NOW * 1000) - 600_000


def _log(*names: str) -> Log:
    log = Log()
    for name in names:
        for event in view(name, _START_MS):
            log.append(event, event["occurredAt"] + 20)
    return log


def _truncated(log: Log, at: int, *names: str) -> Log:
    """Return the log without its records from an offset on, with other views behind the rest."""
    again = Log(log.records[:at])
    for record in _log(*names).records:
        again.append(record.value or b"", record.timestamp)
    return again


def _stored(store: MemoryStore) -> Counter[str]:
    """Return how often each event is stored."""
    return Counter(f"{row.view_id}-{row.seq}" for row in store.tables["playback_events"])


def _once(*logs: Log) -> Counter[str]:
    """Return the events of all logs, each once."""
    return Counter({event for log in logs for event in _names(log)})


def _names(log: Log) -> list[str]:
    found = (str(record.value).split('"eventId":"')[1] for record in log.records)
    return [rest.split('"')[0] for rest in found]


def _views_counted(bench: Bench) -> int:
    ledger = bench.store.ledgers[bench.partition]
    live = bench.store.live[bench.partition, ledger.generation]
    return sum(counters["views"] for counters in live.counters.values())


async def test_records_that_replaced_truncated_ones_below_the_position_of_a_running_worker_are_read() -> None:
    log, store = _log("a", "b", "c"), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.records, leader_epochs=(4, 4)))
    bench.log = again = _truncated(log, 8, "x", "y", "z")

    await bench.worker.process(Fetched(18, again.read(18, 50), leader_epochs=(5, 5)))
    assert bench.sought == [17]
    await bench.worker.process(Fetched(17, again.read(17, 50), leader_epochs=(5, 5)))
    assert bench.sought == [17, 0]
    await bench.worker.process(Fetched(0, again.records, leader_epochs=(4, 5)))
    await bench.worker.give_up()

    assert _stored(store) == _once(log, again)
    assert _views_counted(bench) == 6
    assert store.ledgers[bench.partition].incarnation == 1


async def test_another_leader_of_the_same_log_costs_one_fetch() -> None:
    log, store = _log("a", "b", "c"), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 6), leader_epochs=(4, 4)))
    await bench.worker.process(Fetched(6, log.read(6, 6), leader_epochs=(7, 7)))
    assert bench.sought == [5]
    # A fetch may end with the record that is compared.
    await bench.worker.process(Fetched(5, log.read(5, 1), leader_epochs=(4, 4)))
    await bench.worker.process(Fetched(6, log.read(6, 6), leader_epochs=(7, 7)))
    await bench.worker.process(Fetched(12, log.read(12, 6), leader_epochs=(7, 7)))
    await bench.worker.give_up()
    assert bench.sought == [5]
    assert _stored(store) == _once(log)
    assert store.ledgers[bench.partition].incarnation == 0


async def test_records_of_unknown_leaders_are_read_without_comparing() -> None:
    log, store = _log("a", "b"), MemoryStore()
    bench = Bench(log, store)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 6)))
    await bench.worker.process(Fetched(6, log.read(6, 6)))
    await bench.worker.give_up()
    assert bench.sought == []
    assert _stored(store) == _once(log)


async def test_a_log_truncated_between_the_cursors_of_the_stores_is_another_log() -> None:
    log, store = _log("a", "b", "c"), MemoryStore()
    bench = Bench(log, store, block_rows=6)
    await bench.restart()
    await bench.worker.process(Fetched(0, log.read(0, 6)))
    await until(lambda: store.ledgers[bench.partition].landed == 6)
    store.fault = failing("begin")
    await bench.worker.process(Fetched(6, log.read(6, 12)))  # Counted, and not stored.
    bench.die()

    bench.log = again = _truncated(log, 8, "x", "y", "z")
    await bench.run([5])
    assert _stored(store) == _once(Log(log.records[:8]), again)
    assert _views_counted(bench) == 5  # The dead worker had counted c, which nobody can read any more.
    assert store.ledgers[bench.partition].incarnation == 1


@pytest.mark.parametrize("landed", [False, True])
async def test_a_block_in_doubt_whose_records_were_truncated_takes_no_other_records_with_it(
    landed: bool,
) -> None:
    log, store = _log("a", "b", "c"), MemoryStore()
    bench = Bench(log, store, block_rows=6)
    await bench.die_in_insert(6, 12, "inserted" if landed else "insert")

    bench.log = again = _truncated(log, 8, "x", "y", "z")
    await bench.run([5])
    assert _stored(store) == _once(log if landed else Log(log.records[:8]), again)
    assert store.ledgers[bench.partition].incarnation == 1
