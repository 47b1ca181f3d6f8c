"""What may be set as a limit, and what happens to answers on their way out."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from pydantic import ValidationError
from redis.asyncio import Connection, RedisCluster, SSLConnection
from starlette.types import Message, Receive, Scope, Send

from api.etag_gzip import MIN_GZIP_BYTES, ETagGzip
from api.limits import Allowance, RateLimitHeaders, _storage, parse_limit
from api.settings import Settings

LONG = b'"' + b"x" * MIN_GZIP_BYTES + b'"'


def app(body: bytes, *, kind: bytes = b"application/json", status: int = 200, pieces: int = 1) -> Any:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["allowance"] = Allowance(600, 0, 7)
        headers = [(b"content-type", kind), (b"etag", b'W/"tag"'), (b"vary", b"Authorization")]
        if pieces == 1:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in range(pieces):
            more = piece < pieces - 1
            await send({"type": "http.response.body", "body": body, "more_body": more})

    return answer


async def asked(application: Any, **headers: str) -> tuple[int, dict[str, str], bytes]:
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await application({"type": "http", "headers": raw, "state": {}}, receive, send)
    start, *bodies = messages
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(body["body"] for body in bodies)


def test_a_limit_is_a_number_of_requests_in_a_time_or_none() -> None:
    limit = parse_limit("600/minute")
    assert limit is not None and (limit.amount, limit.get_expiry()) == (600, 60)
    assert parse_limit("none") is None
    for wrong in ("", "many", "600", "600/fortnight"):
        with pytest.raises(ValidationError):
            Settings(rate_limit=wrong)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("redis://user:secret@redis:6379/0?cluster=true", False),
        ("rediss://user:secret@redis:6379/0?cluster=true&ssl_ca_certs=/etc/ca.pem", True),
    ],
)
def test_limits_are_counted_in_a_cluster_with_its_password_and_tls(url: str, secure: bool) -> None:
    storage: Any = _storage(url, 1.0, "vc:limits")
    cluster = storage.bridge.get_connection()
    assert isinstance(cluster, RedisCluster)
    options = cluster.connection_kwargs
    assert (options["username"], options["password"]) == ("user", "secret")
    assert (cluster.nodes_manager.startup_nodes.keys()) == {"redis:6379"}
    assert (options.get("ssl_ca_certs") == "/etc/ca.pem") is secure
    assert issubclass(options.get("connection_class", Connection), SSLConnection) is secure


async def test_long_json_is_compressed_for_those_who_take_it() -> None:
    status, headers, body = await asked(ETagGzip(app(LONG)), accept_encoding="br, gzip")
    assert (status, gzip.decompress(body)) == (200, LONG)
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) == len(body) < len(LONG)
    assert headers["vary"] == "Authorization, Accept-Encoding"
    for refused in ("", "br", "gzip;q=0", "identity, gzip; q=0.0"):
        _, headers, body = await asked(ETagGzip(app(LONG)), accept_encoding=refused)
        assert body == LONG
        assert "content-encoding" not in headers


@pytest.mark.parametrize(
    "application",
    [app(b'"short"'), app(LONG, kind=b"text/event-stream"), app(LONG, pieces=3), app(LONG, kind=b"text/csv")],
)
async def test_everything_else_passes_as_it_is(application: Any) -> None:
    _, before, body = await asked(application)
    _, headers, passed = await asked(ETagGzip(application), accept_encoding="gzip")
    assert passed == body
    assert {name: text for name, text in headers.items() if name != "vary"} == {
        name: text for name, text in before.items() if name != "vary"
    }


@pytest.mark.parametrize("given", ['W/"tag"', '"tag"', '"a", W/"tag"', "*"])
async def test_what_the_caller_has_is_not_sent_again(given: str) -> None:
    status, headers, body = await asked(ETagGzip(app(LONG)), if_none_match=given, accept_encoding="gzip")
    assert (status, body, headers["etag"]) == (304, b"", 'W/"tag"')
    assert not headers.keys() & {"content-length", "content-type", "content-encoding"}


async def test_other_tags_and_errors_are_sent() -> None:
    assert (await asked(ETagGzip(app(LONG)), if_none_match='"gat"'))[0] == 200
    assert (await asked(ETagGzip(app(LONG, status=503)), if_none_match='"tag"'))[0] == 503


async def test_what_is_left_is_told_with_every_answer() -> None:
    _, headers, _ = await asked(RateLimitHeaders(app(LONG)))
    told = {name: text for name, text in headers.items() if name.startswith("ratelimit")}
    assert told == {"ratelimit-limit": "600", "ratelimit-remaining": "0", "ratelimit-reset": "7"}
    assert "retry-after" not in headers
    assert (await asked(RateLimitHeaders(app(LONG, status=429))))[1]["retry-after"] == "7"
