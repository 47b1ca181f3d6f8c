"""Dashboards are what Grafana's own models have: read into them and written again, nothing is lost.

Panels of each type have a model of their own, Prometheus' queries too; what ClickHouse's plugin is asked is
its own affair and passes as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as models

from deploy.monitoring.files import DASHBOARDS
from deploy.monitoring.grafana import Dashboard

register_default_plugins()


def lost(told: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Yield where something of what was told was not kept."""
    if isinstance(told, dict) and isinstance(kept, dict):
        for name, value in told.items():
            if name in kept:
                yield from lost(value, kept[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}"
    elif isinstance(told, list) and isinstance(kept, list) and len(told) == len(kept):
        for number, (one, other) in enumerate(zip(told, kept, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif told != kept:
        yield path


def misread(told: dict[str, Any]) -> list[str]:
    """Return what Grafana's models do not take of a dashboard."""
    return list(lost(told, json.loads(JSONEncoder().encode(models.Dashboard.from_json(told)))))


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_a_dashboard_is_one_of_grafanas(dashboard: Dashboard) -> None:
    assert misread(json.loads(dashboard.json())) == []


def test_a_name_that_grafana_does_not_know_is_found_at_every_depth() -> None:
    told = json.loads(DASHBOARDS[0].json())
    panels = told["panels"]
    at, panel = next((n, each) for n, each in enumerate(panels) if each["type"] == "timeseries")
    told["refesh"] = "10s"
    panel["titel"] = "a title"
    panel["options"]["legend"]["show"] = True
    panel["fieldConfig"]["defaults"]["custom"]["linewidth"] = 2
    panel["targets"][0]["legend"] = "a legend"
    assert sorted(misread(told)) == sorted(
        [
            ".refesh",
            f".panels[{at}].titel",
            f".panels[{at}].options.legend.show",
            f".panels[{at}].fieldConfig.defaults.custom.linewidth",
            f".panels[{at}].targets[0].legend",
        ]
    )
