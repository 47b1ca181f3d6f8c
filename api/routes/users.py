"""`/analytics/users`: who is active, who comes and stays, and how their sessions go."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import parameters, schemas_users
from api.deps import ParserDep, UsersDep, json
from api.openapi import errors
from api.parameters import CompareText, EndText, MetricsText, PeriodText, StartText, ZoneText
from streams.domain.definitions import USERS
from streams.domain.metrics import groups_of

router = APIRouter(prefix="/analytics/users", tags=["users"])


@router.get(
    "",
    summary="Users",
    response_model=schemas_users.UsersResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas_users.USERS_EXAMPLE}}},
        **errors(400, 503),
    },
)
async def get_users(
    request: Request,
    service: UsersDep,
    parser: ParserDep,
    period: PeriodText = None,
    metrics: MetricsText = None,
    compare: CompareText = parameters.PREVIOUS,
    start: StartText = None,
    end: EndText = None,
    timezone: ZoneText = "UTC",
) -> Response:
    """Activity, growth and retention; every count of users is exact. The default period is `30d`.

    `compare=none` leaves `churnRate` out.
    """
    parameters.check_names(request, parameters.WINDOW_PARAMETERS | {"metrics"}, {"metrics"})
    question = parser.parse(
        period=period,
        default="30d",
        start=start,
        end=end,
        zone=timezone,
        compare=compare,
    )
    return json(await service.users(question, groups_of(USERS, metrics)))


@router.get(
    "/engagement",
    summary="Engagement of users",
    response_model=schemas_users.UserEngagementResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas_users.ENGAGEMENT_EXAMPLE}}},
        **errors(400, 503),
    },
)
async def get_engagement(
    request: Request,
    service: UsersDep,
    parser: ParserDep,
    period: PeriodText = None,
    start: StartText = None,
    end: EndText = None,
    timezone: ZoneText = "UTC",
) -> Response:
    """Duration, page views and bounces of sessions, by type of user and hour. The default period is `7d`."""
    parameters.check_names(request, parameters.WINDOW_PARAMETERS - {"compare"})
    question = parser.parse(
        period=period,
        default="7d",
        start=start,
        end=end,
        zone=timezone,
    )
    return json(await service.engagement(question))
