"""Dashboards, alert rules and the registry of metrics hold each other to what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from prometheus_client import REGISTRY

import api.metrics  # noqa: F401  (registers the API's)
import streams.metrics  # noqa: F401  (registers the worker's)
from deploy.monitoring.alerts import ALERTS, Alert
from deploy.monitoring.files import DASHBOARDS, FOLDER, prometheus
from deploy.monitoring.grafana import Dashboard, Panel
from deploy.monitoring.promql import rate
from streams.domain.instruments import (
    EXPORTS,
    INSTRUMENTS,
    QUERY_FAILURES,
    REQUESTS,
    RETRIES,
    Instrument,
    Kind,
    expose_build_info,
)
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
CHAPTERS = re.findall(r"^#+ (.+)$", RUNBOOK, re.MULTILINE)
SERIES = {series: instrument for instrument in INSTRUMENTS for series in instrument.series}
#: What Prometheus and every Python process tell by themselves, with these labels.
COMMON = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"}
SCRAPED = {"job", "instance"}

ASKED = [
    pytest.param(target.query, id=f"{dashboard.title}: {panel.title}")
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    if panel.source == "prometheus"
    for target in panel.targets
] + [pytest.param(alert.query, id=alert.name) for alert in ALERTS]


def parts(expression: Any) -> Iterator[Any]:
    """Yield an expression and everything below it."""
    if expression is None:
        return
    yield expression
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if not isinstance(expression, promql.VectorSelector):
            yield from parts(getattr(expression, name, None))
    for argument in getattr(expression, "args", ()) or ():
        yield from parts(argument)


def parsed(query: str) -> Any:
    return promql.parse(query.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize("query", ASKED)
def test_a_query_parses_and_asks_for_metrics_and_labels_that_there_are(query: str) -> None:
    selectors = [part for part in parts(parsed(query)) if isinstance(part, promql.VectorSelector)]
    assert {selector.name for selector in selectors} == set(
        re.findall(r"\b(?:videocloud|process)_\w+|\bup\b", query)
    )
    labels: set[str] = set(SCRAPED)
    for selector in selectors:
        assert selector.name in SERIES or selector.name in COMMON, selector.name
        own = SERIES[selector.name].labels if selector.name in SERIES else ()
        matched = {matcher.name for matcher in selector.matchers.matchers}
        assert matched <= {*own, *SCRAPED}, selector.name
        labels |= {*own, "le"}
    for grouped in re.findall(r"by \(([\w, ]+)\)", query):
        assert set(grouped.split(", ")) <= labels


@pytest.mark.parametrize("query", ASKED)
def test_only_what_rises_is_asked_for_its_rate(query: str) -> None:
    for part in parts(parsed(query)):
        if isinstance(part, promql.Call) and part.func.name in ("rate", "increase"):
            (window,) = part.args
            name = window.vector_selector.name
            assert name in COMMON or SERIES[name].kind in (Kind.COUNTER, Kind.HISTOGRAM), query


def test_the_processes_have_the_instruments_of_the_registry_and_no_others() -> None:
    expose_build_info()
    made = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation
        for family in REGISTRY.collect()
        if family.name.startswith("videocloud_")
    }
    registry = {instrument.name: instrument.help for instrument in INSTRUMENTS}
    assert registry.keys() - made.keys() == set(), "create them in streams/metrics.py or api/metrics.py"
    assert made == registry
    samples = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert not [name for name in samples if name.endswith("_created")]
    assert len({instrument.name for instrument in INSTRUMENTS}) == len(INSTRUMENTS)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_a_chapter_of_the_runbook_and_says_what_it_knows(alert: Alert) -> None:
    assert alert.chapter in CHAPTERS, "write the chapter in docs/runbook.md: what it means, and what to do"
    path, _, anchor = alert.runbook.partition("#")
    assert (ROOT / path).exists()
    assert anchor == re.sub(r"[^\w\- ]", "", alert.chapter.lower()).replace(" ", "-")
    told = set(re.findall(r"\$labels\.(\w+)", alert.summary))
    kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([\w, ]+)\)", alert.query))))
    assert told <= (kept if "by (" in alert.query else SCRAPED)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_tells_no_fractions_of_what_is_counted_whole(alert: Alert) -> None:
    # Prometheus draws a rise out to the ends of its window: three exports become 3.05.
    if "increase(" in alert.query:
        assert "$value }}" not in alert.summary


def test_a_series_that_begins_is_new_only_if_its_process_was_scraped_before_or_is_young() -> None:
    """Otherwise a scrape that failed makes each count of the past one of now (`test_alert_rules`)."""
    begins = [alert for alert in ALERTS if " offset " in alert.query]
    assert len(begins) == 5
    for alert in begins:
        fresh = alert.query.partition(" or ")[2]
        told = [part for part in parts(parsed(fresh)) if isinstance(part, promql.VectorSelector)]
        assert [each.name for each in told if each.offset].count("process_start_time_seconds") == 1
        assert "< time() - 900" in fresh


def test_partitions_that_two_workers_had_for_a_moment_wake_nobody_for_a_day() -> None:
    (query,) = (alert.query for alert in ALERTS if alert.name == "VideoCloudPartitionsIdle")
    asked = parsed(query)
    assert (asked.rhs.func.name, asked.rhs.args[0].val) == ("quantile_over_time", 0.9)


def test_a_number_of_now_is_0_while_what_it_counts_has_never_happened() -> None:
    by_chance = {RETRIES, *(each for each in INSTRUMENTS if "status" in each.labels)}
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for target in panel.targets if panel.kind == "stat" else ():
                first = target.query.partition("/")[0]
                if any(each.name in first for each in by_chance) and first != rate(REQUESTS):
                    assert "or vector(0)" in first, panel.title


@pytest.mark.parametrize(
    ("instrument", "label"), [(EXPORTS, "outcome"), (QUERY_FAILURES, "store")], ids=lambda each: str(each)
)
def test_the_first_failures_are_a_rise(instrument: Instrument, label: str) -> None:
    told = {
        sample.labels[label]
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == instrument.name
    }
    assert told == {"outcome": {"completed", "failed"}, "store": {"redis", "clickhouse"}}[label]


def test_the_alert_of_full_buffers_fires_before_a_worker_stops_reading() -> None:
    (query,) = (alert.query for alert in ALERTS if alert.name == "VideoCloudBuffersFill")
    threshold = float(query.rpartition(" > ")[2])
    assert 0.5 * Settings().buffer_bytes < threshold < Settings().buffer_bytes


def test_the_alerts_of_one_name_are_one() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)


def test_prometheus_takes_the_rules_and_scrapes_the_jobs_that_are_asked_for() -> None:
    jobs = {scrape["job_name"] for scrape in prometheus()["scrape_configs"]}
    asked = {job for query in ASKED for job in re.findall(r'job="(\w+)"', str(query.values[0]))}
    assert asked == jobs
    (group,) = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    assert [rule["alert"] for rule in group["rules"]] == [alert.name for alert in ALERTS]
    for rule in group["rules"]:
        assert promql.parse(rule["expr"])
        assert re.fullmatch(r"\d+[smh]", rule["for"])


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda dashboard: dashboard.title)
def test_panels_lie_side_by_side(dashboard: Dashboard) -> None:
    import json

    places = [panel["gridPos"] for panel in json.loads(dashboard.json())["panels"]]
    cells = [
        (place["x"] + column, place["y"] + line)
        for place in places
        for column in range(place["w"])
        for line in range(place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
    assert all(first["y"] <= second["y"] for first, second in pairwise(places))


def test_every_metric_is_on_a_dashboard() -> None:
    drawn = " ".join(target.query for each in DASHBOARDS for panel in each.panels for target in panel.targets)
    unseen = [each.name for each in INSTRUMENTS if not re.search(rf"\b{each.name}(_\w+)?\b", drawn)]
    assert unseen == ["videocloud_position"], "draw them in deploy/monitoring/dashboards.py"


def test_grafana_finds_its_dashboards_where_compose_puts_them() -> None:
    told = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/videocloud.yml").read_text())
    assert told["providers"][0]["options"]["path"] == FOLDER
    panels: list[Panel] = [panel for dashboard in DASHBOARDS for panel in dashboard.panels]
    assert {panel.source for panel in panels} == {"prometheus", "clickhouse"}
