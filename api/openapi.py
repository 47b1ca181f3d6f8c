"""The OpenAPI document: what FastAPI does not derive from the routes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api import schemas
from api.errors import MESSAGES, RETRY_SECONDS
from streams.domain.metrics import GROUPS

DESCRIPTION: Final = """
Who watches what, how well it plays, which users return and how healthy the platform is: exact, from the last
minute to years back.

Windows are half-open, `[start, end)`. Ratios are `null` when there is nothing to divide by, counts are 0, and
timelines leave no point out. Every number's definition is in `docs/metrics.md`. Every error has one shape:
`{"success": false, "error": {"code", "message", "details"}}`.
"""

_PARAMETER_AT_FAULT: Final = {
    "ANALYTICS_INVALID_PERIOD": "period must be one of 1h, 24h, 1d, 7d, 30d, all.",
    "ANALYTICS_DATA_UNAVAILABLE": "Data are kept since 2024-03-24T00:00:00Z, and this window begins before.",
    "ANALYTICS_INVALID_METRICS": "metrics must be some of views, engagement, performance.",
    "ANALYTICS_INVALID_PARAMETER": "There is no parameter 'perod' here; there are compare, end, period, "
    "start, timezone.",
}
_NO_MORE: Final[Mapping[int, Mapping[str, str]]] = {}
_CODES: Final[dict[int, tuple[str, dict[str, str]]]] = {
    400: ("A parameter is invalid.", _PARAMETER_AT_FAULT),
    401: (
        "The request has no API key, or an unknown one.",
        {"ANALYTICS_UNAUTHORIZED": MESSAGES[401]},
    ),
    403: (
        "The API key lacks the scope that this endpoint requires.",
        {"ANALYTICS_FORBIDDEN": "This key does not have the scope read: ask with one that has it."},
    ),
    429: ("The API key exceeded its rate limit.", {"ANALYTICS_RATE_LIMIT": MESSAGES[429]}),
    404: (
        "There is no such video, or no such export.",
        {
            "ANALYTICS_DATA_UNAVAILABLE": "There is no video with this id, and no event of it.",
            "ANALYTICS_NOT_FOUND": "There is no export with this id.",
        },
    ),
    409: (
        "The file is not there yet.",
        {"ANALYTICS_EXPORT_NOT_READY": "This export is processing. Try again in a moment."},
    ),
    410: (
        "The export has expired.",
        {"ANALYTICS_EXPORT_EXPIRED": "This export has expired. Ask for a new one."},
    ),
    416: (
        "The `Range` header is malformed, or names no bytes of the file.",
        {"ANALYTICS_INVALID_PARAMETER": MESSAGES[416]},
    ),
    500: (
        "The export failed.",
        {
            "ANALYTICS_EXPORT_FAILED": "The data could not be read to its end. Ask again, or for a shorter "
            "window."
        },
    ),
    503: (
        "The data cannot be read at the moment.",
        {"ANALYTICS_DATA_UNAVAILABLE": MESSAGES[503]},
    ),
}


def errors(
    *statuses: int, more: Mapping[int, Mapping[str, str]] = _NO_MORE
) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route, with the codes that each status may carry.

    401, 403 and 429 are always among them. `more` has codes, each with a message, that only this route has.
    """
    found: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 401, 403, 429}):
        description, codes = _CODES[status]
        codes = {**codes, **more.get(status, {})}
        examples = {
            code: {
                "value": {
                    "success": False,
                    "error": {"code": code, "message": message, "details": {"requestId": "5f1c9e0a"}},
                }
            }
            for code, message in codes.items()
        }
        found[status] = {
            "model": schemas.ErrorResponse,
            "description": f"{description} Codes: {', '.join(f'`{code}`' for code in codes)}.",
            "content": {"application/json": {"examples": examples}},
        }
        if status in (409, 429, 503):
            found[status]["headers"] = {
                "Retry-After": {
                    "description": "Seconds to wait before retrying.",
                    "schema": {"type": "integer", "example": RETRY_SECONDS},
                }
            }
    return found


def _plain(parameter: dict[str, Any], groups: Collection[str]) -> None:
    """Remove null from a parameter's schema, because a query string has none."""
    schema = parameter["schema"]
    for kind in schema.pop("anyOf", ()):
        if kind != {"type": "null"}:
            schema |= kind
    schema.pop("description", None)
    if parameter["name"] == "metrics":
        parameter |= {"style": "form", "explode": False}
        schema["items"] = {"type": "string", "enum": list(groups)}


def _errors_as_json(content: dict[str, Any]) -> None:
    """Make error responses of streams JSON."""
    if stream := content.pop("text/event-stream", None):
        content.setdefault("application/json", {}).update(stream)


def _event(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"const": name}, "data": data},
    }


def _events_of(paths: dict[str, Any], name: str) -> None:
    """Describe the events of a stream: the answer of the path without `/stream`, or an error."""
    streams = paths[name]["get"]["responses"]["200"]["content"]
    once = paths[name.removesuffix("/stream")]["get"]["responses"]["200"]["content"]["application/json"]
    error = {"$ref": "#/components/schemas/ErrorResponse"}
    streams["text/event-stream"] = {
        "itemSchema": {"oneOf": [_event("live", once["schema"]), _event("error", error)]}
    }


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application; it is built once."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        for name, path in schema["paths"].items():
            for operation in path.values():
                # Invalid parameters answer 400, never 422.
                operation["responses"].pop("422", None)
                for status, response in operation["responses"].items():
                    if status >= "400":
                        _errors_as_json(response.get("content", {}))
                for parameter in operation.get("parameters", ()):
                    _plain(parameter, GROUPS.get(name, ()))
        for name in schema["paths"]:
            if name.endswith("/stream"):
                _events_of(schema["paths"], name)
        for unused in ("HTTPValidationError", "ValidationError"):
            schema["components"]["schemas"].pop(unused, None)
        app.openapi_schema = schema
    return app.openapi_schema
