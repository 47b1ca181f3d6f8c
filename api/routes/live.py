"""What is going on now, asked once or streamed as server-sent events.

`/analytics/live` and `/analytics/videos/{id}/live`; a stream tells the same every second.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from api import parameters, schemas_live
from api.auth import check_again, key_of
from api.deps import ClockDep, Now, Stores, StoresDep, json
from api.encoded_slash import VideoId
from api.errors import UnauthorizedError
from api.live_feed import Update, error_update
from api.openapi import errors

router = APIRouter(prefix="/analytics", tags=["live"])

_ALL_TAKEN = {
    503: {"ANALYTICS_TOO_MANY_STREAMS": "This server sends 200 streams at once, and all are taken."},
}
_STREAM: dict[str, Any] = {
    "description": "An event `live` with the response every second, or an event `error` while there is none.",
}


def _key_id(request: Request, stores: Stores) -> str | None:
    return None if stores.keyring.open else key_of(request).id


async def _while_valid(request: Request, updates: AsyncIterator[Update]) -> AsyncIterator[Update]:
    """Yield updates until the caller's key is revoked, and then the error."""
    async for update in updates:
        try:
            await check_again(request)
        except UnauthorizedError as error:
            yield error_update(error, str(error))
            return
        yield update


async def _everything(
    request: Request, stores: StoresDep, clock: ClockDep
) -> AsyncIterator[AsyncIterator[Update]]:
    parameters.check_names(request, ())
    async with stores.feeds.subscribe(
        "", lambda: stores.live.everything(clock()), _key_id(request, stores)
    ) as updates:
        yield _while_valid(request, updates)


async def _video(
    request: Request, stores: StoresDep, clock: ClockDep, video_id: VideoId
) -> AsyncIterator[AsyncIterator[Update]]:
    parameters.check_names(request, ())
    async with stores.feeds.subscribe(
        video_id, lambda: stores.live.video(video_id, clock()), _key_id(request, stores)
    ) as updates:
        yield _while_valid(request, updates)


@router.get(
    "/live",
    summary="Live numbers",
    response_model=schemas_live.LiveResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas_live.LIVE_EXAMPLE}}},
        **errors(400, 503),
    },
)
async def get_live(request: Request, stores: StoresDep, now: Now) -> Response:
    """Concurrent viewers, the last 60 minutes by minute, and trending videos."""
    parameters.check_names(request, ())
    return json(await stores.live.everything(now))


@router.get(
    "/live/stream",
    summary="Live numbers, as a stream",
    response_class=EventSourceResponse,
    responses={200: _STREAM, **errors(400, 503, more=_ALL_TAKEN)},
)
async def stream_live(
    updates: Annotated[AsyncIterator[Update], Depends(_everything)],
) -> AsyncIterator[ServerSentEvent]:
    """The response of `/analytics/live` every second, as server-sent events, until the client disconnects."""
    async for update in updates:
        yield ServerSentEvent(raw_data=update.data, event=update.event)


@router.get(
    "/videos/{id}/live",
    summary="Live numbers of one video",
    response_model=schemas_live.VideoLiveResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas_live.VIDEO_LIVE_EXAMPLE}}},
        **errors(400, 404, 503),
    },
)
async def get_video_live(request: Request, stores: StoresDep, now: Now, video_id: VideoId) -> Response:
    """Concurrent viewers of a video, and its last 60 minutes by minute."""
    parameters.check_names(request, ())
    return json(await stores.live.video(video_id, now))


@router.get(
    "/videos/{id}/live/stream",
    summary="Live numbers of one video, as a stream",
    response_class=EventSourceResponse,
    responses={200: _STREAM, **errors(400, 404, 503, more=_ALL_TAKEN)},
)
async def stream_video_live(
    updates: Annotated[AsyncIterator[Update], Depends(_video)],
) -> AsyncIterator[ServerSentEvent]:
    """The response of `/analytics/videos/{id}/live` every second, as server-sent events."""
    async for update in updates:
        yield ServerSentEvent(raw_data=update.data, event=update.event)
