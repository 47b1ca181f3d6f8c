"""The worker's Prometheus metrics; the definitions are in `streams.domain.instruments`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, get_args

from sinks.base import Books
from streams.domain import instruments as define
from streams.domain.arrivals import Rejected
from streams.domain.faults import FAULTS
from streams.domain.instruments import counter, gauge, histogram
from streams.ledger import RecoveryReason

_FATES: Final = ("stored", "repeated", "late", "rejected")


class Metrics:
    """The worker's instruments; one instance a process."""

    def __init__(self) -> None:
        """Register everything with the default registry."""
        self._records = counter(define.RECORDS)
        self._dead_letters = counter(define.DEAD_LETTERS)
        self.unkeyed = counter(define.UNKEYED)
        self.batch_records = histogram(define.BATCH_RECORDS)
        self.batch_seconds = histogram(define.BATCH_SECONDS)
        self.count_seconds = histogram(define.COUNT_SECONDS)
        self.insert_seconds = histogram(define.INSERT_SECONDS)
        self.row_wait_seconds = histogram(define.ROW_WAIT_SECONDS)
        self.insert_rows = histogram(define.INSERT_ROWS)
        self.inserted_bytes = counter(define.INSERTED_BYTES)
        self.buffered_rows = gauge(define.BUFFERED_ROWS)
        self.buffered_bytes = gauge(define.BUFFERED_BYTES)
        self.memory_keys = gauge(define.MEMORY_KEYS)
        self.position = gauge(define.POSITION)
        self.lag_records = gauge(define.LAG_RECORDS)
        self.lag_seconds = gauge(define.LAG_SECONDS)
        self.partitions = gauge(define.PARTITIONS)
        self.recoveries = counter(define.RECOVERIES)
        self.retries = counter(define.RETRIES)
        self.fenced = counter(define.FENCED)
        self.lost = counter(define.LOST)
        self.replaced = counter(define.REPLACED)
        self.looked_up = counter(define.LOOKUPS)

    def start_at_zero(self, topic: str) -> None:
        """Create a topic's series with 0: in a series that begins with 7, Prometheus sees no increase."""
        for counted, values in (
            (self._records, _FATES),
            (self._dead_letters, FAULTS),
            (self.recoveries, get_args(RecoveryReason)),
        ):
            for value in values:
                counted.labels(topic, value)
        for alone in (self.unkeyed, self.fenced, self.lost, self.replaced, self.looked_up):
            alone.labels(topic)

    def count_records(self, topic: str, books: Books) -> None:
        """Count the records of a batch by their fate."""
        for fate in _FATES:
            if n := getattr(books, fate):
                self._records.labels(topic, fate).inc(n)

    def count_dead_letters(self, topic: str, rejected: Sequence[Rejected]) -> None:
        """Count dead letters that were sent."""
        for error, n in Counter(letter.error for letter in rejected).items():
            self._dead_letters.labels(topic, error).inc(n)


METRICS = Metrics()
