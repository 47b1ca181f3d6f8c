"""One definition serves both clients; type checkers and `help()` see it as if it were written for each."""

from __future__ import annotations

import inspect
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
