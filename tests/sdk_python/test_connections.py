"""Requests over real sockets of servers that refuse, drop, stall, or ask the client to wait."""

from __future__ import annotations

import gc
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from videocloud import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    ServerError,
    UnavailableError,
    VideoCloud,
    _retry,
)

from deploy.embedded.ports import free_port
from tests.sdk_python.clients import Kind, answering, done, open_client
from tests.sdk_python.sockets import answer, hang_up, part, refusal, serving, silence
from tests.waiting import until

META = {"asOf": "2024-03-30T14:05:27Z", "partial": True, "timezone": "UTC", "source": "redis"}
USERS = {"success": True, "data": {"activity": None}, "meta": META}
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


async def test_a_limit_is_waited_for_as_long_as_the_api_asks(kind: Kind) -> None:
    with serving(refusal(429, "ANALYTICS_RATE_LIMIT", retry_after="1"), answer(USERS)) as server:
        async with open_client(kind, base_url=server.url) as client:
            assert (await done(client.analytics.get_users())).meta.source == "redis"
        first, second = server.asked
        assert 1.0 <= second.at - first.at < 3.0


async def test_who_is_asked_to_wait_for_minutes_is_told_instead(kind: Kind) -> None:
    with serving(refusal(429, "ANALYTICS_RATE_LIMIT", "Too often.", retry_after="120")) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(RateLimitError, match="Too often") as caught:
                await done(client.analytics.get_users())
        assert caught.value.retry_after == 120
        assert len(server.asked) == 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "trouble", [hang_up, part(b"x" * 100, 50), refusal(408), refusal(409), refusal(500), refusal(503)]
)
async def test_what_may_pass_is_tried_again(kind: Kind, trouble: Any) -> None:
    with serving(trouble, trouble, answer(USERS)) as server:
        async with open_client(kind, base_url=server.url) as client:
            assert (await done(client.analytics.get_users())).meta.partial
        assert len(server.asked) == 3


@pytest.mark.usefixtures("hasty")
async def test_two_new_tries_are_enough(kind: Kind) -> None:
    with serving(hang_up) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(APIConnectionError, match="was lost during GET /analytics/users") as caught:
                await done(client.analytics.get_users())
            assert len(server.asked) == 3
            assert not isinstance(caught.value, APITimeoutError)
            with pytest.raises(APIConnectionError):
                await done(client.with_options(max_retries=0).analytics.get_users())
        assert len(server.asked) == 4


@pytest.mark.parametrize("status", [400, 403, 404, 410])
async def test_what_will_not_pass_is_not_tried_again(kind: Kind, status: int) -> None:
    with serving(refusal(status)) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(APIError):
                await done(client.analytics.get_users())
        assert len(server.asked) == 1


async def test_an_export_that_failed_is_not_tried_again(kind: Kind) -> None:
    with serving(refusal(500, "ANALYTICS_EXPORT_FAILED")) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(ServerError):
                await done(client.analytics.get_export("exp_1"))
        assert len(server.asked) == 1


@pytest.mark.usefixtures("hasty")
async def test_a_time_out_has_a_name(kind: Kind) -> None:
    with serving(silence) as server:
        async with open_client(kind, base_url=server.url, timeout=0.2) as client:
            began = time.monotonic()
            with pytest.raises(APITimeoutError) as caught:
                await done(client.analytics.get_users())
            assert time.monotonic() - began < 20
        # The server may be slower to read than the client to give up.
        await until(lambda: len(server.asked) == 3)
        said = "GET /analytics/users got no response within 0.2 s: increase timeout=."
        assert str(caught.value) == said
        assert isinstance(caught.value, APIConnectionError)


@pytest.mark.usefixtures("hasty")
async def test_an_address_where_nothing_listens_is_named(kind: Kind) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with open_client(kind, base_url=url) as client:
        with pytest.raises(APIConnectionError) as caught:
            await done(client.analytics.get_users())
    assert str(caught.value).startswith(f"Nothing answers at {url} (")
    assert str(caught.value).endswith("): check base_url or VIDEOCLOUD_BASE_URL.")


async def test_the_key_and_the_name_of_the_sdk_are_sent(kind: Kind) -> None:
    with serving(answer(USERS)) as server:
        async with open_client(kind, base_url=server.url + "/", api_key="vca_x") as client:
            await done(client.analytics.get_users(period="7d", metrics=["activity", "growth"]))
        (asked,) = server.asked
        assert asked.line == "GET /analytics/users?period=7d&metrics=activity%2Cgrowth HTTP/1.1"
        assert asked.headers["authorization"] == "Bearer vca_x"
        assert asked.headers["user-agent"].startswith("videocloud-python/")


async def test_settings_come_from_the_environment_and_arguments_win(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answer(USERS)) as server:
        monkeypatch.setenv("VIDEOCLOUD_BASE_URL", server.url)
        monkeypatch.setenv("VIDEOCLOUD_API_KEY", "vca_environment")
        for given, sent in ((None, "vca_environment"), ("vca_argument", "vca_argument")):
            async with open_client(kind, api_key=given) as client:
                await done(client.analytics.get_users())
                assert "vca_" not in repr(client)
                assert "vca_" not in repr(client._sender.options)
            assert server.asked[-1].headers["authorization"] == f"Bearer {sent}"
        monkeypatch.delenv("VIDEOCLOUD_API_KEY")
        async with open_client(kind) as client:
            await done(client.analytics.get_users())
        assert "authorization" not in server.asked[-1].headers


