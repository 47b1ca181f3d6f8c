"""The dashboards of the two processes: whether the pipeline is healthy, and whether the API is."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.grafana import Dashboard, Panel, Row, Target
from deploy.monitoring.promql import highest, mean, or_none, quantile, rate, selector, total
from streams.domain import instruments as of
from streams.domain.instruments import Instrument

#: Every process tells these by itself.
CPU, MEMORY, STARTED = (
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
)


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
                "Running for",
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
    "From Kafka into both stores: rates, lag, times, and what went wrong. See docs/runbook.md.",
    (
        Row(
            "Now",
            (
                Panel("Records", (Target(rate(of.RECORDS)),), "reqps", "stat", 4),
                Panel("Lag", (Target(total(selector(of.LAG_RECORDS))),), "short", "stat", 4),
                Panel("Behind", (Target(highest(selector(of.LAG_SECONDS))),), "s", "stat", 4),
                Panel("Partitions at work", (Target(total(selector(of.PARTITIONS))),), "short", "stat", 4),
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
                    "Not stored, by why",
                    (
                        Target(
                            f"{rate(of.RECORDS, 'topic', 'fate', where=_NOT_STORED)} > 0",
                            "{{topic}} {{fate}}",
                        ),
                    ),
                    "reqps",
                    about="Repeats are normal after a takeover; rejected ones are in events.deadletter.",
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
                    about="A producer gives no keys: its views and repeats may be in several partitions.",
                ),
                Panel(
                    "Lag",
                    (Target(total(selector(of.LAG_RECORDS), "topic"), "{{topic}}"),),
                    about=of.LAG_RECORDS.help,
                ),
                Panel(
                    "Behind",
                    (Target(highest(selector(of.LAG_SECONDS), "topic"), "{{topic}}"),),
                    "s",
                    about=of.LAG_SECONDS.help,
                ),
                Panel(
                    "Records of a batch",
                    _quantiles(of.BATCH_RECORDS, "topic", shares=(0.5, 0.95)),
                    about="Large batches are cheap, and a sign of load.",
                ),
            ),
        ),
        Row(
            "Stores",
            (
                Panel("Time of a batch", _quantiles(of.BATCH_SECONDS, "topic"), "s"),
                Panel("Redis: time to count", _quantiles(of.COUNT_SECONDS), "s"),
                Panel("ClickHouse: time of an insert", _quantiles(of.INSERT_SECONDS, "topic"), "s"),
                Panel("From first row to stored", _quantiles(of.ROW_WAIT_SECONDS, "topic"), "s"),
                Panel(
                    "Rows of an insert",
                    (Target(mean(of.INSERT_ROWS, "topic"), "{{topic}}"),),
                    about="Mean. Few under load: raise BLOCK_SECONDS or lower INSERTS_PER_SECOND.",
                ),
                Panel(
                    "Inserts", (Target(rate(of.INSERT_ROWS, "topic"), "{{topic}}"),), "reqps", stacked=True
                ),
                Panel("Into ClickHouse", (Target(rate(of.INSERTED_BYTES, "topic"), "{{topic}}"),), "Bps"),
                Panel(
                    "Waiting for a block",
                    (Target(total(selector(of.BUFFERED_BYTES), "topic"), "{{topic}}"),),
                    "bytes",
                ),
                Panel("Rows waiting", (Target(total(selector(of.BUFFERED_ROWS), "topic"), "{{topic}}"),)),
            ),
        ),
        Row(
            "Trouble",
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
                    "Lost to retention",
                    (Target(total(selector(of.LOST), "topic"), "{{topic}}"),),
                    about=of.LOST.help,
                ),
                Panel("Other logs", (Target(total(selector(of.REPLACED), "topic"), "{{topic}}"),)),
                Panel(
                    "Look-ups and memory",
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
    "Requests, the stores behind them, memories, streams and exports. See docs/runbook.md.",
    (
        Row(
            "Now",
            (
                Panel("Requests", (Target(rate(of.REQUESTS)),), "reqps", "stat", 6),
                Panel("Server errors", (Target(_ERRORS),), "percentunit", "stat", 6),
                Panel("p95", (Target(quantile(0.95, of.REQUEST_SECONDS)),), "s", "stat", 6),
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
                Panel("Time by route, p95", _quantiles(of.REQUEST_SECONDS, "route", shares=(0.95,)), "s"),
            ),
        ),
        Row(
            "Stores",
            (
                Panel("Time of a question", _quantiles(of.QUERY_SECONDS, "store", shares=(0.5, 0.95)), "s"),
                Panel("Questions", (Target(rate(of.QUERY_SECONDS, "store"), "{{store}}"),), "reqps"),
                Panel("Not answered", (Target(rate(of.QUERY_FAILURES, "store"), "{{store}}"),), "reqps"),
            ),
        ),
        Row(
            "Besides",
            (
                Panel(
                    "Found in memory",
                    (
                        Target(
                            f"{rate(of.CACHE, 'cache', where=_HIT)} / {rate(of.CACHE, 'cache')}",
                            "{{cache}}",
                        ),
                    ),
                    "percentunit",
                ),
                Panel(
                    "Exports that ended",
                    (Target(total(f"increase({selector(of.EXPORTS)}[1h])", "outcome"), "{{outcome}}"),),
                ),
                Panel("Time of an export", _quantiles(of.EXPORT_SECONDS, shares=(0.5, 0.95)), "s"),
                Panel("Requests not reported", (Target(rate(of.REPORTS_DROPPED)),), "reqps"),
            ),
        ),
        _process("api"),
    ),
)
