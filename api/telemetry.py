"""Telemetry of requests: an id, a line in the log, and counters for Prometheus."""

from __future__ import annotations

import os
import re
import time
from typing import Any, Final
from uuid import uuid4

import structlog
from fastapi.telemetry import TelemetryConfig
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors
from api.metrics import REQUEST_SECONDS, REQUESTS
from streams.domain import traces
from streams.domain.log_output import level_number, to_stderr

_log = structlog.get_logger(__name__)

_REQUEST_ID: Final = re.compile(r"[\w.:-]{1,64}", re.ASCII)
#: No valid query is longer; servers and proxies have such a limit as well.
MAX_QUERY_BYTES: Final = 8192
#: A valid body has a few hundred bytes.
MAX_BODY_BYTES: Final = 65_536
#: Requested by machines every few seconds: they would drown requests of people in logs and reports.
PROBE_PATHS: Final = {"/healthz", "/readyz", "/metrics"}
#: Methods that are counted by name; others count as `other`.
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def configure_logging(level: str) -> None:
    """Log one JSON object per line to stderr, from this level on."""
    number = level_number(level)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Without local variables, because they have what callers sent, including their keys.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=to_stderr(),
        cache_logger_on_first_use=False,
    )


def tracing_config() -> TelemetryConfig:
    """Return FastAPI's telemetry settings: spans of requests, if the environment names a destination."""
    on = traces.wanted(os.environ)
    if on and not traces.installed():
        _log.warning("traces are not sent: install `videocloud-analytics[otel]`")
        on = False
    if on:
        os.environ.setdefault("OTEL_SERVICE_NAME", "videocloud-api")
        traces.switch_on()
    return {
        "auto_configure": on,
        "tracing": on,
        "metrics": False,
        "logs": False,
        "operation_spans": False,
        "exclude": lambda scope: scope.get("path") in PROBE_PATHS,
    }


def _too_large(status: int, text: str, request_id: str) -> Response:
    return errors.response(request_id, status, errors.FRAMEWORK[status], text)


def _length(scope: Scope) -> int:
    """Return the Content-Length; 0 without one, for `_limit_body` counts the bytes anyway."""
    given = Headers(scope=scope).get("content-length", "0")
    return int(given) if given.isdecimal() else 0


def _limit_body(receive: Receive) -> Receive:
    """Return a `receive` that raises a 413 for a body beyond `MAX_BODY_BYTES`."""
    seen = 0

    async def receiving() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    return receiving


def is_long(start: Message) -> bool:
    """Say whether a response is a stream of events or a file, by its beginning.

    It counts as answered then: the time for which somebody watches or downloads is no time to answer.
    """
    headers = Headers(raw=start["headers"])
    return headers.get("content-type", "").startswith("text/event-stream") or "accept-ranges" in headers


def named(scope: Scope) -> tuple[str, str]:
    """Return the template of a request's route, so that ids make no names, and its method."""
    method = scope["method"]
    return getattr(scope.get("route"), "path", "unmatched"), method if method in _METHODS else "other"


class Telemetry:
    """ASGI middleware: gives every answer of the application a request id, a log line and a count.

    Only `Reporting` and `Cors` are outside of it. An id that the caller sends in `X-Request-Id` is kept when
    it is harmless. A fault of ours is logged with its traceback and answered with a plain 500.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        seen: dict[str, Any] = {"status": 500, "started": False, "answered": None}

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"], seen["started"] = message["status"], True
                if is_long(message):
                    seen["answered"] = time.perf_counter()
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                if len(scope["query_string"]) > MAX_QUERY_BYTES:
                    await _too_large(414, f"The query string is over {MAX_QUERY_BYTES} bytes.", request_id)(
                        scope, receive, sending
                    )
                elif _length(scope) > MAX_BODY_BYTES:
                    await _too_large(413, f"The body is over {MAX_BODY_BYTES} bytes.", request_id)(
                        scope, receive, sending
                    )
                else:
                    await self._app(scope, _limit_body(receive), sending)
            except Exception:
                _log.exception("unexpected error", path=scope["path"])
                if seen["started"]:
                    raise
                await errors.unexpected(request_id)(scope, receive, sending)
            finally:
                ended = time.perf_counter()
                self._count(scope, seen["status"], (seen["answered"] or ended) - began, ended - began)

    def _count(self, scope: Scope, status: int, answered: float, seconds: float) -> None:
        route, method = named(scope)
        REQUESTS.labels(route, method, str(status)).inc()
        REQUEST_SECONDS.labels(route).observe(answered)
        if scope["path"] not in PROBE_PATHS:
            _log.info(
                "request", method=method, path=scope["path"], status=status, ms=round(seconds * 1000, 1)
            )