def test_a_client_that_nobody_closes_gives_its_connections_back_when_nobody_needs_it() -> None:
    with serving(answer(USERS)) as server:
        client = VideoCloud(base_url=server.url)
        http = client._io.http
        patient = client.with_options(timeout=60)
        del client
        gc.collect()
        assert patient.analytics.get_users().meta.partial
        del patient
        gc.collect()
        assert http.is_closed
    theirs = httpx2.Client()
    VideoCloud(http_client=theirs)
    gc.collect()
    assert not theirs.is_closed
    theirs.close()


def test_an_address_that_is_none_is_refused_at_once(kind: Kind) -> None:
    with pytest.raises(ValueError, match="must start with http:// or https://, not 'localhost:8000'"):
        kind(base_url="localhost:8000")


async def test_a_wrong_key_is_told_in_one_line(kind: Kind) -> None:
    body = {"success": False, "error": {"code": "ANALYTICS_UNAUTHORIZED", "message": "-", "details": {}}}

    def refuse(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, json=body, headers={"x-request-id": "5f1c"})

    with pytest.raises(AuthenticationError) as caught:
        await done(answering(kind, refuse, api_key="vca_wrong").analytics.get_users())
    assert str(caught.value) == (
        "The API rejected the API key: check api_key or VIDEOCLOUD_API_KEY. "
        "(401 ANALYTICS_UNAUTHORIZED, request 5f1c)"
    )
    with pytest.raises(
        AuthenticationError, match="requires an API key: pass api_key or set VIDEOCLOUD_API_KEY"
    ):
        await done(answering(kind, refuse, api_key=None).analytics.get_users())


async def test_an_error_carries_what_the_api_told(kind: Kind) -> None:
    details = {"parameter": "period", "allowed": ["1h"], "requestId": "5f1c"}
    error = {"code": "ANALYTICS_INVALID_PERIOD", "message": "period must be 1h.", "details": details}
    body = {"success": False, "error": error}
    client = answering(kind, lambda _: httpx2.Response(400, json=body))
    with pytest.raises(BadRequestError) as caught:
        await done(client.analytics.get_users(period="2d"))
    assert (caught.value.code, caught.value.details) == ("ANALYTICS_INVALID_PERIOD", details)
    assert str(caught.value) == "period must be 1h. (400 ANALYTICS_INVALID_PERIOD)"


@pytest.mark.parametrize(
    ("content", "where"),
    [(b"<html>Welcome</html>", "body"), (b'{"success": true, "data": {"period": 3}}', "data.period")],
)
async def test_another_server_is_told_from_the_api(kind: Kind, content: bytes, where: str) -> None:
    client = answering(kind, lambda _: httpx2.Response(200, content=content))
    with pytest.raises(APIResponseError) as caught:
        await done(client.analytics.get_video("vid_1"))
    assert f"({where}: " in str(caught.value)
    assert str(caught.value).endswith("Check that http://api.test/ is the right base_url.")
    assert "\n" not in str(caught.value)


async def test_a_proxy_that_fails_is_a_server_error(kind: Kind) -> None:
    client = answering(kind, lambda _: httpx2.Response(503, content=b"<html>"), max_retries=0)
    with pytest.raises(UnavailableError) as caught:
        await done(client.analytics.get_users())
    assert str(caught.value) == "GET /analytics/users returned 503 Service Unavailable. (503)"


async def test_readiness_is_an_answer_even_when_it_is_no(kind: Kind) -> None:
    body = {"status": "unavailable", "stores": {"redis": False}}
    health = await done(answering(kind, lambda _: httpx2.Response(503, json=body)).get_readiness())
    assert (health.status, health.stores) == ("unavailable", {"redis": False})


async def test_what_a_newer_api_adds_breaks_nothing(kind: Kind) -> None:
    body = {"success": True, "data": {"novelty": 1, "activity": None}, "meta": {**META, "source": "kafka"}}
    users = await done(answering(kind, lambda _: httpx2.Response(200, json=body)).analytics.get_users())
    assert users.meta.source == "kafka"
    assert (hasattr(users, "activity"), hasattr(users, "novelty")) == (False, False)


async def test_ids_stay_within_their_place_in_the_path(kind: Kind) -> None:
    seen: list[bytes] = []

    def note(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.raw_path)
        return httpx2.Response(404, json={})

    client = answering(kind, note)
    with pytest.raises(APIError):
        await done(client.analytics.get_video("a/../b?c#d é"))
    assert seen == [b"/analytics/videos/a%2F..%2Fb%3Fc%23d%20%C3%A9"]
    for nothing in ("", ".", ".."):
        with pytest.raises(ValueError, match="is not a valid id"):
            await done(client.analytics.get_video(nothing))
    with pytest.raises(ValueError, match="no video with the id 'summary'"):
        await done(client.analytics.get_video("summary"))


async def test_an_instant_without_a_zone_is_refused(kind: Kind) -> None:
    client = answering(kind, lambda _: httpx2.Response(500))
    with pytest.raises(ValueError, match="start has no time zone: pass an aware datetime"):
        await done(client.analytics.get_users(start=datetime(2024, 3, 1), end="2024-03-02T00:00:00Z"))  # noqa: DTZ001


# --- pure functions --------------------------------------------------------------------------------


@given(st.integers(0, 1000), st.floats(0, 1))
def test_pauses_grow_from_half_a_second_to_eight(attempt: int, chance: float) -> None:
    pause = _retry.backoff(attempt, chance)
    whole = min(0.5 * 2.0 ** min(attempt, 10), 8.0)
    assert whole * 0.75 <= pause <= whole
    assert [_retry.backoff(n, 0) for n in range(6)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 0 ", 0.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert _retry.retry_after(header, NOW) == seconds
