"""What makes the files: takes jobs one after the other, keeps their lease, and removes old files."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Final

import structlog

from api.exports import orders, queries, writing
from api.exports.jobs import LEASE_SECONDS, Job, Jobs
from api.exports.source import BrokenSourceError, Source
from api.metrics import EXPORT_SECONDS, EXPORTS
from sinks.base import Unavailable
from streams.domain.errors import StoreUnavailableError

_log = structlog.get_logger(__name__)

#: How often a job is looked for that another process queued or left behind.
_LOOK_SECONDS: Final = 2.0
_RENEW_SECONDS: Final = LEASE_SECONDS / 10
_SWEEP_SECONDS: Final = 60.0
_BROKEN: Final = "The data could not be read to its end. Ask again, or for a shorter window."
_NO_SPACE: Final = "The file could not be written on the server: its operator finds the reason in the log."


class _LostLeaseError(Exception):
    """Another process has the job by now."""


class Runner:
    """Makes the exports of one process of the API, one at a time.

    A file is written as `<id>.<owner>.part` and gets its name when it is whole, so a file with an export's
    name is always complete.
    """

    def __init__(self, jobs: Jobs, source: Source, folder: Path, kept_seconds: float) -> None:
        """Start nothing yet. Files older than `kept_seconds` are removed."""
        self._jobs = jobs
        self._source = source
        self.folder = folder
        self._kept = kept_seconds
        self._wanted = asyncio.Event()
        self._swept = float("-inf")

    def wake(self) -> None:
        """Say that there is a new job, so that nobody waits for the next look."""
        self._wanted.set()

    def path(self, job: Job) -> Path:
        """Return where the file of a job is, or will be."""
        return self.folder / f"{job.id}.{job.extension}"

    async def run(self) -> None:
        """Work until cancelled; the job under way is then given back."""
        away = False
        task = asyncio.current_task()
        # A client library may swallow a cancellation that comes with its answer: ask the task as well.
        while task is None or not task.cancelling():
            self._wanted.clear()
            try:
                now = time.time()
                if now - self._swept >= _SWEEP_SECONDS:
                    self._swept = now
                    await asyncio.to_thread(sweep, self.folder, now - self._kept)
                job = await self._jobs.take()
                away = False
                if job is not None:
                    await self._make(job)
                    continue
            except StoreUnavailableError as error:
                if not away:
                    _log.warning("exports wait for Redis", reason=str(error))
                away = True
            except Exception:
                _log.exception("an export ended unexpectedly")
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wanted.wait()

    async def _make(self, job: Job) -> None:
        """Make one file, and write down how that ended."""
        began = time.monotonic()
        part = self.folder / f"{job.id}.{self._jobs.owner}.part"
        try:
            rows = await self._write(job, part)
            size = part.stat().st_size
            part.replace(self.path(job))
            if await self._jobs.complete(job.id, rows, size):
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
            _log.warning("another process took an export over", export=job.id)
        except Unavailable as error:
            # The lease is left to end: then it is tried again, by whoever can.
            _log.warning("an export waits for ClickHouse", export=job.id, reason=str(error))
        except BrokenSourceError as error:
            await self._failed(job, _BROKEN, error)
        except OSError as error:
            await self._failed(job, _NO_SPACE, error)
        finally:
            part.unlink(missing_ok=True)

    async def _failed(self, job: Job, told: str, error: Exception) -> None:
        _log.error("export failed", export=job.id, reason=str(error))
        EXPORTS.labels("failed").inc()
        await self._jobs.fail(job.id, told)

    async def _write(self, job: Job, part: Path) -> int | None:
        """Write the file of a job and return its rows, as far as they are known."""
        order = orders.read(job.order)
        self.folder.mkdir(parents=True, exist_ok=True)
        sink = writing.sink_of(order.format, part)
        # The lease is kept from the start: sorting can take long before the first row comes.
        copying = asyncio.create_task(self._copy(order, sink))
        try:
            while not (await asyncio.wait({copying}, timeout=_RENEW_SECONDS))[0]:
                size = part.stat().st_size if part.exists() else 0
                if not await self._jobs.renew(job.id, sink.rows, size):
                    raise _LostLeaseError
            copying.result()
        finally:
            if not copying.done():
                copying.cancel()
                await asyncio.wait({copying})
        return sink.rows

    async def _copy(self, order: orders.Order, sink: writing.Sink) -> None:
        """Ask ClickHouse, and write what it answers."""
        encoding = writing.ENCODINGS[order.format]
        try:
            query = queries.statement(order)
            async with self._source.stream(query, encoding, dict(writing.SETTINGS)) as pieces:
                await writing.write(pieces, sink)
        except BaseException:
            sink.abandon()
            raise


def sweep(folder: Path, before: float) -> None:
    """Remove what exports left in a folder and nobody touched since `before` (epoch seconds)."""
    if not folder.is_dir():
        return
    for path in folder.glob("exp_*"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                if path.is_dir():
                    rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
