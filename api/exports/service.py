"""The service of exports: queues orders, returns their status, and finds their files."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from api.exports import signed_links
from api.exports.errors import (
    ExpiredExportError,
    FailedExportError,
    UnfinishedExportError,
    UnknownExportError,
)
from api.exports.jobs import Job, Jobs, Status, new_id
from api.exports.orders import Order
from api.exports.runner import Runner
from api.exports.source import Source
from api.exports.storage import Folder, Storage, StorageRefusedError, StorageUnavailableError
from api.settings import Settings
from api.tasks import stop
from sinks.redis.client import CircuitBreaker
from streams.domain.errors import StoreUnavailableError
from streams.domain.windows import rfc3339

_ID: Final = re.compile(r"exp_[0-9a-f]{24}", re.ASCII)
_log = structlog.get_logger(__name__)


def gone(export_id: str) -> FailedExportError:
    """Return the error for a file that somebody removed before its time, and log it."""
    _log.warning("the file of an export was removed before it expired", export=export_id)
    return FailedExportError(export_id, "The file is not there any more. Ask for a new export.")


class ExportService:
    """The exports of one application. Methods raise `StoreUnavailableError` while Redis cannot be used."""

    def __init__(self, settings: Settings, redis: Any, breaker: CircuitBreaker) -> None:
        """Use a Redis client that returns bytes, and a breaker that bounds its calls; start nothing yet."""
        self._jobs = Jobs(redis, breaker)
        self._source = Source(settings.clickhouse_url)
        self._lifetime = timedelta(hours=settings.export_hours)
        self._storage = _storage(settings)
        self._runner = Runner(self._jobs, self._source, self._storage, self._lifetime.total_seconds())
        self._secret = settings.export_secret.get_secret_value() if settings.export_secret else ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Make files in the background; at the end, return the running job to the queue."""
        working = asyncio.create_task(self._runner.run())
        try:
            yield
        finally:
            await stop(working)
            await self._source.close()

    async def create(self, order: Order, now: datetime, base: str) -> dict[str, Any]:
        """Queue an order and return its description; `base` is the beginning of links."""
        created = now.replace(microsecond=0)
        job = Job(new_id(), order.to_json(), order.format, Status.QUEUED, created, created + self._lifetime)
        await self._jobs.add(job)
        self._runner.wake()
        return await self._describe(job, base)

    async def status(self, export_id: str, now: datetime, base: str) -> dict[str, Any]:
        """Return the description of an export."""
        return await self._describe(await self._find(export_id, now), base)

    async def file(self, export_id: str, token: str, now: datetime) -> tuple[Path | str, str]:
        """Return an export's file (the path on disk, or a URL to download it) and its format.

        Raises an error of `api.exports.errors` for a link that is not valid, and for a file that is not
        there.
        """
        signed_links.check(await self._signing_secret(), export_id, token, now)
        job = await self._find(export_id, now)
        if job.status is Status.FAILED:
            raise FailedExportError(export_id, job.reason)
        if job.status is not Status.COMPLETED:
            raise UnfinishedExportError(export_id, job.status.value)
        try:
            found = await self._storage.find(job, now)
        except (StorageUnavailableError, StorageRefusedError) as error:
            raise StoreUnavailableError("exports", str(error)) from error
        if found is None:
            raise gone(export_id)
        return found, job.extension

    async def _find(self, export_id: str, now: datetime) -> Job:
        job = await self._jobs.find(export_id) if _ID.fullmatch(export_id) else None
        if job is None:
            raise UnknownExportError
        if now >= job.expires:
            raise ExpiredExportError(export_id)
        return job

    async def _describe(self, job: Job, base: str) -> dict[str, Any]:
        token = signed_links.token(await self._signing_secret(), job.id, job.expires)
        answer: dict[str, Any] = {
            "exportId": job.id,
            "status": job.status.value,
            "downloadUrl": f"{base}/analytics/export/{job.id}/download?token={token}",
            "expiresAt": rfc3339(job.expires),
            "rows": job.rows,
            "bytes": job.bytes,
        }
        if job.status is Status.FAILED:
            answer["error"] = {"code": "ANALYTICS_EXPORT_FAILED", "message": job.reason}
        return answer

    async def _signing_secret(self) -> str:
        # That in Redis is not kept: after Redis lost its data, all processes must use the same new one.
        return self._secret or await self._jobs.secret()


def _storage(settings: Settings) -> Storage:
    if settings.export_s3_url is None:
        return Folder(Path(settings.export_dir))
    # The extra `s3` is imported only if it is used.
    from api.exports.bucket import bucket_of

    return bucket_of(settings)
