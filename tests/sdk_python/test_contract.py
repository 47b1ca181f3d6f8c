"""The SDK covers the API's OpenAPI document: every path, every parameter, every field, every word."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import httpx2
import pytest
from videocloud import errors, models, types
from videocloud._live import watching
from videocloud._operation import operation
from videocloud.analytics import Analytics
from videocloud.models.base import Error, Model

from api.exports.columns import METRICS
from tests.sdk_python.clients import Client, Kind, answering, done, following

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
SCHEMAS: dict[str, dict[str, Any]] = DOCUMENT["components"]["schemas"]
#: The SDK unwraps envelopes, and has no classes for request bodies.
MODELLED = sorted(name for name in SCHEMAS if not name.endswith("Response") and name != "ExportRequest")
WINDOW: dict[str, Any] = {"start": datetime(2024, 3, 1, tzinfo=UTC), "end": "2024-03-02T00:00:00Z"}
INDIA = ZoneInfo("Asia/Kolkata")


def _model(name: str) -> type[Model]:
    found: type[Model] = Error if name == "Error" else getattr(models, name)
    return found


def _shape(schema: Any) -> Any:
    """Return a schema without documentation: the names of fields, their types and `required` stay."""
    if isinstance(schema, list):
        return [_shape(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return schema["$ref"].rsplit("/", 1)[1]
    kept = {"type", "items", "anyOf", "enum", "const", "format", "required"}
    shape = {name: _shape(value) for name, value in schema.items() if name in kept}
    if "properties" in schema:
        shape["properties"] = {name: _shape(field) for name, field in schema["properties"].items()}
        shape["required"] = sorted(schema.get("required", ()))
    elif "additionalProperties" in schema:
        shape["additionalProperties"] = _shape(schema["additionalProperties"])
    return shape


@pytest.mark.parametrize("name", MODELLED)
def test_a_model_has_the_fields_of_its_schema_and_no_others(name: str) -> None:
    assert _shape(_model(name).model_json_schema()) == _shape(SCHEMAS[name])


@pytest.mark.parametrize("name", MODELLED)
def test_a_model_says_of_its_fields_what_the_api_says(name: str) -> None:
    told: dict[str, str] = {}
    for kind in reversed(_model(name).__mro__[:-1]):
        if issubclass(kind, Model):
            told |= _told(kind)
    for field, schema in SCHEMAS[name].get("properties", {}).items():
        if "description" in schema:
            assert told.get(field) == schema["description"], field


def _told(kind: type[Model]) -> dict[str, str]:
    """Return the docstring below each field of a class, by the field's name on the wire."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
            assert isinstance(field.target, ast.Name) and isinstance(text.value, ast.Constant)
            alias = kind.model_fields[field.target.id].alias
            assert alias is not None
            found[alias] = " ".join(str(text.value.value).split())
    return found


def test_every_model_is_a_schema() -> None:
    shared = {"Model", "Answer", "Returns"}
    assert set(models.__all__) - shared == set(MODELLED) - {"Error"}


# --- every path, requested with every parameter ----------------------------------------------------


async def _ask_everything(client: Client) -> set[str]:
    """Call every method with every parameter; return the names of those called."""
    called = set()

    async def call(name: str, *args: Any, **kwargs: Any) -> Any:
        called.add(name)
        return await done(getattr(client.analytics, name)(*args, **kwargs))

    for name in ("get_videos_summary", "get_users"):
        await call(name, period="7d", timezone="Asia/Kolkata", compare="none")
    for name in ("get_user_engagement", "get_system_health", "get_system_performance"):
        await call(name, period="24h", timezone=INDIA)
    for name in ("get_videos_summary", "get_users", "get_user_engagement"):
        await call(name, **WINDOW)
    for name in ("get_system_health", "get_system_performance"):
        await call(name, **WINDOW)
    await call("get_users", metrics=["activity", "growth"])
    video: dict[str, Any] = {"group_by": "hour", "compare": "previous", "timezone": INDIA}
    await call("get_video", "vid_1", metrics=["views", "engagement"], period="1d", **video)
    await call("get_video", "vid_1", **WINDOW)
    await call("get_live")
    await call("get_video_live", "vid_1")
    for name, args in (("live", ()), ("video_live", ("vid_1",))):
        stream = await call(name, *args)
        await following(stream)
        await done(stream.close())
    export = await call("export", type="video", period="30d", format="csv", metrics=["views"], timezone=INDIA)
    await call("export", type="user", **WINDOW)
    await call("get_export", export.export_id)
    return called


