"""docs/monitoring.md: every metric, dashboard and alert, from the registry and deploy/monitoring/."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.files import DASHBOARDS
from streams.domain.instruments import INSTRUMENTS, Instrument, Process

_INTRODUCTION: Final = """\
<!-- Made by docs/generate.py from streams/domain/instruments.py and deploy/monitoring/: change it there. -->

# Monitoring

Each worker exposes Prometheus metrics at `/metrics` on `WORKER_METRICS_PORT`, the API at `/metrics` on its
own port. The compose profile `grafana` runs Prometheus and Grafana with everything below; elsewhere, use the
files in [`deploy/prometheus/`](../deploy/prometheus/) and [`deploy/grafana/`](../deploy/grafana/). They
expect the Prometheus jobs to be named `worker` and `api`. If several processes share one port
(`vca api --processes`), each scrape reaches only one of them: run one process per container instead.

## Who is told

The [runbook](runbook.md) says what to do when an alert fires; a rule's `runbook_url` is the path of its
chapter. Alerts of severity `critical` should page whoever is on call; `warning` can wait for the morning. A
warning that is only a consequence of a critical alert, such as lag while a store is down, is suppressed as
long as the critical alert fires. The `inhibit_rules` of `alertmanager.yml` do this; copy them if you run
your own Alertmanager.

**With compose**, the profile `grafana` runs an Alertmanager (`http://127.0.0.1:9093`). Set two addresses in
`.env` to which it posts its
[JSON](https://prometheus.io/docs/alerting/latest/configuration/#webhook_config): `ALERT_PAGE_URL` for
`critical`, and `ALERT_TICKET_URL` for `warning` (if it is empty, `ALERT_PAGE_URL` receives both). **Until
`ALERT_PAGE_URL` is set, Alertmanager shows alerts but notifies nobody**; its log says so. Email or chat need
a configuration of your own:

```sh
cp deploy/prometheus/alertmanager.yml alertmanager.local.yml     # put your receivers into it, see below
echo 'ALERTMANAGER_CONFIG=./alertmanager.local.yml' >> .env
docker compose --profile grafana up --detach
```

```yaml
receivers:
- name: page
  slack_configs: [{api_url: 'https://hooks.slack.com/services/...', channel: '#on-call', send_resolved: true}]
- name: ticket
  email_configs: [{to: team@example.com, from: alerts@example.com, smarthost: 'mail.example.com:587'}]
```

Send a test alert to verify that somebody is notified:

```sh
docker compose exec alertmanager amtool --alertmanager.url=http://127.0.0.1:9093 alert add VideoCloudTest \\
  severity=critical --annotation=summary=Test
```

**On Kubernetes**, the component `prometheus` provides the same rules as a `PrometheusRule`, and a
`PodMonitor` that sets the job names. Both require Prometheus' operator with its Alertmanager already
configured. Elsewhere, load `alerts.yml` into a Prometheus that has an Alertmanager.
"""
_LOGS: Final = """\
## Logs

Each process writes one log entry per line to standard error: JSON, or text on a terminal. `LOG_LEVEL` sets
the lowest level that is written.

| log entry of | fields in addition to `event`, `level` and `timestamp` |
|---|---|
| a worker, about a partition | `cluster`, `topic`, `partition`, `epoch` |
| a worker, about a batch or a block | also `offset_from` (first record), `offset_to` (after the last one) |
| the API, within a request | `request_id`, which the response carries as `X-Request-Id` |

With `LOG_LEVEL` set to `DEBUG`, a worker writes a line for each batch that it counted and each block that it
stored.

## Traces

Traces are off by default and then cost nothing. With the extra `otel` installed and OpenTelemetry's own
variables set, both processes send traces:

```sh
pip install '.[otel]'   # in a clone of the repository
export OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
vca worker
```

A worker creates a span for each batch, with topic, partition and offsets, and a child span for the Redis
script. The insert of a block is a span that is linked to the batches whose rows it contains. If a producer
sends a `traceparent` header (W3C Trace Context) with its records, its trace is linked to the batch that
processed them; per batch, the first 32 distinct traces are linked. API requests are FastAPI's own spans,
children of the caller's `traceparent`, with a child span for each query to a store; do not add another
FastAPI instrumentation.
"""


_BESIDES: Final = """\
In addition, `process_*` metrics report memory, CPU and start time. A worker updates the gauges of its
partitions every five seconds, and not during a rebalance: `videocloud_partitions` follows one up to five
seconds later."""


def _rows(process: Process) -> list[str]:
    def kind(instrument: Instrument) -> str:
        return instrument.kind.value

    lines = ["| metric | kind | labels | |", "|---|---|---|---|"]
    for each in INSTRUMENTS:
        if each.process is process:
            labels = ", ".join(f"`{label}`" for label in each.labels)
            lines.append(f"| `{each.name}` | {kind(each)} | {labels} | {each.help} |")
    return lines


def page() -> str:
    """Return docs/monitoring.md."""
    lines = [_INTRODUCTION, "## Metrics", ""]
    for process, title in ((Process.WORKER, "Worker"), (Process.API, "API"), (Process.BOTH, "Both")):
        lines += [f"### {title}", "", *_rows(process), ""]
    lines += [_BESIDES, "", "## Dashboards", ""]
    for dashboard in DASHBOARDS:
        titles = ", ".join(row.title.lower() for row in dashboard.rows)
        lines.append(f"- **{dashboard.title}**: {dashboard.about} Rows: {titles}.")
    lines += ["", "## Alerts", "", "| alert | for | severity | |", "|---|---|---|---|"]
    for alert in ALERTS:
        link, summary = alert.runbook.removeprefix("docs/"), alert.summary.replace("|", "\\|")
        lines.append(f"| [`{alert.name}`]({link}) | {alert.lasting} | {alert.severity} | {summary} |")
    return "\n".join([*lines, "", _LOGS])
