"""The alert rules. Each has a chapter in docs/runbook.md, which a test verifies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from deploy.monitoring.dashboards import FAULTS
from deploy.monitoring.promql import STARTED, happened, highest, quantile, rate, selector, total
from streams.domain import instruments as of
from streams.settings import Settings

_FAILED: Final = selector(of.EXPORTS, 'outcome="failed"')
PAGE, TICKET = "critical", "warning"
#: 80 % of the default BUFFER_BYTES; a worker that holds BUFFER_BYTES stops reading.
_FULL: Final = round(0.8 * Settings.model_fields["buffer_bytes"].default)


@dataclass(frozen=True, slots=True)
class Alert:
    """A rule. `lasting` is how long its query must hold, `chapter` the heading in docs/runbook.md."""

    name: str
    query: str
    lasting: str
    severity: str
    chapter: str
    summary: str

    @property
    def runbook(self) -> str:
        """Return the link to the runbook's chapter."""
        return f"docs/runbook.md#{self.chapter.lower().replace(',', '').replace(' ', '-')}"


ALERTS: Final = (
    Alert(
        "VideoCloudNoWorker",
        'absent(up{job="worker"} == 1)',
        "2m",
        PAGE,
        "Worker down",
        "No worker is running: records accumulate in Kafka and nothing is counted.",
    ),
    Alert(
        "VideoCloudWorkerDown",
        'up{job="worker"} == 0',
        "5m",
        TICKET,
        "Worker down",
        "Worker {{ $labels.instance }} does not answer.",
    ),
    Alert(
        "VideoCloudWorkerRestarts",
        f'changes({STARTED}{{job="worker"}}[30m]) > 3',
        "0m",
        TICKET,
        "Worker restarts",
        "Worker {{ $labels.instance }} was started {{ $value }} times in half an hour.",
    ),
    Alert(
        "VideoCloudLagGrows",
        f"{highest(selector(of.LAG_SECONDS), 'topic')} > 300",
        "10m",
        TICKET,
        "Lag grows",
        "The lag of {{ $labels.topic }} is {{ $value | humanizeDuration }}.",
    ),
    Alert(
        "VideoCloudLagNearsRetention",
        f"{highest(selector(of.LAG_SECONDS), 'topic')} > 6 * 3600",
        "10m",
        PAGE,
        "Lag grows",
        "{{ $labels.topic }} is {{ $value | humanizeDuration }} behind: Kafka may delete records unread.",
    ),
    # Not the maximum of the day: during a rebalance, two workers may report a partition in the same scrape.
    Alert(
        "VideoCloudPartitionsIdle",
        f"{total(selector(of.PARTITIONS), 'topic')} <"
        f" quantile_over_time(0.9, {total(selector(of.PARTITIONS), 'topic')}[1d:1m])",
        "10m",
        PAGE,
        "Partitions without a worker",
        "Only {{ $value }} partitions of {{ $labels.topic }} are processed, fewer than within the last day.",
    ),
    # Also of a partition whose workers change all the time: each of them goes on from the same position.
    Alert(
        "VideoCloudPartitionStandsStill",
        f"changes(({highest(selector(of.POSITION), 'topic', 'partition')})[5m:30s]) == 0"
        f" and {highest(selector(of.LAG_RECORDS), 'topic', 'partition')} > 0",
        "2m",
        TICKET,
        "A partition stands still",
        "{{ $labels.topic }}/{{ $labels.partition }} has not moved for five minutes, and records wait.",
    ),
    Alert(
        "VideoCloudRecordsLost",
        happened(of.LOST, 15, "topic"),
        "0m",
        PAGE,
        "Records lost to retention",
        'Kafka deleted {{ $value | printf "%.0f" }} records of {{ $labels.topic }} before they were read.',
    ),
    Alert(
        "VideoCloudAnotherLog",
        happened(of.REPLACED, 15, "topic"),
        "0m",
        TICKET,
        "Another log",
        "Partitions of {{ $labels.topic }} have a different log than before: recreated or truncated.",
    ),
    Alert(
        "VideoCloudRedisLostData",
        happened(of.RECOVERIES, 15, "topic", where='why="redis-behind"'),
        "0m",
        PAGE,
        "Redis lost data",
        "Redis was behind ClickHouse for {{ $labels.topic }}: the live window was rebuilt.",
    ),
    Alert(
        "VideoCloudClickHouseLostData",
        happened(of.RECOVERIES, 15, "topic", where='why="clickhouse-behind"'),
        "0m",
        PAGE,
        "ClickHouse lost data",
        "ClickHouse has fewer rows of {{ $labels.topic }} than it acknowledged: replaying from Kafka.",
    ),
    Alert(
        "VideoCloudStoreAway",
        f"{rate(of.RETRIES, 'store', window='5m')} > 0.1",
        "5m",
        PAGE,
        "A store does not answer",
        "Workers wait for {{ $labels.store }}, which does not answer.",
    ),
    # A server that accepts connections but does not answer is waited for by the minute
    # (sinks.clickhouse.client): there are too few retries for the alert above.
    Alert(
        "VideoCloudNothingStored",
        f"count by (topic) ({selector(of.BUFFERED_BYTES)} > 0"
        f" and changes({selector(of.POSITION)}[10m]) == 0)",
        "5m",
        PAGE,
        "A store does not answer",
        "ClickHouse stores no rows of {{ $value }} partitions of {{ $labels.topic }}, although rows wait.",
    ),
    Alert(
        "VideoCloudSlowInserts",
        f"{quantile(0.95, of.INSERT_SECONDS, window='10m')} > 5",
        "15m",
        TICKET,
        "Slow inserts",
        "An insert into ClickHouse takes {{ $value | humanizeDuration }} (p95).",
    ),
    Alert(
        "VideoCloudBuffersFill",
        f"{total(selector(of.BUFFERED_BYTES), 'instance')} > {_FULL}",
        "5m",
        TICKET,
        "Slow inserts",
        "Worker {{ $labels.instance }} holds {{ $value | humanize1024 }}B of rows that wait for ClickHouse.",
    ),
    Alert(
        "VideoCloudDeadLetters",
        f"{rate(of.DEAD_LETTERS, 'topic', window='15m')} / {rate(of.RECORDS, 'topic', window='15m')} > 0.01",
        "15m",
        TICKET,
        "Dead letters",
        "{{ $value | humanizePercentage }} of the records of {{ $labels.topic }} become dead letters.",
    ),
    Alert(
        "VideoCloudRecordsWithoutKey",
        happened(of.UNKEYED, 15, "topic"),
        "0m",
        TICKET,
        "Records without a key",
        "Records of {{ $labels.topic }} have no key, or their eventId: views and duplicates may count twice.",
    ),
    Alert(
        "VideoCloudApiDown",
        'absent(up{job="api"} == 1)',
        "2m",
        PAGE,
        "API down",
        "No API process answers.",
    ),
    Alert(
        "VideoCloudApiErrors",
        f"{rate(of.REQUESTS, where=FAULTS, window='5m')} / {rate(of.REQUESTS, window='5m')} > 0.02",
        "10m",
        PAGE,
        "API errors",
        "{{ $value | humanizePercentage }} of the API's responses are server errors.",
    ),
    Alert(
        "VideoCloudApiSlow",
        f"{quantile(0.95, of.REQUEST_SECONDS, window='10m')} > 2",
        "15m",
        TICKET,
        "API slow",
        "The API takes {{ $value | humanizeDuration }} to answer (p95).",
    ),
    Alert(
        "VideoCloudApiStoreAway",
        f"{rate(of.QUERY_FAILURES, 'store', window='5m')} > 0.1",
        "5m",
        TICKET,
        "A store does not answer",
        "The API cannot read {{ $labels.store }}; it answers from the other store where possible.",
    ),
    Alert(
        "VideoCloudExportsFail",
        f"{total(f'increase({_FAILED}[1h])')} > 2",
        "0m",
        TICKET,
        "Exports fail",
        '{{ $value | printf "%.0f" }} exports failed within an hour.',
    ),
)


