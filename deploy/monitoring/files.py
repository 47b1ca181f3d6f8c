"""The files that Prometheus, Alertmanager and Grafana read, by path under deploy/."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import yaml

from deploy.monitoring.alerts import INHIBITIONS, PAGE, rules
from deploy.monitoring.business import BUSINESS
from deploy.monitoring.dashboards import API, PIPELINE
from deploy.monitoring.grafana import CLICKHOUSE, PROMETHEUS

DASHBOARDS: Final = (PIPELINE, API, BUSINESS)
#: Where Grafana reads the dashboards; docker-compose.yml mounts them there.
FOLDER: Final = "/var/lib/videocloud/dashboards"
#: Where Alertmanager reads the URL of each receiver, one file each; docker-compose.yml writes them there.
ADDRESSES: Final = "/run/alerts"
_MADE: Final = "# Made by `python -m docs.generate` from deploy/monitoring/: change it there.\n"


def _yaml(content: dict[str, Any]) -> str:
    return _MADE + yaml.safe_dump(content, sort_keys=False, width=1000, allow_unicode=True)


def prometheus() -> dict[str, Any]:
    """Return prometheus.yml, which discovers all processes behind the DNS names `worker` and `api`."""

    def scrape(job: str, port: int) -> dict[str, Any]:
        return {
            "job_name": job,
            "dns_sd_configs": [{"names": [job], "type": "A", "port": port, "refresh_interval": "10s"}],
        }

    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["/etc/prometheus/alerts.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
        "scrape_configs": [scrape("worker", 9100), scrape("api", 8000)],
    }


def alertmanager() -> dict[str, Any]:
    """Return alertmanager.yml: pages and tickets have separate receivers.

    Alerts that only follow from another firing alert are inhibited.
    """

    def receiver(name: str) -> dict[str, Any]:
        return {"name": name, "webhook_configs": [{"url_file": f"{ADDRESSES}/{name}"}]}

    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "1d",
            "routes": [
                {"receiver": "page", "matchers": [f'severity="{PAGE}"'], "repeat_interval": "1h"},
            ],
        },
        "inhibit_rules": [
            {
                "source_matchers": [_any_of(inhibition.cause)],
                "target_matchers": [_any_of(inhibition.followed)],
                **({"equal": [inhibition.same]} if inhibition.same else {}),
            }
            for inhibition in INHIBITIONS
        ],
        "receivers": [receiver("page"), receiver("ticket")],
    }


def _any_of(names: tuple[str, ...]) -> str:
    return f'alertname=~"{"|".join(names)}"'


def prometheus_rule() -> dict[str, Any]:
    """Return the rules as a `PrometheusRule`, for the Prometheus operator on Kubernetes."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "videocloud"},
        "spec": rules(),
    }


def datasources() -> dict[str, Any]:
    """Return Grafana's data sources; addresses and passwords come from its environment."""
    return {
        "apiVersion": 1,
        "datasources": [
            {
                "name": "Prometheus",
                **PROMETHEUS,
                "access": "proxy",
                "url": "${PROMETHEUS_URL}",
                "isDefault": True,
                "editable": False,
                "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
            },
            {
                "name": "ClickHouse",
                **CLICKHOUSE,
                "editable": False,
                "jsonData": {
                    "host": "${CLICKHOUSE_HOST}",
                    "port": 8123,
                    "protocol": "http",
                    "username": "${CLICKHOUSE_USER}",
                    "defaultDatabase": "videocloud",
                },
                "secureJsonData": {"password": "${CLICKHOUSE_PASSWORD}"},
            },
        ],
    }


def providers() -> dict[str, Any]:
    """Return where Grafana takes its dashboards from."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "videocloud",
                "folder": "VideoCloud Analytics",
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 60,
                "options": {"path": FOLDER},
            }
        ],
    }


FILES: Final[dict[str, Callable[[], str]]] = {
    "prometheus/prometheus.yml": lambda: _yaml(prometheus()),
    "prometheus/alerts.yml": lambda: _yaml(rules()),
    "prometheus/alertmanager.yml": lambda: _yaml(alertmanager()),
    "kubernetes/components/prometheus/rules.yaml": lambda: _yaml(prometheus_rule()),
    "grafana/provisioning/datasources/videocloud.yml": lambda: _yaml(datasources()),
    "grafana/provisioning/dashboards/videocloud.yml": lambda: _yaml(providers()),
    **{
        f"grafana/dashboards/{each.uid.removeprefix('videocloud-')}.json": partial(type(each).json, each)
        for each in DASHBOARDS
    },
}
