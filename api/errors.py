"""Errors in the API: one table from class to status and code, and one shape for all.

The shape is `{"success": false, "error": {"code", "message", "details"}}`; `details.requestId` is the id of
the request in the log. Messages never contain internals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.exports import errors
from streams.domain import errors as domain

_log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 2


class UnauthorizedError(domain.RequestError):
    """The request has no key, or an unknown one; the message says which."""


class ForbiddenError(domain.RequestError):
    """The key does not have the scope of the endpoint."""


class RateLimitedError(domain.VideoCloudError):
    """The key is over its rate limit."""


class TooManyStreamsError(domain.RequestError):
    """All live streams of this process, or all that one key may have, are taken."""


#: The first class that an error is an instance of decides.
TABLE: Final[dict[type[Exception], tuple[int, str]]] = {
    domain.InvalidPeriodError: (400, "ANALYTICS_INVALID_PERIOD"),
    domain.NotKeptError: (400, "ANALYTICS_DATA_UNAVAILABLE"),
    domain.InvalidMetricsError: (400, "ANALYTICS_INVALID_METRICS"),
    domain.InvalidParameterError: (400, "ANALYTICS_INVALID_PARAMETER"),
    domain.UnknownVideoError: (404, "ANALYTICS_DATA_UNAVAILABLE"),
    domain.StoreUnavailableError: (503, "ANALYTICS_DATA_UNAVAILABLE"),
    errors.UnknownExportError: (404, "ANALYTICS_NOT_FOUND"),
    errors.UnfinishedExportError: (409, "ANALYTICS_EXPORT_NOT_READY"),
    errors.ExpiredExportError: (410, "ANALYTICS_EXPORT_EXPIRED"),
    errors.FailedExportError: (500, "ANALYTICS_EXPORT_FAILED"),
    errors.ForbiddenLinkError: (403, "ANALYTICS_FORBIDDEN"),
    UnauthorizedError: (401, "ANALYTICS_UNAUTHORIZED"),
    ForbiddenError: (403, "ANALYTICS_FORBIDDEN"),
    RateLimitedError: (429, "ANALYTICS_RATE_LIMIT"),
    TooManyStreamsError: (503, "ANALYTICS_TOO_MANY_STREAMS"),
}
#: Codes for what the framework refuses, and for unexpected errors.
FRAMEWORK: Final = {
    400: "ANALYTICS_INVALID_PARAMETER",
    404: "ANALYTICS_NOT_FOUND",
    405: "ANALYTICS_METHOD_NOT_ALLOWED",
    413: "ANALYTICS_TOO_LARGE",
    414: "ANALYTICS_TOO_LARGE",
    416: "ANALYTICS_INVALID_PARAMETER",
    422: "ANALYTICS_INVALID_PARAMETER",
    500: "ANALYTICS_INTERNAL_ERROR",
}
_HEADERS: Final = {
    401: {"WWW-Authenticate": "Bearer"},
    409: {"Retry-After": str(RETRY_SECONDS)},
    503: {"Retry-After": str(RETRY_SECONDS)},
}
MESSAGES: Final = {
    401: "Send your API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
    413: "The body is too long: nothing that can be asked here is.",
    416: "The Range header names no bytes of this file.",
    429: "This key asked too often. Ask again after the seconds of the Retry-After header.",
    500: "Something went wrong here. It is in the log under this request id.",
    503: "The data cannot be read at the moment. Try again shortly.",
}


def body(code: str, message: str, **details: Any) -> bytes:
    """Return an error in the common shape, encoded."""
    content = {"success": False, "error": {"code": code, "message": message, "details": details}}
    try:
        return orjson.dumps(content)
    except TypeError:
        # It quotes what the caller sent, and JSON may escape half a character (a lone surrogate).
        return json.dumps(content).encode()


def response(request_id: str, status: int, code: str, message: str, **details: Any) -> Response:
    """Return an error as a response."""
    content = body(code, message, **details, requestId=request_id)
    return Response(content, status, _HEADERS.get(status), "application/json")


def code_of(error: Exception) -> str:
    """Return the code of an error in the table."""
    return next(code for kind, (_, code) in TABLE.items() if isinstance(error, kind))


def _request_id(request: Request) -> str:
    return str(getattr(request.state, "request_id", ""))


async def _expected(request: Request, error: Exception) -> Response:
    """Answer an error in the table."""
    status, code = next(answer for kind, answer in TABLE.items() if isinstance(error, kind))
    details = dict(error.details) if isinstance(error, domain.RequestError) else {}
    if isinstance(error, domain.StoreError):
        _log.warning("a store cannot be read", reason=str(error))
    message = str(error) if isinstance(error, domain.RequestError) else MESSAGES.get(status) or str(error)
    return response(_request_id(request), status, code, message, **details)


async def _framework(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    message = (
        MESSAGES.get(status) or f"{HTTPStatus(status).phrase}: {request.method} {request.url.path[:200]}"
    )
    answer = response(_request_id(request), status, FRAMEWORK.get(status, "ANALYTICS_ERROR"), message)
    answer.headers.update(error.headers or {})
    return answer


def _problem(problem: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a parameter, or with the body as a whole."""
    if problem["type"] == "json_invalid":
        text = f"It is not JSON, from character {problem['loc'][-1]} on."
        return {"parameter": "body", "problem": text}
    if problem["loc"] == ("body",):
        return {"parameter": "body", "problem": "Send a JSON object, with Content-Type: application/json."}
    return {"parameter": ".".join(str(part) for part in problem["loc"][1:])[:200], "problem": problem["msg"]}


async def _invalid(request: Request, error: Exception) -> Response:
    """Answer a parameter or body that is not what the endpoint declares."""
    assert isinstance(error, RequestValidationError)
    problems = [_problem(problem) for problem in error.errors()[:10]]
    message = "; ".join(f"{problem['parameter']}: {problem['problem']}" for problem in problems)
    return response(_request_id(request), 400, FRAMEWORK[422], message, problems=problems)


def unexpected(request_id: str) -> Response:
    """Return the answer to an unexpected error, without details."""
    return response(request_id, 500, FRAMEWORK[500], MESSAGES[500])


def install(app: FastAPI) -> None:
    """Make an application answer every error in the one shape."""
    for kind in TABLE:
        app.add_exception_handler(kind, _expected)
    app.add_exception_handler(HTTPException, _framework)
    app.add_exception_handler(RequestValidationError, _invalid)
