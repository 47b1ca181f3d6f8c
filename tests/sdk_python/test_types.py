"""One definition serves both clients; type checkers and `help()` see it as if it were written for each."""

from __future__ import annotations

import inspect
import json
import pickle
from collections.abc import Callable, Coroutine
from typing import Any, assert_type

import pytest
from videocloud import AsyncLiveStream, AsyncVideoCloud, LiveStream, VideoCloud, models
from videocloud._io import SyncIO, finish
from videocloud._operation import operation
from videocloud.analytics import Analytics
from videocloud.events import VideoLike

OPERATIONS = [name for name, what in vars(Analytics).items() if isinstance(what, operation)]


async def _what_mypy_sees(client: VideoCloud, awaited: AsyncVideoCloud) -> None:
    """Fails in `make check`, and is never called."""
    assert_type(client.analytics.get_video("v", period="7d", metrics=["views"]), models.Video)
    assert_type(await awaited.analytics.get_video("v"), models.Video)
    # Who requests a group need not check that it is there.
    assert_type(client.analytics.get_video("v").views.total, int)
    assert_type(client.analytics.get_users(metrics=["growth"]).growth.new_users, int)
    assert_type(client.analytics.get_videos_summary().trends.views, float | None)
    assert_type(client.analytics.live(), LiveStream[models.Live])
    assert_type(awaited.analytics.video_live("v"), AsyncLiveStream[models.VideoLive])
    assert_type(client.close, Callable[[], None])
    assert_type(awaited.close, Callable[[], Coroutine[Any, Any, None]])
    assert_type(client.events.video_like(video_id="v", session_id="s", user_id="u"), VideoLike)
    assert_type(client.with_options(timeout=1), VideoCloud)
    client.analytics.get_video("v", period="2d")  # type: ignore[arg-type]
    client.analytics.get_users(metrics=["views"])  # type: ignore[list-item]
    client.events.video_like(session_id="s", user_id="u")  # type: ignore[call-arg]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_method_blocks_on_one_client_and_is_awaited_on_the_other(name: str) -> None:
    with VideoCloud() as client:
        blocking = getattr(client.analytics, name)
    async with AsyncVideoCloud() as awaited:
        suspending = getattr(awaited.analytics, name)
    assert inspect.signature(blocking) == inspect.signature(suspending)
    assert (inspect.iscoroutinefunction(blocking), inspect.iscoroutinefunction(suspending)) == (False, True)
    assert blocking.__doc__ == suspending.__doc__ == getattr(Analytics, name).__doc__
    assert blocking.__name__ == name


async def test_the_blocking_client_also_works_where_an_event_loop_runs() -> None:
    io = SyncIO(http=None)
    assert finish(io.run(lambda: 42)) == 42


def test_a_coroutine_that_suspends_is_a_fault_of_ours() -> None:
    class Suspending:
        def __await__(self) -> Any:
            yield

    async def suspends() -> None:
        await Suspending()

    with pytest.raises(RuntimeError, match="must not suspend"):
        finish(suspends())


def _video(**groups: Any) -> models.Video:
    period = {"start": "2024-03-01T00:00:00Z", "end": "2024-03-02T00:00:00Z"}
    return models.Video.model_validate({"period": period, **groups})


def test_a_part_that_was_not_requested_is_no_attribute_and_its_error_says_why() -> None:
    reactions = {"likes": 1, "comments": 2, "shares": 3, "timeline": []}
    video = _video(engagement={"averageWatchTime": 1.5, "completionRate": None, **reactions}, views=None)
    assert video.engagement.likes == 1
    assert not hasattr(video, "views")
    with pytest.raises(
        AttributeError, match="this Video has no 'performance', because the request excluded it"
    ):
        video.performance  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        video.nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="only responses of the API have `meta`"):
        video.meta  # noqa: B018


@pytest.mark.filterwarnings("error")
def test_a_response_without_a_part_can_be_dumped_copied_and_compared() -> None:
    video = _video()
    assert set(video.model_dump(by_alias=True)) == {"period"}
    assert set(json.loads(video.model_dump_json())) == {"period"}
    assert repr(video) == f"Video(period={video.period!r})"
    for copy in (
        video.model_copy(),
        video.model_copy(deep=True),
        pickle.loads(pickle.dumps(video)),
        _video(),
    ):
        assert copy == video
        assert not hasattr(copy, "views")
