"""`/analytics/system`: how the platform itself is, and what it does."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import parameters, schemas_system
from api.deps import ParserDep, SystemDep, json
from api.openapi import errors
from api.parameters import EndText, PeriodText, StartText, ZoneText

router = APIRouter(prefix="/analytics/system", tags=["system"])


@router.get(
    "/health",
    summary="Health of the platform",
    response_model=schemas_system.SystemHealthResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas_system.HEALTH_EXAMPLE}}},
        **errors(400, 503),
    },
)
async def get_health(
    request: Request,
    service: SystemDep,
    parser: ParserDep,
    period: PeriodText = None,
    start: StartText = None,
    end: EndText = None,
    timezone: ZoneText = "UTC",
) -> Response:
    """Uptime, response times, error rates and host resources. The default period is `24h`."""
    parameters.check_names(request, parameters.WINDOW_PARAMETERS - {"compare"})
    question = parser.parse(
        period=period,
        default="24h",
        start=start,
        end=end,
        zone=timezone,
    )
    return json(await service.health(question))


@router.get(
    "/performance",
    summary="Performance of the platform",
    response_model=schemas_system.SystemPerformanceResponse,
    responses={
        200: {"content": {"application/json": {"example": schemas_system.PERFORMANCE_EXAMPLE}}},
        **errors(400, 503),
    },
)
async def get_performance(
    request: Request,
    service: SystemDep,
    parser: ParserDep,
    period: PeriodText = None,
    start: StartText = None,
    end: EndText = None,
    timezone: ZoneText = "UTC",
) -> Response:
    """Requests, jobs and storage operations. The default period is `1h`."""
    parameters.check_names(request, parameters.WINDOW_PARAMETERS - {"compare"})
    question = parser.parse(
        period=period,
        default="1h",
        start=start,
        end=end,
        zone=timezone,
    )
    return json(await service.performance(question))
