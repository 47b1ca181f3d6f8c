"""What the worker says of itself to Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from sinks.base import Books

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The worker's counters and gauges; one instance a process."""

    def __init__(self) -> None:
        """Register everything with the default registry."""
        self._records = Counter(
            "videocloud_records_total",
            "Records taken, by what became of them: stored, repeated, late or rejected.",
            ["topic", "fate"],
        )
        self.recoveries = Counter(
            "videocloud_recoveries_total",
            "Partitions taken over, by what their ledger said.",
            ["topic", "why"],
        )
        self.lost = Counter(
            "videocloud_lost_records_total",
            "Records that retention deleted before they were read.",
            ["topic"],
        )
        self.replaced = Counter(
            "videocloud_replaced_logs_total", "Partitions that turned out to be another log.", ["topic"]
        )
        self.looked_up = Counter(
            "videocloud_lookups_total", "Views and event ids looked up in the raw tables.", ["topic"]
        )
        self.insert_seconds = Histogram(
            "videocloud_insert_seconds",
            "Time of a block from its turn to its place in ClickHouse.",
            ["topic"],
            buckets=_SECONDS,
        )
        self.row_wait_seconds = Histogram(
            "videocloud_row_wait_seconds",
            "Time from the first row of a block to its place in ClickHouse.",
            ["topic"],
            buckets=_SECONDS,
        )
        self.block_rows = Histogram(
            "videocloud_block_rows",
            "Rows of a block.",
            ["topic"],
            buckets=(1, 10, 100, 1_000, 10_000, 50_000, 100_000),
        )
        self.buffered = Gauge("videocloud_buffered_bytes", "Bytes of rows that wait for ClickHouse.")
        self.position = Gauge("videocloud_position", "Offset that is in both stores.", ["topic", "partition"])

    def count(self, topic: str, books: Books) -> None:
        """Add a batch's books."""
        for fate in ("stored", "repeated", "late", "rejected"):
            if n := getattr(books, fate):
                self._records.labels(topic, fate).inc(n)


METRICS = Metrics()
