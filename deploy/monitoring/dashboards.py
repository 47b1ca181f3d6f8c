"""The dashboards of the two processes, worker and API."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana import Dashboard, Panel, Row, Target
from deploy.monitoring.promql import STARTED, highest, mean, or_none, quantile, rate, selector, total
from streams.domain import instruments as of
from streams.domain.instruments import Instrument

#: Metrics that the Prometheus client exposes for every process.
CPU, MEMORY = "process_cpu_seconds_total", "process_resident_memory_bytes"


def _quantiles(
    instrument: Instrument, *by: str, shares: tuple[float, ...] = (0.5, 0.99)
) -> tuple[Target, ...]:
    names = " ".join(f"{{{{{label}}}}}" for label in by)
    return tuple(
        Target(quantile(share, instrument, *by), f"p{share * 100:g} {names}".strip()) for share in shares
    )


def _process(job: str) -> Row:
    return Row(
        "Processes",
        (
            Panel(
                "CPU",
                (Target(f'rate({CPU}{{job="{job}"}}[$__rate_interval])', "{{instance}}"),),
                "percentunit",
            ),
            Panel("Memory", (Target(f'{MEMORY}{{job="{job}"}}', "{{instance}}"),), "bytes"),
            Panel(
                "Uptime",
                (Target(f'time() - {STARTED}{{job="{job}"}}', "{{instance}}"),),
                "s",
                about="A drop is a restart.",
            ),
            Panel(
                "Version",
                (Target(f"count by (version) ({selector(of.BUILD)})", "{{version}}"),),
                kind="stat",
                width=24,
            ),
        ),
    )


_NOT_STORED: Final = 'fate!="stored"'

PIPELINE: Final = Dashboard(
    "videocloud-pipeline",
    "Pipeline health",
    "From Kafka into both stores: rates, lag, durations, problems. See docs/runbook.md.",
    (
        Row(
            "Now",
            (
                Panel("Records", (Target(rate(of.RECORDS)),), "reqps", "stat", 4),
                Panel("Lag in records", (Target(total(selector(of.LAG_RECORDS))),), "short", "stat", 4),
                Panel("Lag in time", (Target(highest(selector(of.LAG_SECONDS))),), "s", "stat", 4),
                Panel("Partitions processed", (Target(total(selector(of.PARTITIONS))),), "short", "stat", 4),
                Panel("Workers", (Target('sum(up{job="worker"})'),), "short", "stat", 4),
                Panel("Retries", (Target(or_none(rate(of.RETRIES))),), "reqps", "stat", 4),
            ),
        ),
        Row(
            "Records",
            (
                Panel(
                    "Records by topic",
                    (Target(rate(of.RECORDS, "topic"), "{{topic}}"),),
                    "reqps",
                    stacked=True,
                ),
                Panel(
                    "Records not stored, by reason",
                    (
                        Target(
                            f"{rate(of.RECORDS, 'topic', 'fate', where=_NOT_STORED)} > 0",
                            "{{topic}} {{fate}}",
                        ),
                    ),
                    "reqps",
                    about="Repeats are normal after a takeover; rejected records are in events.deadletter.",
                ),
                Panel(
                    "Dead letters by fault",
                    (Target(f"{rate(of.DEAD_LETTERS, 'topic', 'error')} > 0", "{{topic}} {{error}}"),),
                    "reqps",
                ),
                Panel(
                    "Batches without keys",
                    (Target(f"{rate(of.UNKEYED, 'topic')} > 0", "{{topic}}"),),
                    "reqps",
                    about="A producer sets no keys: a view's events may reach several partitions.",
                ),
                Panel(
                    "Lag in records, by topic",
                    (Target(total(selector(of.LAG_RECORDS), "topic"), "{{topic}}"),),
                    about=of.LAG_RECORDS.help,
                ),
                Panel(
                    "Lag in time, by topic",
                    (Target(highest(selector(of.LAG_SECONDS), "topic"), "{{topic}}"),),
                    "s",
                    about=of.LAG_SECONDS.help,
                ),
                Panel(
                    "Records per batch",
                    _quantiles(of.BATCH_RECORDS, "topic", shares=(0.5, 0.95)),
                    about="Large batches are efficient, and a sign of high load.",
                ),
            ),
        ),
        Row(
            "Stores",
            (
                Panel("Batch duration", _quantiles(of.BATCH_SECONDS, "topic"), "s"),
                Panel("Redis: time to update counters", _quantiles(of.COUNT_SECONDS), "s"),
                Panel("ClickHouse: insert duration", _quantiles(of.INSERT_SECONDS, "topic"), "s"),
                Panel("Time rows wait for their insert", _quantiles(of.ROW_WAIT_SECONDS, "topic"), "s"),
                Panel(
                    "Rows per insert",
                    (Target(mean(of.INSERT_ROWS, "topic"), "{{topic}}"),),
                    about="Mean. If it is low under load, raise BLOCK_SECONDS or lower INSERTS_PER_SECOND.",
                ),
                Panel(
                    "Inserts", (Target(rate(of.INSERT_ROWS, "topic"), "{{topic}}"),), "reqps", stacked=True
                ),
                Panel("Bytes inserted", (Target(rate(of.INSERTED_BYTES, "topic"), "{{topic}}"),), "Bps"),
                Panel(
                    "Bytes buffered",
                    (Target(total(selector(of.BUFFERED_BYTES), "topic"), "{{topic}}"),),
                    "bytes",
                ),
                Panel("Rows buffered", (Target(total(selector(of.BUFFERED_ROWS), "topic"), "{{topic}}"),)),
            ),
        ),
        Row(
            "Problems",
            (
                Panel(
                    "Retries",
                    (Target(rate(of.RETRIES, "store", "operation"), "{{store}}: {{operation}}"),),
                    "reqps",
                ),
                Panel(
                    "Partitions taken over",
                    (Target(total(f"increase({selector(of.RECOVERIES)}[5m])", "why"), "{{why}}"),),
                    about="redis-behind and clickhouse-behind mean that a store lost data.",
                ),
                Panel(
                    "Partitions lost to another worker",
                    (Target(total(f"increase({selector(of.FENCED)}[5m])", "topic"), "{{topic}}"),),
                ),
                Panel(
                    "Records lost to retention",
                    (Target(total(selector(of.LOST), "topic"), "{{topic}}"),),
                    about=of.LOST.help,
                ),
                Panel("Replaced logs", (Target(total(selector(of.REPLACED), "topic"), "{{topic}}"),)),
                Panel(
                    "Look-ups and keys in memory",
                    (
                        Target(rate(of.LOOKUPS, "topic"), "looked up {{topic}}"),
                        Target(total(selector(of.MEMORY_KEYS), "topic"), "in memory {{topic}}"),
                    ),
                ),
            ),
        ),
        _process("worker"),
    ),
)

_HIT: Final = 'outcome="hit"'
FAULTS: Final = 'status=~"5.."'
_ERRORS: Final = f"{or_none(rate(of.REQUESTS, where=FAULTS))} / {rate(of.REQUESTS)}"

API: Final = Dashboard(
    "videocloud-api",
    "API",
    "Requests, queries to the stores, caches, streams and exports. See docs/runbook.md.",
    (
        Row(
            "Now",
            (
                Panel("Requests", (Target(rate(of.REQUESTS)),), "reqps", "stat", 6),
                Panel("Server errors", (Target(_ERRORS),), "percentunit", "stat", 6),
                Panel("Response time, p95", (Target(quantile(0.95, of.REQUEST_SECONDS)),), "s", "stat", 6),
                Panel("Live streams", (Target(total(selector(of.STREAMS))),), "short", "stat", 6),
            ),
        ),
        Row(
            "Requests",
            (
                Panel("By route", (Target(rate(of.REQUESTS, "route"), "{{route}}"),), "reqps", stacked=True),
                Panel(
                    "By status", (Target(rate(of.REQUESTS, "status"), "{{status}}"),), "reqps", stacked=True
                ),
                Panel(
                    "Response time by route, p95",
                    _quantiles(of.REQUEST_SECONDS, "route", shares=(0.95,)),
                    "s",
                ),
            ),
        ),
        Row(
            "Stores",
            (
                Panel("Query duration", _quantiles(of.QUERY_SECONDS, "store", shares=(0.5, 0.95)), "s"),
                Panel("Queries", (Target(rate(of.QUERY_SECONDS, "store"), "{{store}}"),), "reqps"),
                Panel("Failed queries", (Target(rate(of.QUERY_FAILURES, "store"), "{{store}}"),), "reqps"),
            ),
        ),
        Row(
            "Caches, exports and reports",
            (
                Panel(
                    "Cache hit rate",
                    (
                        Target(
                            f"{rate(of.CACHE, 'cache', where=_HIT)} / {rate(of.CACHE, 'cache')}",
                            "{{cache}}",
                        ),
                    ),
                    "percentunit",
                ),
                Panel(
                    "Finished exports, by outcome",
                    (Target(total(f"increase({selector(of.EXPORTS)}[1h])", "outcome"), "{{outcome}}"),),
                ),
                Panel("Export duration", _quantiles(of.EXPORT_SECONDS, shares=(0.5, 0.95)), "s"),
                Panel("Requests not reported to Kafka", (Target(rate(of.REPORTS_DROPPED)),), "reqps"),
            ),
        ),
        _process("api"),
    ),
)
