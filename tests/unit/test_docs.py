"""The documents that are made from code are up to date, and say everything."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.generate import DOCUMENTS
from streams.domain.definitions import METRICS

DOCS = Path(__file__).parents[2] / "docs"
OPENAPI = json.loads((DOCS / "openapi.json").read_text())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == DOCUMENTS[name](), "run `python -m docs.generate`"


def test_the_openapi_document_names_every_error_of_every_route() -> None:
    for path, operations in OPENAPI["paths"].items():
        for operation in operations.values():
            if path.startswith("/analytics"):
                assert {"400", "401", "503"} <= operation["responses"].keys(), path
                assert operation["responses"].keys() & {"200", "202"}, path
                for status in operation["responses"]:
                    assert status != "422"
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (path, parameter["name"])
                assert "anyOf" not in parameter["schema"], (path, parameter["name"])


def test_metrics_are_told_to_come_in_one_parameter() -> None:
    parameters = OPENAPI["paths"]["/analytics/videos/{id}"]["get"]["parameters"]
    (metrics,) = (each for each in parameters if each["name"] == "metrics")
    assert (metrics["style"], metrics["explode"]) == ("form", False)
    assert metrics["schema"]["items"]["enum"] == ["views", "engagement", "performance"]


def numbers(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the path of each number below a schema of the OpenAPI document; `*` stands for any key."""
    if "$ref" in schema:
        yield from numbers(OPENAPI["components"]["schemas"][schema["$ref"].rpartition("/")[2]], path)
    for either in schema.get("anyOf", ()):
        yield from numbers(either, path)
    for name, field in schema.get("properties", {}).items():
        yield from numbers(field, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from numbers(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from numbers(schema["additionalProperties"], f"{path}.*")
    if schema.get("type") in ("integer", "number"):
        yield path


@pytest.mark.parametrize("endpoint", sorted({metric.endpoint for metric in METRICS}))
def test_every_number_of_an_answer_has_a_definition_and_the_other_way_round(endpoint: str) -> None:
    response = OPENAPI["paths"][endpoint]["get"]["responses"]["200"]["content"]["application/json"]
    told = {number.removeprefix("data.") for number in numbers(response["schema"]) if "data." in number}
    unused, undefined = [], set(told)
    for field in (metric.field for metric in METRICS if metric.endpoint == endpoint):
        # It may be the definition of all numbers below.
        pattern = re.compile(re.escape(field).replace("N", "[0-9]+") + r"\b")
        found = {number for number in told if pattern.match(number)}
        undefined -= found
        if not found:
            unused.append(field)
    # A text, `2500k`.
    assert set(unused) <= {"performance.averageBitrate"}
    # In the definition of retention.dayN.
    assert undefined <= {f"retention.cohorts[].day{days}" for days in (1, 7, 30)}


@pytest.mark.parametrize(
    "package",
    [
        *("streams", "streams.domain", "sinks", "sinks.kafka", "sinks.redis", "sinks.clickhouse"),
        *("api", "api.exports", "api.routes", "deploy", "deploy.operations", "deploy.traffic"),
        *("deploy.embedded", "deploy.embedded.clickhouse", "deploy.embedded.kafka", "deploy.monitoring"),
    ],
)
def test_the_map_of_a_package_names_each_of_its_modules(package: str) -> None:
    module = importlib.import_module(package)
    there = {each.name for each in pkgutil.iter_modules(module.__path__)}
    named = set(re.findall(r"`(\w+)`", module.__doc__ or ""))
    assert named - {"domain"} == there - {"domain", "__main__"}
