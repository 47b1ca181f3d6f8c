"""The background worker of exports: takes jobs one by one, renews their lease, and removes old files."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import structlog

from api.exports import orders, queries, writers
from api.exports.jobs import LEASE_SECONDS, Job, Jobs, Status
from api.exports.source import BrokenSourceError, Source
from api.exports.storage import Draft, Storage, StorageRefusedError, StorageUnavailableError
from api.metrics import EXPORT_SECONDS, EXPORTS
from sinks.base import Unavailable
from streams.domain.errors import StoreUnavailableError

_log = structlog.get_logger(__name__)

T = TypeVar("T")

#: How often it checks for jobs that another process queued or left behind.
_LOOK_SECONDS: Final = 2.0
_RENEW_SECONDS: Final = LEASE_SECONDS / 10
#: How often it tries to store an outcome while Redis is away.
_STORE_SECONDS: Final = 1.0
_BROKEN: Final = "The data could not be read to its end. Ask again, or for a shorter window."
_NO_SPACE: Final = "The file could not be written on the server: its operator finds the reason in the log."


class _LostLeaseError(Exception):
    """Another process has the job now."""


class Runner:
    """Makes the exports of one process of the API, one at a time."""

    def __init__(self, jobs: Jobs, source: Source, storage: Storage, kept_seconds: float) -> None:
        """Start nothing yet. Files older than `kept_seconds` are removed."""
        self._jobs = jobs
        self._source = source
        self._storage = storage
        self._kept = kept_seconds
        self._wanted = asyncio.Event()
        self._swept = float("-inf")

    def wake(self) -> None:
        """Wake the runner for a new job, before its next check."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled; a running job then returns to the queue."""
        away = False
        task = asyncio.current_task()
        # A client library may swallow a cancellation that comes with its answer: ask the task as well.
        while task is None or not task.cancelling():
            self._wanted.clear()
            try:
                await self._sweep(time.time())
                job = await self._jobs.take()
                away = False
                if job is not None:
                    if job.status is Status.FAILED:
                        _record_failure(job, job.reason)
                    else:
                        await self._make(job)
                    continue
            except StoreUnavailableError as error:
                if not away:
                    _log.warning("exports wait until Redis answers", reason=str(error))
                away = True
            except Exception:
                _log.exception("an export ended unexpectedly")
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wanted.wait()

    async def _sweep(self, now: float) -> None:
        """Remove old files now and then; a failure only logs a warning, and jobs go on."""
        if now - self._swept < self._storage.sweep_seconds:
            return
        self._swept = now
        try:
            await self._storage.sweep(now - self._kept)
        except (StorageUnavailableError, StorageRefusedError) as error:
            _log.warning("old exports were not removed", reason=str(error))

    async def _make(self, job: Job) -> None:
        """Make one file, and store the outcome in the job."""
        began = time.monotonic()
        draft: Draft | None = None
        try:
            draft = await self._storage.draft(job, self._jobs.owner)
            await self._write(job, draft)
            rows, size = draft.sink.rows, draft.sink.size
            # A process that was paused may find the file of the one that has the job now: it must stay.
            if not await self._store(job, partial(self._jobs.renew, job.id, rows, size)):
                raise _LostLeaseError
            await self._with_lease(job, draft, draft.publish())
            if await self._store(job, partial(self._jobs.complete, job.id, rows, size)):
                seconds = time.monotonic() - began
                EXPORTS.labels("completed").inc()
                EXPORT_SECONDS.observe(seconds)
                _log.info("export completed", export=job.id, rows=rows, bytes=size, seconds=round(seconds, 1))
        except asyncio.CancelledError:
            with suppress(StoreUnavailableError, TimeoutError):
                async with asyncio.timeout(2):
                    await self._jobs.release(job.id)
            raise
        except _LostLeaseError:
            _log.warning("another process took over an export", export=job.id)
        except (Unavailable, StorageUnavailableError) as error:
            # The lease expires, and then any process tries the job again.
            _log.warning("an export waits for a store and will be retried", export=job.id, reason=str(error))
        except BrokenSourceError as error:
            await self._failed(job, _BROKEN, error)
        except (OSError, StorageRefusedError) as error:
            await self._failed(job, _NO_SPACE, error)
        finally:
            if draft is not None:
                # Also of an order that could not be read, or a task that was cancelled before it began.
                draft.sink.abandon()
                draft.discard()

    async def _failed(self, job: Job, reason: str, error: Exception) -> None:
        _record_failure(job, str(error))
        await self._store(job, partial(self._jobs.fail, job.id, reason))

    async def _store(self, job: Job, outcome: Callable[[], Awaitable[T]]) -> T:
        """Store the outcome of a job, once Redis answers: the work is done, and would only be done again.

        If the lease expires meanwhile, another process may take the job; the outcome is then ignored.
        """
        away = False
        while True:
            try:
                return await outcome()
            except StoreUnavailableError as error:
                if not away:
                    _log.warning(
                        "an export is over, and waits until Redis answers", export=job.id, reason=str(error)
                    )
                away = True
            await asyncio.sleep(_STORE_SECONDS)

    async def _write(self, job: Job, draft: Draft) -> None:
        """Write the whole file of a job."""
        order = orders.from_json(job.order)
        await self._with_lease(job, draft, self._copy(order, draft.sink))

    async def _with_lease(self, job: Job, draft: Draft, work: Coroutine[Any, Any, None]) -> None:
        """Renew the lease while some work runs: sorting may take long before the first row comes."""
        working = asyncio.create_task(work)
        renewed = time.monotonic()
        try:
            while not (await asyncio.wait({working}, timeout=_RENEW_SECONDS))[0]:
                began = time.monotonic()
                try:
                    if not await self._jobs.renew(job.id, draft.sink.rows, draft.sink.size):
                        raise _LostLeaseError
                    renewed = began
                except StoreUnavailableError:
                    # Redis may be away for a moment; until the lease expires, no other process has the job.
                    if began - renewed > LEASE_SECONDS - 2 * _RENEW_SECONDS:
                        raise
            working.result()
        finally:
            if not working.done():
                working.cancel()
                await asyncio.wait({working})

    async def _copy(self, order: orders.Order, sink: writers.Sink) -> None:
        """Run the query, and write its result."""
        query, encoding = queries.statement(order), writers.ENCODINGS[order.format]
        async with self._source.stream(query, encoding, dict(writers.SETTINGS)) as pieces:
            await writers.write(pieces, sink)


def _record_failure(job: Job, reason: str) -> None:
    _log.error("export failed", export=job.id, reason=reason)
    EXPORTS.labels("failed").inc()