@dataclass(frozen=True, slots=True)
class Inhibition:
    """Alerts `followed` notify nobody while one of `cause` fires; the values of label `same` must match."""

    cause: tuple[str, ...]
    followed: tuple[str, ...]
    same: str = ""


#: One problem notifies once: alerts that only follow from it add nothing for the person on call.
INHIBITIONS: Final = (
    Inhibition(("VideoCloudNoWorker",), ("VideoCloudWorkerDown",)),
    Inhibition(("VideoCloudLagNearsRetention",), ("VideoCloudLagGrows",), "topic"),
    # Also if Redis is unavailable: no block is finished without its ledger.
    Inhibition(("VideoCloudStoreAway",), ("VideoCloudNothingStored",)),
    Inhibition(
        ("VideoCloudStoreAway", "VideoCloudNothingStored"),
        (
            "VideoCloudApiStoreAway",
            "VideoCloudApiSlow",
            "VideoCloudBuffersFill",
            "VideoCloudLagGrows",
            "VideoCloudPartitionStandsStill",
            "VideoCloudSlowInserts",
        ),
    ),
)


def rules() -> dict[str, Any]:
    """Return Prometheus' rule file."""
    return {
        "groups": [
            {
                "name": "videocloud",
                "interval": "30s",
                "rules": [
                    {
                        "alert": alert.name,
                        "expr": alert.query,
                        "for": alert.lasting,
                        "labels": {"severity": alert.severity},
                        "annotations": {"summary": alert.summary, "runbook_url": alert.runbook},
                    }
                    for alert in ALERTS
                ],
            }
        ]
    }
