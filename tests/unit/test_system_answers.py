"""Readings of the platform made into answers: sizes, shared denominators, zeros and nulls."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from api import system_answers
from streams.domain.system_readings import (
    JOB,
    REQUEST,
    STORAGE,
    HealthReading,
    HostSample,
    JobsNow,
    PerformanceReading,
    Sums,
)
from streams.domain.windows import named
from tests.unit.test_golden_reference import shape

REFERENCE = Path(__file__).parents[1] / "golden" / "users_reference"
NOW = datetime(2024, 3, 30, 14, 5, 30, tzinfo=UTC)
HOUR = named("1h", zone=ZoneInfo("UTC"), now=NOW)

HEALTH = HealthReading(
    minutes=10,
    minutes_up=9,
    kinds={REQUEST: Sums(70, 7, 3500.0), JOB: Sums(10, 2), STORAGE: Sums(20, 1)},
    p95_ms=200.0,
    p99_ms=300.0,
    hosts=[
        HostSample(0.5, (1.0, 2.0, 3.0), 3 * 10**9, 4 * 10**9, 0, 0),
        HostSample(0.75, (2.0, 2.0, 2.0), 10**9, 4 * 10**9, 1, 2),
    ],
)
PERFORMANCE = PerformanceReading(
    requests=Sums(7140, 1, 714_000.0),
    endpoints={"/users": Sums(140, 0, 1400.0), "/videos": Sums(7000, 1, 712_600.0)},
    jobs={"video": Sums(3, 1, 60_000.0), "subtitle": Sums(1, 0, 500.0)},
    jobs_now={"thumbnail": JobsNow(2, 1), "video": JobsNow(0, 0)},
    operations={"read": Sums(5, 1, 0.0, 3570 * 10**6), "write": Sums(2, 1, 0.0, 3570)},
)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (999.94, "999.9B"),
        (999.96, "1KB"),
        (1500, "1.5KB"),
        (4e9, "4GB"),
        (100e9, "100GB"),
        (3.749e9, "3.7GB"),
        (2.5e21, "2500EB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert system_answers.size(count) == text


def test_the_types_of_errors_add_up_to_the_rate() -> None:
    errors = system_answers.health(HEALTH)["errors"]
    assert errors == {"rate": 0.1, "byType": {"api": 0.07, "processing": 0.02, "storage": 0.01}}


def test_health() -> None:
    data = system_answers.health(HEALTH)
    assert data["uptime"] == 0.9
    assert data["responseTime"] == {"average": 50.0, "p95": 200.0, "p99": 300.0}
    assert data["resources"]["cpu"] == {"usage": 0.625, "load": [1.5, 2.0, 2.5]}
    assert data["resources"]["memory"] == {"usage": 0.5, "available": "2GB"}


def test_a_host_that_does_not_tell_its_size_is_left_out_of_the_share() -> None:
    assert system_answers.health(HEALTH)["resources"]["storage"] == {"usage": 0.5, "available": "1B"}


def test_nothing_known_is_null_and_not_zero() -> None:
    data = system_answers.health(HealthReading(0, 0, {}, None, None, []))
    assert data["uptime"] is None
    assert data["responseTime"] == {"average": None, "p95": None, "p99": None}
    assert data["errors"]["rate"] is None
    assert data["resources"]["cpu"] == {"usage": None, "load": None}
    assert data["resources"]["memory"] == {"usage": None, "available": None}


def test_performance_is_per_second_of_the_time_that_has_passed() -> None:
    data = system_answers.performance(PERFORMANCE, HOUR)
    # The window ends at the next full minute: 59.5 minutes of it are over.
    assert (NOW - HOUR.start).total_seconds() == 3570
    assert data["api"]["requests"]["perSecond"] == 2
    assert data["storage"]["bandwidth"] == {"in": "1B/s", "out": "1MB/s"}
    assert data["storage"]["operations"] == {"reads": 5, "writes": 2, "errors": 2}


def test_endpoints_come_most_requested_first() -> None:
    api = system_answers.performance(PERFORMANCE, HOUR)["api"]
    assert list(api["requests"]["byEndpoint"].items()) == [("/videos", 7000), ("/users", 140)]
    assert api["responseTime"]["byEndpoint"] == {"/videos": 101.8, "/users": 10.0}
    assert api["responseTime"]["average"] == 100


def test_videos_and_thumbnails_are_always_there_and_others_by_their_own_name() -> None:
    processing = system_answers.performance(PERFORMANCE, HOUR)["processing"]
    assert processing == {
        "videos": {"queued": 0, "processing": 0, "averageTime": 30.0},
        "thumbnails": {"queued": 2, "processing": 1, "averageTime": None},
        "subtitle": {"queued": 0, "processing": 0, "averageTime": 0.5},
    }


def test_a_job_that_does_not_tell_its_duration_does_not_lower_the_mean() -> None:
    jobs = {"video": Sums(4, 1, 60_000.0, untimed=1), "subtitle": Sums(2, 0, 0.0, untimed=2)}
    processing = system_answers.performance(replace(PERFORMANCE, jobs=jobs), HOUR)["processing"]
    assert processing["videos"]["averageTime"] == 30.0
    assert processing["subtitle"]["averageTime"] is None


def test_of_too_many_types_of_jobs_the_busiest_are_told_and_always_the_references() -> None:
    jobs = {f"id-{number:04}": Sums(1) for number in range(1500)} | {"busy": Sums(9), "thumbnail": Sums(1)}
    now = {"waits": JobsNow(2, 1), "idle": JobsNow(0, 0)}
    processing = system_answers.performance(replace(PERFORMANCE, jobs=jobs, jobs_now=now), HOUR)["processing"]
    assert len(processing) == 1000
    assert {"videos", "thumbnails", "busy", "waits", "id-0000", "id-0995"} <= set(processing)
    assert not {"idle", "id-0996"} & set(processing)
    assert processing["waits"] == {"queued": 2, "processing": 1, "averageTime": None}


def test_the_answers_have_the_references_fields_in_their_order() -> None:
    reference = json.loads((REFERENCE / "health.json").read_text())["data"]
    assert json.dumps(shape(system_answers.health(HEALTH))) == json.dumps(shape(reference))
    reference = json.loads((REFERENCE / "performance.json").read_text())["data"]
    data = system_answers.performance(PERFORMANCE, HOUR)
    del data["processing"]["subtitle"]
    data["processing"]["thumbnails"]["averageTime"] = 1
    for part in (reference, data):
        # Maps whose keys are endpoints.
        for group in ("requests", "responseTime"):
            part["api"][group]["byEndpoint"] = sorted(part["api"][group]["byEndpoint"].values())[:1][0]
    assert json.dumps(shape(data)) == json.dumps(shape(reference))