def _templates() -> list[tuple[re.Pattern[str], str]]:
    """Return a pattern for each path, with the path; those without ids come first."""
    paths = sorted(DOCUMENT["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in paths]


class _Api:
    """Answers with the examples of the document, and records the requests."""

    def __init__(self) -> None:
        self.asked: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.bodies: list[dict[str, Any]] = []
        self._templates = _templates()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        path = next(path for pattern, path in self._templates if pattern.fullmatch(request.url.path))
        operation = DOCUMENT["paths"][path][request.method.lower()]
        self.asked[request.method.lower(), path] |= set(request.url.params)
        if request.content:
            self.bodies.append(json.loads(request.content))
        status, response = next((int(code), each) for code, each in operation["responses"].items())
        media = response["content"]
        if path.endswith("/download"):
            return httpx2.Response(status, content=b"day,views\n")
        if "text/event-stream" in media:
            plain = DOCUMENT["paths"][path.removesuffix("/stream")]["get"]["responses"]["200"]
            data = json.dumps(plain["content"]["application/json"]["example"])
            stream = {"content-type": "text/event-stream"}
            return httpx2.Response(status, headers=stream, content=f"event: live\ndata: {data}\n\n".encode())
        health = {"status": "ok", "stores": {"redis": True}}
        example = media["application/json"].get("example", health)
        if path == "/analytics/export/{id}":
            example = {**example, "data": {**example["data"], "status": "completed"}}
        return httpx2.Response(status, json=example)


async def test_every_path_of_the_api_is_asked_with_every_parameter(kind: Kind, tmp_path: Path) -> None:
    api = _Api()
    client = answering(kind, api)
    called = await _ask_everything(client)
    export = await done(client.analytics.wait_for_export("exp_1"))
    await done(client.analytics.download(export, tmp_path / "export.csv"))
    for health in (client.get_health, client.get_readiness):
        assert (await done(health())).status == "ok"
    assert (tmp_path / "export.csv").read_text() == "day,views\n"
    wanted = {
        (method, path): {each["name"] for each in what.get("parameters", ()) if each["in"] == "query"}
        for path, operations in DOCUMENT["paths"].items()
        for method, what in operations.items()
    }
    assert api.asked == wanted
    sent = {name for body in api.bodies for name in body}
    assert sent == set(SCHEMAS["ExportRequest"]["properties"])
    methods = {name for name, what in vars(Analytics).items() if isinstance(what, operation | watching)}
    assert called | {"wait_for_export", "download"} == methods


def _example(path: str) -> Any:
    media = DOCUMENT["paths"][path]["get"]["responses"]["200"]["content"]
    return media["application/json"]["example"]


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/analytics/videos/summary", lambda it: it.get_videos_summary()),
        ("/analytics/videos/{id}", lambda it: it.get_video("vid_1")),
        ("/analytics/users", lambda it: it.get_users()),
        ("/analytics/users/engagement", lambda it: it.get_user_engagement()),
        ("/analytics/system/health", lambda it: it.get_system_health()),
        ("/analytics/system/performance", lambda it: it.get_system_performance()),
        ("/analytics/live", lambda it: it.get_live()),
        ("/analytics/videos/{id}/live", lambda it: it.get_video_live("vid_1")),
    ],
)
async def test_an_answer_holds_everything_that_the_api_said(
    kind: Kind, path: str, ask: Callable[[Any], Any]
) -> None:
    answer = await done(ask(answering(kind, _Api()).analytics))
    example = _example(path)
    assert answer.model_dump(by_alias=True, exclude_unset=True, mode="json") == example["data"]
    assert answer.meta.as_of == datetime.fromisoformat(example["meta"]["asOf"])
    assert (answer.meta.partial, answer.meta.timezone) == (True, "UTC")


# --- every word --------------------------------------------------------------------------------------


def _words(path: str, parameter: str) -> set[str]:
    parameters = DOCUMENT["paths"][path]["get"]["parameters"]
    (schema,) = (each["schema"] for each in parameters if each["name"] == parameter)
    return set(schema.get("enum") or schema["items"]["enum"])


def _flat(words: Any) -> set[str]:
    return {each for part in get_args(words) for each in get_args(part) or (part,)}


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (types.PeriodName, _words("/analytics/videos/{id}", "period")),
        (types.GroupBy, _words("/analytics/videos/{id}", "groupBy")),
        (types.Compare, _words("/analytics/videos/{id}", "compare")),
        (types.VideoMetric, _words("/analytics/videos/{id}", "metrics")),
        (types.UserMetric, _words("/analytics/users", "metrics")),
        (types.ExportType, set(SCHEMAS["ExportRequest"]["properties"]["type"]["enum"])),
        (types.ExportFormat, set(SCHEMAS["ExportRequest"]["properties"]["format"]["enum"])),
        (types.ExportStatus, set(SCHEMAS["Export"]["properties"]["status"]["enum"])),
        # The document lists these in prose only, so they are compared with the server's own.
        (types.VideoMetric, set(METRICS["video"])),
        (types.UserMetric, set(METRICS["user"])),
        (types.SystemMetric, set(METRICS["system"])),
        (types.ExportMetric, {each for of_type in METRICS.values() for each in of_type}),
    ],
)
def test_the_words_are_those_of_the_api(words: Any, wanted: set[str]) -> None:
    assert _flat(words) == wanted


async def test_every_status_of_the_document_has_an_error_of_its_own(kind: Kind) -> None:
    statuses = {
        int(status)
        for operations in DOCUMENT["paths"].values()
        for what in operations.values()
        for status in what["responses"]
        if int(status) >= 400
    }
    for status in statuses:
        body = {"success": False, "error": {"code": "ANALYTICS_X", "message": "No.", "details": {}}}
        client = answering(kind, lambda _, s=status, b=body: httpx2.Response(s, json=b), max_retries=0)  # type: ignore[misc]
        with pytest.raises(errors.APIStatusError) as caught:
            await done(client.analytics.get_live())
        assert type(caught.value) is not errors.APIStatusError
        assert (caught.value.status, caught.value.code) == (status, "ANALYTICS_X")
