"""Too many dead letters stop the worker, before it takes the records, with what an operator needs to know."""

from __future__ import annotations

import random

import pytest

from sinks.base import Partition
from sinks.memory import MemoryStore
from streams.assignment import Fetched
from streams.domain.arrivals import Rejected
from streams.rejections import Rejections, TooManyRejected
from tests.pipeline.bench import NOW, Bench, Log, Raw, view

HERE = Partition("cluster", "user.events", 3)


def _records(start: int, count: int) -> list[Raw]:
    return [Raw(start + n, 0, None, b"value") for n in range(count)]


def _bad(records: list[Raw], numbers: set[int]) -> list[Rejected]:
    return [Rejected(each, "Invalid", "no `seq`") for each in records if each.offset in numbers]


@pytest.mark.parametrize("seed", range(20))
def test_the_limit_is_met_in_the_batch_in_which_a_full_window_first_exceeds_it(seed: int) -> None:
    rng = random.Random(seed)
    window, share = rng.choice([10, 25, 60]), rng.choice([0.2, 0.5, 0.9])
    bad = {n for n in range(400) if rng.random() < share * rng.choice([0.6, 1.0, 1.3])}
    ends = range(window, 401)
    exceeded = [end for end in ends if sum(n in bad for n in range(end - window, end)) > share * window]
    limit, read = Rejections(share, window), 0
    tripped = None
    while read < 400 and tripped is None:
        records = _records(read, rng.choice([1, 7, 40, 150]))[: 400 - read]
        try:
            limit.note(HERE, records, _bad(records, bad))
        except TooManyRejected:
            tripped = range(read + 1, read + len(records) + 1)
        read += len(records)
    assert (tripped is None) == (not exceeded)
    assert tripped is None or exceeded[0] in tripped


def test_topics_are_judged_apart_and_no_limit_allows_everything() -> None:
    records = _records(0, 100)
    every = _bad(records, set(range(100)))
    Rejections(0.0, 10).note(HERE, records, every)
    Rejections(1.0, 10).note(HERE, records, every)
    limit = Rejections(0.5, 150)
    limit.note(HERE, records, every)
    limit.note(Partition("cluster", "system.events", 0), records, every)
    with pytest.raises(TooManyRejected):
        limit.note(Partition("cluster", "user.events", 4), records, every)


def test_the_message_names_topic_reasons_and_samples() -> None:
    records = _records(500, 20)
    with pytest.raises(TooManyRejected) as failure:
        Rejections(0.5, 20).note(HERE, records, _bad(records, set(range(505, 520))))
    error = failure.value
    assert str(error) == (
        "15 of the last 20 records of user.events cannot be taken, and the limit is 50%:"
        " 15 x Invalid: no `seq`"
    )
    assert error.reasons == ["15 x Invalid: no `seq`"]
    assert error.samples[-1] == "user.events/3 offset 519: Invalid: b'value'"


async def test_nothing_of_the_batch_that_went_too_far_is_counted_or_sent_away() -> None:
    log, store = Log(), MemoryStore()
    for n in range(5):
        for event in view(f"v{n}", int(NOW * 1000) - 600_000):
            log.append(event, event["occurredAt"] + 20)
    for _ in range(60):
        log.append(b"rubbish", int(NOW * 1000) - 500_000)
    bench = Bench(log, store, rejections=Rejections(0.5, 40))
    with pytest.raises(TooManyRejected):
        await bench.run([20])
    bench.worker.abandon()
    books, ledger = store.books[bench.partition], store.ledgers[bench.partition]
    # Of the last forty of the first sixty records thirty were bad; the forty records before are counted.
    assert (ledger.counted, books.read, books.rejected) == (40, 40, 10)
    assert [offset for offset, _ in bench.letters.sent] == list(range(30, 40))

    again = Bench(log, store)
    position = await again.restart()
    await again.worker.process(Fetched(position, log.read(position, 100)))
    await again.worker.give_up()
    assert store.books[bench.partition].read == 90
    assert [offset for offset, _ in again.letters.sent] == list(range(40, 90))
