"""What the API counts of its own requests."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client import REGISTRY
from starlette.types import Message, Receive, Scope, Send

from api.telemetry import Telemetry

SUM = ("videocloud_api_request_seconds_sum", {"route": "unmatched"})


@pytest.mark.parametrize(
    "header", [(b"content-type", b"text/event-stream; charset=utf-8"), (b"accept-ranges", b"bytes")]
)
async def test_a_stream_or_a_file_counts_as_answered_when_it_begins(
    header: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time for which somebody watches or downloads would make the alert of a slow API fire."""

    now = 0.0
    monkeypatch.setattr("api.telemetry.time", SimpleNamespace(perf_counter=lambda: now))

    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now
        now = 0.25
        await send({"type": "http.response.start", "status": 200, "headers": [header]})
        now = 600.0
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None: ...

    scope = {"type": "http", "method": "GET", "path": "/live", "query_string": b"", "headers": []}
    before = REGISTRY.get_sample_value(*SUM) or 0.0
    await Telemetry(streaming)(scope, receive, send)
    assert (REGISTRY.get_sample_value(*SUM) or 0.0) - before == pytest.approx(0.25)
