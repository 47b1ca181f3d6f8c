"""Streams of live numbers over connections that break and are made again."""

from __future__ import annotations

import gc
import json
from typing import Any

import httpx2
import pytest
from videocloud import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APITimeoutError,
    AuthenticationError,
    NotFoundError,
    UnavailableError,
    VideoCloud,
    _live,
    _retry,
)

from tests.sdk_python.clients import Kind, done, following, open_client
from tests.sdk_python.sockets import answer, events, hang_up, refusal, serving, silence

pytestmark = pytest.mark.usefixtures("hasty")

META = {"asOf": "2024-03-30T14:05:27Z", "partial": True, "timezone": "UTC", "source": "redis"}
PERIOD = {"start": "2024-03-30T13:06:00Z", "end": "2024-03-30T14:06:00Z"}
GONE = {"success": False, "error": {"code": "ANALYTICS_DATA_UNAVAILABLE", "message": "Wait.", "details": {}}}


def live(viewers: int, head: str = "") -> str:
    data = {"period": PERIOD, "concurrentViewers": viewers, "timeline": [], "trending": []}
    body = json.dumps({"success": True, "data": data, "meta": META})
    return f"{head}event: live\ndata: {body}\n\n"


async def viewers(stream: Any, count: int) -> list[int]:
    return [(await following(stream)).concurrent_viewers for _ in range(count)]


async def test_a_lost_connection_is_made_again_from_the_last_event(kind: Kind) -> None:
    first = events(live(1, "id: 41\n"), live(2, "id: 42\n"), "event: live\ndata: {cut")
    with serving(first, hang_up, refusal(502), events(": ping\n\n", live(3), stay=True)) as server:
        async with open_client(kind, base_url=server.url, api_key="vca_x") as client:
            told: list[APIError] = []
            stream = client.analytics.live(on_interruption=told.append)
            assert await viewers(stream, 3) == [1, 2, 3]
            await done(stream.close())
    assert [type(error).__name__ for error in told] == ["APIConnectionError"] * 2 + ["ServerError"]
    assert [asked.headers.get("last-event-id") for asked in server.asked] == [None, "42", "42", "42"]
    assert {asked.headers["accept"] for asked in server.asked} == {"text/event-stream"}
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer vca_x"}


async def test_one_client_has_as_many_streams_as_the_api_allows_and_other_requests(kind: Kind) -> None:
    with serving(*[events(live(1), stay=True)] * 150, answer({"status": "ok"})) as server:
        async with open_client(kind, base_url=server.url, timeout=30, max_retries=0) as client:
            streams = [client.analytics.live() for _ in range(150)]
            assert [await viewers(each, 1) for each in streams] == [[1]] * 150
            assert (await done(client.get_health())).status == "ok"
            for each in streams:
                await done(each.close())


async def test_who_has_no_connection_left_is_told_so(kind: Kind) -> None:
    http = httpx2.Client if kind is VideoCloud else httpx2.AsyncClient
    few = http(limits=httpx2.Limits(max_connections=1))
    with serving(events(live(1), stay=True)) as server:
        async with open_client(kind, base_url=server.url, http_client=few, max_retries=0) as client:
            stream = client.analytics.live()
            assert await viewers(stream, 1) == [1]
            with pytest.raises(APITimeoutError, match="all that http_client may have are in use"):
                await done(client.with_options(timeout=0.1).get_health())
            await done(stream.close())


async def test_answers_carry_meta_and_the_stream_of_a_video_is_its_own(kind: Kind) -> None:
    data: dict[str, Any] = {
        "id": "v/1",
        "title": None,
        "period": PERIOD,
        "concurrentViewers": 7,
        "timeline": [],
    }
    body = json.dumps({"success": True, "data": data, "meta": META})
    with serving(events(f"event: live\ndata: {body}\n\n", stay=True)) as server:
        async with open_client(kind, base_url=server.url) as client:
            stream = client.analytics.video_live("v/1")
            answer = await following(stream)
            await done(stream.close())
    assert (answer.id, answer.title, answer.concurrent_viewers, answer.meta.source) == (
        "v/1",
        None,
        7,
        "redis",
    )
    assert server.asked[0].line == "GET /analytics/videos/v%2F1/live/stream HTTP/1.1"


async def test_while_the_api_has_no_answer_the_stream_waits_and_tells(kind: Kind) -> None:
    with serving(
        events(live(1), f"event: error\ndata: {json.dumps(GONE)}\n\n", live(2), stay=True)
    ) as server:
        async with open_client(kind, base_url=server.url) as client:
            told: list[APIError] = []
            stream = client.analytics.live(on_interruption=told.append)
            assert await viewers(stream, 2) == [1, 2]
            await done(stream.close())
    (error,) = told
    assert isinstance(error, UnavailableError)
    assert str(error) == "Wait. (503 ANALYTICS_DATA_UNAVAILABLE)"


