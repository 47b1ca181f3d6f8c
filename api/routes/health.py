"""Liveness, readiness and metrics, for orchestrators and Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import structlog
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from api import schemas
from api.deps import StoresDep
from streams.domain.errors import MigrationError, StoreError

router = APIRouter(tags=["operations"])


_log = structlog.get_logger(__name__)


class _Answer(Enum):
    """The result of probing a store."""

    UP = "up"
    DOWN = "down"
    #: It is up, but its tables are those of an older version, so this process is not ready.
    LACKING = "lacking"


async def _answer(probe: Callable[[], Awaitable[None]]) -> _Answer:
    try:
        await probe()
    except StoreError:
        return _Answer.DOWN
    except MigrationError as error:
        _log.warning("not ready", reason=str(error))
        return _Answer.LACKING
    return _Answer.UP


@router.get("/healthz", summary="Liveness", response_model=schemas.Health)
async def healthz() -> dict[str, Any]:
    """Answers at once, also while stores are down: a store that is down is no reason to restart the API."""
    return {"status": "ok", "stores": {}}


@router.get(
    "/readyz",
    summary="Readiness",
    response_model=schemas.Health,
    responses={503: {"model": schemas.Health, "description": "No store answers, or tables are missing."}},
)
async def readyz(stores: StoresDep) -> Response:
    """Queries each store: `degraded` when one of them does not answer, 503 when none does."""
    found = await asyncio.gather(*(_answer(probe) for probe in stores.probes.values()))
    up = [answer is _Answer.UP for answer in found]
    # Before `vca migrate`, processes of the old version can answer, and this one cannot.
    ready = any(up) and _Answer.LACKING not in found
    status = "unavailable" if not ready else "ok" if all(up) else "degraded"
    content = {"status": status, "stores": dict(zip(stores.probes, up, strict=True))}
    return JSONResponse(content, 200 if ready else 503)


@router.get("/metrics", summary="Counters for Prometheus", include_in_schema=False)
async def metrics() -> Response:
    """Return the counters of this process in Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
