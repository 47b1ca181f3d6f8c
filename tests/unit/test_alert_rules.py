"""The files of Prometheus and Alertmanager, as promtool and amtool read them, where those are installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.monitoring.alerts import ALERTS, PAGE, TICKET

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = FOLDER / "alerts.yml"
PROMTOOL, AMTOOL = shutil.which("promtool"), shutil.which("amtool")
(LOST,) = (alert for alert in ALERTS if alert.name == "VideoCloudRecordsLost")
FIRES = {
    "exp_labels": {"severity": LOST.severity, "topic": "t"},
    "exp_annotations": {
        "summary": "Kafka deleted 7 records of t before they were read.",
        "runbook_url": LOST.runbook,
    },
}


def case(name: str, started: str, lost: str, minutes: dict[int, bool]) -> dict[str, Any]:
    """Return a test of promtool: samples of a worker every 15 s, and whether the alert fires at minutes."""
    worker = 'job="worker",instance="w1"'
    return {
        "name": name,
        "interval": "15s",
        "input_series": [
            {"series": f"process_start_time_seconds{{{worker}}}", "values": started},
            {"series": f'videocloud_lost_records_total{{{worker},topic="t"}}', "values": lost},
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{60 * minute + 15}s",
                "alertname": LOST.name,
                "exp_alerts": [FIRES] if fires else [],
            }
            for minute, fires in minutes.items()
        ],
    }


CASES = (
    case("one scrape failed", "0x200 stale 0x200", "7x200 stale 7x200", {51: False, 65: False}),
    case("Prometheus was away", "0x200 _x80 0x200", "7x200 _x80 7x200", {71: False, 80: False, 90: False}),
    case("before the first scrape of a process", "_x40 590x200", "_x40 7x200", {12: True, 40: False}),
    case("in a series that begins", "0x400", "_x40 7x360", {12: True, 40: False}),
    case("in a series that rises", "0x400", "1x40 8x360", {12: True, 40: False}),
)


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool")
def test_records_lost_now_fire_the_alert_and_those_of_long_ago_never_do(tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "15s", "tests": CASES})
    )
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool")
def test_prometheus_takes_its_files(tmp_path: Path) -> None:
    text = (FOLDER / "prometheus.yml").read_text()
    copy = tmp_path / "prometheus.yml"
    copy.write_text(text.replace("/etc/prometheus/alerts.yml", str(RULES)))
    done = subprocess.run(
        [str(PROMTOOL), "check", "config", "--lint=all", "--lint-fatal", str(copy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and f"{len(ALERTS)} rules found" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(AMTOOL is None, reason="there is no amtool")
def test_alertmanager_sends_each_severity_to_whom_it_is_for() -> None:
    file = f"--config.file={FOLDER / 'alertmanager.yml'}"
    for severity, receiver in ((PAGE, "page"), (TICKET, "ticket")):
        command = [str(AMTOOL), "config", "routes", "test", file, f"severity={severity}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.stdout.split() == [receiver], done.stdout + done.stderr
