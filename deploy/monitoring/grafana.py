"""Grafana dashboards as a few plain types, and the JSON that Grafana reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

PROMETHEUS: Final = {"type": "prometheus", "uid": "prometheus"}
CLICKHOUSE: Final = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
_COLUMNS: Final = 24
_HEIGHT: Final = {"stat": 4, "row": 1}
#: Version of Grafana's dashboard schema, not of this project.
_SCHEMA: Final = 41


@dataclass(frozen=True, slots=True)
class Target:
    """A query to a data source; `legend` names its series, with labels as `{{topic}}`."""

    query: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. `unit` is one of Grafana's; `kind` timeseries, stat, table or barchart; `width` of 24."""

    title: str
    targets: tuple[Target, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    about: str = ""
    source: str = "prometheus"
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels under it."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; `uid` is its permanent id, which is part of its URL."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    span: str = "now-3h"
    refresh: str = "30s"

    @property
    def panels(self) -> Sequence[Panel]:
        """Return all panels, in order."""
        return [panel for row in self.rows for panel in row.panels]

    def json(self) -> str:
        """Return the JSON that Grafana reads."""
        model = {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["videocloud"],
            "timezone": "utc",
            "editable": False,
            "graphTooltip": 1,
            "refresh": self.refresh,
            "schemaVersion": _SCHEMA,
            "time": {"from": self.span, "to": "now"},
            "links": [
                {
                    "type": "dashboards",
                    "tags": ["videocloud"],
                    "title": "VideoCloud",
                    "asDropdown": True,
                    "includeVars": False,
                    "keepTime": True,
                }
            ],
            "templating": {"list": []},
            "annotations": {"list": []},
            "panels": list(self._laid_out()),
        }
        return json.dumps(model, indent=2, ensure_ascii=False) + "\n"

    def _laid_out(self) -> Iterator[dict[str, Any]]:
        """Yield the panels with their grid positions, filled row by row from the left."""
        number, top = 0, 0
        for row in self.rows:
            number += 1
            yield {
                "id": number,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
            }
            top += 1
            left, tallest = 0, 0
            for panel in row.panels:
                if left + panel.width > _COLUMNS:
                    left, top, tallest = 0, top + tallest, 0
                number += 1
                height = _HEIGHT.get(panel.kind, 8)
                yield _panel(panel, number) | {
                    "gridPos": {"x": left, "y": top, "w": panel.width, "h": height}
                }
                left, tallest = left + panel.width, max(tallest, height)
            top += tallest


def _panel(panel: Panel, number: int) -> dict[str, Any]:
    asks_clickhouse = panel.source == "clickhouse"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": CLICKHOUSE if asks_clickhouse else PROMETHEUS,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
        "targets": [
            _sql(panel, target, chr(65 + place)) if asks_clickhouse else _promql(target, chr(65 + place))
            for place, target in enumerate(panel.targets)
        ],
    }


def _field(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "fillOpacity": 20 if panel.stacked else 5,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        }
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "timeseries":
        return {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
        }
    return {}


def _promql(target: Target, letter: str) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": PROMETHEUS,
        "expr": target.query,
        "legendFormat": target.legend or "__auto",
        "range": True,
    }


def _sql(panel: Panel, target: Target, letter: str) -> dict[str, Any]:
    # The data source's own words for what to make of the rows.
    series = panel.kind == "timeseries"
    return {
        "refId": letter,
        "datasource": CLICKHOUSE,
        "editorType": "sql",
        "queryType": "timeseries" if series else "table",
        "format": 0 if series else 1,
        "rawSql": target.query,
    }
