"""Whether the process lives, whether it can answer, and what it counted: for orchestrators and Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from api import schemas
from api.deps import StoresDep
from streams.domain.errors import StoreError

router = APIRouter(tags=["operations"])


async def _answers(probe: Callable[[], Awaitable[None]]) -> bool:
    try:
        await probe()
    except StoreError:
        return False
    return True


@router.get("/healthz", summary="The process lives", response_model=schemas.Health)
async def healthz() -> dict[str, Any]:
    """Answer at once, whatever the stores do: a store that is down is no reason to restart the API."""
    return {"status": "ok", "stores": {}}


@router.get(
    "/readyz",
    summary="The API can answer",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health, "description": "No store answers."}},
)
async def readyz(stores: StoresDep) -> Response:
    """Ask each store: `degraded` when one of them does not answer, 503 when none does."""
    up = await asyncio.gather(*(_answers(probe) for probe in stores.probes.values()))
    status = "ok" if all(up) else "degraded" if any(up) else "unavailable"
    content = {"status": status, "stores": dict(zip(stores.probes, up, strict=True))}
    return JSONResponse(content, 200 if any(up) else 503)


@router.get("/metrics", summary="Counters for Prometheus", include_in_schema=False)
async def metrics() -> Response:
    """Return the counters of this process in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
