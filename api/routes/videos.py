"""`/analytics/videos`: one video, and all of them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import parameters, schemas
from api.deps import ParserDep, VideosDep, json
from api.encoded_slash import VideoId
from api.openapi import errors
from api.parameters import (
    CompareText,
    EndText,
    GroupByText,
    MetricsText,
    PeriodText,
    StartText,
    ZoneText,
)
from streams.domain.definitions import VIDEO
from streams.domain.metrics import groups_of

router = APIRouter(prefix="/analytics/videos", tags=["videos"])


@router.get(
    "/summary",
    summary="All videos",
    response_model=schemas.SummaryResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas.SUMMARY_EXAMPLE}}},
        **errors(400, 503),
    },
)
async def get_summary(
    request: Request,
    service: VideosDep,
    parser: ParserDep,
    period: PeriodText = None,
    start: StartText = None,
    end: EndText = None,
    timezone: ZoneText = "UTC",
    compare: CompareText = parameters.PREVIOUS,
) -> Response:
    """Totals, averages, the ten most viewed videos and trends. The default period is `30d`."""
    parameters.check_names(request, parameters.WINDOW_PARAMETERS)
    question = parser.parse(
        period=period,
        default="30d",
        start=start,
        end=end,
        zone=timezone,
        compare=compare,
    )
    return json(await service.summary(question))


@router.get(
    "/{id}",
    summary="One video",
    response_model=schemas.VideoResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas.VIDEO_EXAMPLE}}},
        **errors(400, 404, 503),
    },
)
async def get_video(
    request: Request,
    service: VideosDep,
    parser: ParserDep,
    video_id: VideoId,
    period: PeriodText = None,
    metrics: MetricsText = None,
    groupBy: GroupByText = None,  # noqa: N803
    compare: CompareText = parameters.PREVIOUS,
    start: StartText = None,
    end: EndText = None,
    timezone: ZoneText = "UTC",
) -> Response:
    """Views, engagement and playback quality: totals and timelines. The default period is `7d`.

    Returns 404 unless the catalog has the video or it ever had an event.
    """
    parameters.check_names(request, parameters.WINDOW_PARAMETERS | {"metrics", "groupBy"}, {"metrics"})
    question = parser.parse(
        period=period,
        default="7d",
        start=start,
        end=end,
        zone=timezone,
        compare=compare,
    )
    groups = groups_of(VIDEO, metrics)
    return json(await service.video(video_id, question, groups, groupBy))