async def test_a_refusal_ends_the_stream(kind: Kind) -> None:
    with serving(events(live(1)), refusal(404)) as server:
        async with open_client(kind, base_url=server.url) as client:
            stream = client.analytics.live()
            assert await viewers(stream, 1) == [1]
            with pytest.raises(NotFoundError):
                await following(stream)
    with serving(refusal(401)) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(AuthenticationError):
                await following(client.analytics.live())
    assert len(server.asked) == 1


async def test_a_first_connection_that_fails_is_told_and_a_later_one_as_often_as_asked(kind: Kind) -> None:
    with serving(hang_up) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(APIConnectionError):
                await following(client.analytics.live())
            assert len(server.asked) == 3
    with serving(events(live(1)), hang_up) as server:
        async with open_client(kind, base_url=server.url) as client:
            stream = client.analytics.live(max_reconnects=2)
            assert await viewers(stream, 1) == [1]
            with pytest.raises(APIConnectionError, match="was lost during GET /analytics/live/stream"):
                await following(stream)
    assert len(server.asked) == 3


async def test_a_server_that_falls_silent_is_left(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "SILENCE", 0.5)
    with serving(events(live(1), stay=True), silence, events(live(2), stay=True)) as server:
        async with open_client(kind, base_url=server.url) as client:
            told: list[APIError] = []
            stream = client.analytics.live(on_interruption=told.append)
            assert await viewers(stream, 2) == [1, 2]
            await done(stream.close())
    assert [type(error) for error in told] == [APITimeoutError, APITimeoutError]


async def test_the_pause_that_the_server_asks_for_is_kept(kind: Kind) -> None:
    with serving(events("retry: 300\n\n", live(1)), events(live(2), stay=True)) as server:
        async with open_client(kind, base_url=server.url) as client:
            stream = client.analytics.live()
            assert await viewers(stream, 2) == [1, 2]
            await done(stream.close())
    first, second = server.asked
    assert second.at - first.at >= 0.3


async def test_a_pause_that_an_error_asks_for_is_kept_up_to_a_minute(kind: Kind) -> None:
    short, long = (refusal(503, retry_after=seconds) for seconds in ("1", "61"))
    with serving(events(live(1)), short, events(live(2)), long) as server:
        async with open_client(kind, base_url=server.url) as client:
            told: list[APIError] = []
            stream = client.analytics.live(on_interruption=told.append)
            assert await viewers(stream, 2) == [1, 2]
            with pytest.raises(UnavailableError) as caught:
                await following(stream)
    assert caught.value.retry_after == 61
    assert [type(error) for error in told] == [APIConnectionError, UnavailableError, APIConnectionError]
    assert server.asked[2].at - server.asked[1].at >= 1
    assert len(server.asked) == 4


async def test_a_pause_of_nothing_is_no_reason_to_ask_without_end(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_retry, "FIRST", 0.2)
    monkeypatch.setattr(_retry, "LONGEST", 0.2)
    with serving(events(live(1)), refusal(503, retry_after="0"), events(live(2), stay=True)) as server:
        async with open_client(kind, base_url=server.url) as client:
            stream = client.analytics.live()
            assert await viewers(stream, 2) == [1, 2]
            await done(stream.close())
    assert server.asked[2].at - server.asked[1].at >= 0.15


async def test_what_is_no_stream_is_told(kind: Kind) -> None:
    with serving(events("event: live\ndata: {}\n\n", stay=True)) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(APIResponseError, match="success: Field required"):
                await following(client.analytics.live())


async def test_a_closed_stream_is_over(kind: Kind) -> None:
    with serving(events(live(1), live(2), stay=True)) as server:
        async with open_client(kind, base_url=server.url) as client:
            stream = client.analytics.live()
            assert await viewers(stream, 1) == [1]
            await done(stream.close())
            await done(stream.close())
            rest = list(stream) if kind is VideoCloud else [each async for each in stream]
            assert rest == []


def test_a_loop_that_is_left_gives_its_connection_back() -> None:
    with serving(events(live(1), live(2), stay=True)) as server, VideoCloud(base_url=server.url) as client:
        for answer in client.analytics.live():
            assert answer.concurrent_viewers == 1
            break
        del answer
        gc.collect()
        (pool,) = (client._io.http._transport._pool,)  # type: ignore[attr-defined]
        assert pool.connections == []
