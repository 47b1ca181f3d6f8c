"""The documents that are made from code are up to date, and say everything."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

from api.settings import Settings
from docs.generate import DOCUMENTS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == DOCUMENTS[name](), "run `python -m docs.generate`"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert name.upper() in (DOCS / "configuration.md").read_text()


def test_the_openapi_document_names_every_error_of_every_route() -> None:
    document = json.loads((DOCS / "openapi.json").read_text())
    for path, operations in document["paths"].items():
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
    document = json.loads((DOCS / "openapi.json").read_text())
    parameters = document["paths"]["/analytics/videos/{id}"]["get"]["parameters"]
    (metrics,) = (each for each in parameters if each["name"] == "metrics")
    assert (metrics["style"], metrics["explode"]) == ("form", False)
    assert metrics["schema"]["items"]["enum"] == ["views", "engagement", "performance"]


@pytest.mark.parametrize(
    "package",
    [
        *("streams", "streams.domain", "sinks", "sinks.kafka", "sinks.redis", "sinks.clickhouse"),
        *("api", "api.exports", "api.routes", "deploy.operations"),
    ],
)
def test_the_map_of_a_package_names_each_of_its_modules(package: str) -> None:
    module = importlib.import_module(package)
    there = {each.name for each in pkgutil.iter_modules(module.__path__)}
    named = set(re.findall(r"`(\w+)`", module.__doc__ or ""))
    assert named | {"domain"} == there | {"domain"}
