"""Makes docs/monitoring.md: every metric, dashboard and alert, from the registry and deploy/monitoring/."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.files import DASHBOARDS
from streams.domain.instruments import INSTRUMENTS, Instrument, Process

_INTRODUCTION: Final = """\
<!-- Made by docs/generate.py from streams/domain/instruments.py and deploy/monitoring/: change it there. -->

# Monitoring

A worker tells Prometheus of itself at `/metrics` of `WORKER_METRICS_PORT`, the API at `/metrics`. The
compose profile `grafana` runs Prometheus and Grafana with everything below; elsewhere take the files:
[`deploy/prometheus/`](../deploy/prometheus/) and [`deploy/grafana/`](../deploy/grafana/). They expect the
jobs to be called `worker` and `api`. Several processes behind one port (`vca api --processes`) answer a
scrape each for itself: run one process in each container instead.

## Who is told

What to do when an alert fires is in the [runbook](runbook.md); `runbook_url` of a rule is its path there.
Alerts of severity `critical` should wake whoever is on call, `warning` can wait for the morning. A
warning that only follows from a critical one, as a lag from a store that is away, is told nobody as long as
that one fires: `inhibit_rules` of `alertmanager.yml`, which an Alertmanager of your own wants as well.

**With compose**, the profile `grafana` has an Alertmanager (`http://127.0.0.1:9093`), and in `.env` two
addresses to which it posts its
[JSON](https://prometheus.io/docs/alerting/latest/configuration/#webhook_config): `ALERT_PAGE_URL` for
`critical`, `ALERT_TICKET_URL` for `warning` (as the first, when it is empty). **Until `ALERT_PAGE_URL` is
set, alerts are shown there and told nobody**; its log says so. For mail or a chat, which want a
configuration of their own:

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

See that somebody hears of it:

```sh
docker compose exec alertmanager amtool --alertmanager.url=http://127.0.0.1:9093 alert add VideoCloudTest \\
  severity=critical --annotation=summary=Test
```

**On Kubernetes**, the component `prometheus` has the same rules as a `PrometheusRule`, and a `PodMonitor`
that gives the jobs their names; both are for Prometheus' operator, whose Alertmanager you have set up
already. Elsewhere, give `alerts.yml` to a Prometheus that has an Alertmanager.
"""
_LOGS: Final = """\
## Logs

One line an event on standard error: JSON, or text on a terminal. `LOG_LEVEL` says from which level on.

| line of | has besides `event`, `level` and `timestamp` |
|---|---|
| a worker, about a partition | `cluster`, `topic`, `partition`, `epoch` |
| the same, about a batch or a block | `offset_from` and `offset_to`, of its first record and after its last |
| the API, within a request | `request_id`, which the answer carries as `X-Request-Id` |

With `LOG_LEVEL` at `DEBUG` a worker writes a line for each batch that was counted and each block that was
stored.

## Traces

Off by default, and free then. With the extra `otel` installed and an address to send them to, both processes
send traces with OpenTelemetry's own variables:

```sh
pip install '.[otel]'   # in a clone of the repository
export OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318
vca worker
```

A worker makes a span of each batch, with its coordinates, and below it one of the step in Redis; the insert
of a block is a span that is linked to the batches whose rows it holds. A producer that sends a `traceparent`
header (W3C Trace Context) with its records finds its trace linked to the batch that took them; of a batch,
the first 32 distinct ones are. The API's requests are FastAPI's own spans, under the caller's `traceparent`,
and below them one for each question to a store; put no other instrumentation of FastAPI beside it.
"""


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
    lines += ["Beside these there are `process_*` of memory, CPU and start.", "", "## Dashboards", ""]
    for dashboard in DASHBOARDS:
        titles = ", ".join(row.title.lower() for row in dashboard.rows)
        lines.append(f"- **{dashboard.title}**: {dashboard.about} Rows: {titles}.")
    lines += ["", "## Alerts", "", "| alert | for | severity | |", "|---|---|---|---|"]
    for alert in ALERTS:
        link = alert.runbook.removeprefix("docs/")
        lines.append(f"| [`{alert.name}`]({link}) | {alert.lasting} | {alert.severity} | {alert.summary} |")
    return "\n".join([*lines, "", _LOGS])
