"""Answers have the fields and types of the API reference's examples, in their order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from api import errors, schemas, schemas_exports, video_answers
from streams.domain.definitions import METRICS, SUMMARY, VIDEO
from streams.domain.metrics import GROUPS
from tests.unit import test_api_answers as made

REFERENCE = Path(__file__).parents[1] / "golden" / "reference"
#: Maps whose keys are values of the data, not fields.
MAPS = {"byCountry", "byDevice", "byPlatform"}


def example(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((REFERENCE / f"{name}.json").read_text())
    return read


def shape(value: Any, name: str = "") -> Any:
    """Describe a value: its fields in order, and the kind of each."""
    if isinstance(value, dict):
        if name in MAPS:
            return {"*": shape(next(iter(value.values())))}
        return {key: shape(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(value[0])]
    return (
        "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    )


def test_a_videos_answer_has_the_references_shape() -> None:
    data = video_answers.video(made.FULL, made.WEEK, made.DAYS, GROUPS[VIDEO], compare=True, live=False)
    wanted = shape(example("video")["data"])
    assert shape(data) == wanted
    assert json.dumps(shape(data)) == json.dumps(wanted), "the order of the fields"


def test_a_summarys_answer_has_the_references_shape() -> None:
    data = video_answers.summary(made.SUMMARY, {"a": "First"}, compare=True)
    wanted = shape(example("summary")["data"])
    assert json.dumps(shape(data)) == json.dumps(wanted)


@pytest.mark.parametrize(
    ("name", "told", "model"),
    [
        ("video", schemas.VIDEO_EXAMPLE, schemas.VideoResponse),
        ("summary", schemas.SUMMARY_EXAMPLE, schemas.SummaryResponse),
    ],
)
def test_the_documented_examples_are_the_references(
    name: str, told: dict[str, Any], model: type[schemas.Model]
) -> None:
    assert {key: value for key, value in told.items() if key != "meta"} == example(name)
    model.model_validate(told)


def test_an_exports_answer_begins_with_the_references_fields() -> None:
    told, wanted = schemas_exports.EXPORT_EXAMPLE["data"], example("export")["data"]
    assert [*shape(told).items()][:4] == [*shape(wanted).items()]
    assert list(told)[4:] == ["rows", "bytes"]
    assert told["expiresAt"] == wanted["expiresAt"]
    schemas_exports.ExportResponse.model_validate(schemas_exports.EXPORT_EXAMPLE)
    asked = example("export_request")
    assert asked == schemas_exports.REQUEST_EXAMPLE
    assert schemas_exports.ExportRequest.model_validate(asked).model_dump(exclude_unset=True) == asked


def test_every_error_of_the_reference_is_answered_somewhere() -> None:
    codes = {code for _, code in errors.TABLE.values()}
    assert codes >= {
        "ANALYTICS_INVALID_PERIOD",
        "ANALYTICS_INVALID_METRICS",
        "ANALYTICS_DATA_UNAVAILABLE",
        "ANALYTICS_EXPORT_FAILED",
        "ANALYTICS_RATE_LIMIT",
    }


def fields(value: Any, path: str = "") -> set[str]:
    if isinstance(value, dict) and path.rpartition(".")[2] not in MAPS:
        return {each for key, of in value.items() for each in fields(of, f"{path}.{key}" if path else key)}
    if isinstance(value, list):
        return fields(value[0], f"{path}[]")
    return {path}


@pytest.mark.parametrize(("name", "endpoint"), [("video", VIDEO), ("summary", SUMMARY)])
def test_every_number_of_the_reference_has_a_definition(name: str, endpoint: str) -> None:
    told = fields(example(name)["data"])
    defined = {metric.field for metric in METRICS if metric.endpoint == endpoint}
    names = {"topVideos[].id", "topVideos[].title"}
    undefined = {
        field for field in told if not field.startswith("period") and not field.endswith("date")
    } - names
    assert undefined == defined
