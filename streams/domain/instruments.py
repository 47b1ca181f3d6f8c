"""The registry of all Prometheus metrics that the processes expose.

Only definitions: `streams.metrics` and `api.metrics` create the instruments; docs/monitoring.md, the
dashboards and the alert rules (`deploy.monitoring`) are generated from here or tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from streams.domain.faults import NAMED

# Creation times would double the series of counters and histograms, and nothing uses them.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: Buckets in seconds for one call to a store, from a local Redis to a slow query.
_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES: Final = (1, 10, 100, 1_000, 10_000, 50_000, 100_000)


class Kind(StrEnum):
    """The type of an instrument."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Process(StrEnum):
    """The processes that expose an instrument."""

    WORKER = "worker"
    API = "api"
    BOTH = "worker, api"


@dataclass(frozen=True, slots=True)
class Instrument:
    """One metric; `help` is a sentence, which names the values of labels unless they are topics or routes."""

    process: Process
    kind: Kind
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """Return the names of its series in Prometheus."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return (self.name,)


def _counter(process: Process, name: str, text: str, *labels: str) -> Instrument:
    return Instrument(process, Kind.COUNTER, f"videocloud_{name}_total", text, labels)


def _gauge(process: Process, name: str, text: str, *labels: str) -> Instrument:
    return Instrument(process, Kind.GAUGE, f"videocloud_{name}", text, labels)


def _histogram(
    process: Process, name: str, text: str, *labels: str, buckets: tuple[float, ...] = _SECONDS
) -> Instrument:
    return Instrument(process, Kind.HISTOGRAM, f"videocloud_{name}", text, labels, buckets)


_W, _A = Process.WORKER, Process.API

BUILD: Final = _gauge(
    Process.BOTH, "build_info", "Always 1; the labels give the running versions.", "version", "python"
)

RECORDS: Final = _counter(
    _W,
    "records",
    "Records processed, by their outcome: stored, repeated, late or rejected.",
    "topic",
    "fate",
)
DEAD_LETTERS: Final = _counter(
    _W,
    "dead_letters",
    f"Records sent to the dead-letter topic, by error class: {NAMED}.",
    "topic",
    "error",
)
UNKEYED: Final = _counter(
    _W,
    "unkeyed_batches",
    "Batches whose first record has no key, or its eventId as key: duplicates and totals of views may be in"
    " several partitions.",
    "topic",
)
BATCH_RECORDS: Final = _histogram(_W, "batch_records", "Records in a fetched batch.", "topic", buckets=_SIZES)
BATCH_SECONDS: Final = _histogram(
    _W, "batch_seconds", "Time to process a batch: decode, fold, count, buffer.", "topic", buckets=_QUICK
)
COUNT_SECONDS: Final = _histogram(
    _W,
    "count_seconds",
    "Time to update the live counters in Redis, retries included.",
    "topic",
    buckets=_QUICK,
)
INSERT_SECONDS: Final = _histogram(
    _W,
    "insert_seconds",
    "Time of an insert into ClickHouse, retries included.",
    "topic",
)
ROW_WAIT_SECONDS: Final = _histogram(
    _W, "row_wait_seconds", "Time from a block's first row to its insert in ClickHouse.", "topic"
)
INSERT_ROWS: Final = _histogram(
    _W, "insert_rows", "Rows in an insert, of one block or several.", "topic", buckets=_SIZES
)
INSERTED_BYTES: Final = _counter(
    _W, "inserted_bytes", "Bytes of encoded rows inserted into ClickHouse.", "topic"
)
BUFFERED_ROWS: Final = _gauge(_W, "buffered_rows", "Rows buffered for the next block.", "topic", "partition")
BUFFERED_BYTES: Final = _gauge(
    _W, "buffered_bytes", "Bytes of rows buffered or being inserted.", "topic", "partition"
)
MEMORY_KEYS: Final = _gauge(_W, "memory_keys", "Views and event ids held in memory.", "topic", "partition")
POSITION: Final = _gauge(
    _W, "position", "Offset up to which both stores have all records.", "topic", "partition"
)
LAG_RECORDS: Final = _gauge(
    _W, "lag_records", "Consumer lag: records in Kafka that are not yet in both stores.", "topic", "partition"
)
LAG_SECONDS: Final = _gauge(
    _W,
    "lag_seconds",
    "Age of the newest processed record while others wait, or the time since none waited if that is less; "
    "0 when none wait.",
    "topic",
    "partition",
)
PARTITIONS: Final = _gauge(_W, "partitions", "Partitions that this worker processes.", "topic")
RECOVERIES: Final = _counter(
    _W,
    "recoveries",
    "Partitions taken over, by the state found: new, resume, redis-behind or clickhouse-behind.",
    "topic",
    "why",
)
RETRIES: Final = _counter(
    _W,
    "retries",
    "Failed attempts that are retried, by the server that failed: redis, clickhouse or kafka.",
    "store",
    "operation",
)
FENCED: Final = _counter(
    _W, "partitions_lost", "Partitions lost to another worker, noticed by a fenced write.", "topic"
)
LOST: Final = _counter(_W, "lost_records", "Records that retention deleted before they were read.", "topic")
REPLACED: Final = _counter(
    _W, "replaced_logs", "Partitions whose log was replaced: recreated or truncated.", "topic"
)
LOOKUPS: Final = _counter(_W, "lookups", "Views and event ids looked up in the raw tables.", "topic")

REQUESTS: Final = _counter(_A, "api_requests", "Requests answered.", "route", "method", "status")
REQUEST_SECONDS: Final = _histogram(
    _A, "api_request_seconds", "Time to answer a request.", "route", buckets=_QUICK
)
QUERY_SECONDS: Final = _histogram(
    _A,
    "api_query_seconds",
    "Time of one query to a store (redis or clickhouse), successful or not.",
    "store",
    buckets=_QUICK,
)
QUERY_FAILURES: Final = _counter(_A, "api_query_failures", "Queries that a store failed to answer.", "store")
CACHE: Final = _counter(
    _A,
    "api_cache",
    "Lookups in a cache (catalog, days, keys or people), by outcome: hit or miss.",
    "cache",
    "outcome",
)
STREAMS: Final = _gauge(_A, "api_live_streams", "Live streams that are open now.")
EXPORTS: Final = _counter(_A, "api_exports", "Finished exports: completed or failed.", "outcome")
EXPORT_SECONDS: Final = _histogram(
    _A,
    "api_export_seconds",
    "Time to make the file of an export.",
    buckets=(0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0),
)
REPORTS_DROPPED: Final = _counter(_A, "api_reports_dropped", "API requests whose report to Kafka failed.")

#: All of them, in the order of this file.
INSTRUMENTS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Instrument))


def counter(instrument: Instrument) -> Counter:
    """Make a counter, registered with the process's registry."""
    return Counter(instrument.name, instrument.help, instrument.labels)


def gauge(instrument: Instrument) -> Gauge:
    """Make a gauge, registered with the process's registry."""
    return Gauge(instrument.name, instrument.help, instrument.labels)


def histogram(instrument: Instrument) -> Histogram:
    """Make a histogram, registered with the process's registry."""
    return Histogram(instrument.name, instrument.help, instrument.labels, buckets=instrument.buckets)


def product_version() -> str:
    """Return the version that runs; 0.0.0 for sources that are not installed."""
    try:
        return version("videocloud-analytics")
    except PackageNotFoundError:
        return "0.0.0"


def expose_build_info() -> None:
    """Set the build info of this process; further calls do nothing."""
    if not _build_info:
        _build_info.append(gauge(BUILD))
        _build_info[0].labels(product_version(), python_version()).set(1)


_build_info: list[Gauge] = []
