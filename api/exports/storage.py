"""The storage of export files: a folder on disk, or S3-compatible storage.

A file appears atomically under the name `<id>.<extension>`; while it is written, it has another name or none.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from shutil import rmtree
from typing import Final, Protocol

from api.exports import writers
from api.exports.jobs import Job

#: How often the folder is searched for old files.
_DISK_SWEEP_SECONDS: Final = 60.0


class StorageUnavailableError(Exception):
    """The storage cannot be reached now; the message is for the log."""


class StorageRefusedError(Exception):
    """The storage refuses the file permanently; the message is for the log."""


class Draft(Protocol):
    """A file that is being written. The methods of `sink` block; those of the draft do not."""

    sink: writers.Sink

    async def publish(self) -> None:
        """Give the closed file its name; raise `StorageRefusedError` or `StorageUnavailableError`."""

    def discard(self) -> None:
        """Remove what is left of the draft; nothing after `publish`."""


class Storage(Protocol):
    """Keeps files. Methods raise `StorageUnavailableError` when the storage cannot be reached now."""

    sweep_seconds: float
    """How often it is worth looking for old files."""

    async def draft(self, job: Job, owner: str) -> Draft:
        """Begin the file of a job; `owner` is the process that writes it."""

    async def find(self, job: Job, now: datetime) -> Path | str | None:
        """Return the path of a file, or an address that opens it for a while; None when it is gone."""

    async def sweep(self, before: float) -> None:
        """Remove files of exports that were last modified before `before` (epoch seconds)."""


def name_of(job: Job) -> str:
    """Return the name of a job's file."""
    return f"{job.id}.{job.extension}"


class Folder:
    """`Storage` in a folder, which all processes that share the jobs must share."""

    sweep_seconds = _DISK_SWEEP_SECONDS

    def __init__(self, path: Path) -> None:
        """Name the folder; it is made when it is needed."""
        self._path = path

    async def draft(self, job: Job, owner: str) -> Draft:
        """See `Storage.draft`."""
        return LocalDraft(self._path / f"{job.id}.{owner}.part", self._path / name_of(job))

    async def find(self, job: Job, now: datetime) -> Path | None:
        """See `Storage.find`."""
        path = self._path / name_of(job)
        return path if path.exists() else None

    async def sweep(self, before: float) -> None:
        """See `Storage.sweep`."""
        await asyncio.to_thread(sweep, self._path, before)


class LocalDraft:
    """`Draft` on disk."""

    def __init__(self, part: Path, whole: Path) -> None:
        """Create the file under the name `part`; when it is kept, it is called `whole`."""
        # Files have whole tables: other accounts of the machine must not read them.
        part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._part, self._whole = part, whole
        form = whole.suffix[1:]
        if writers.needs_disk(form):
            self.sink = writers.workbook(part)
        else:
            self.sink = writers.sink_of(form, writers.LocalFile(part))

    async def publish(self) -> None:
        """See `Draft.publish`."""
        self._part.replace(self._whole)

    def discard(self) -> None:
        """See `Draft.discard`."""
        self._part.unlink(missing_ok=True)


def sweep(folder: Path, before: float) -> None:
    """Remove files of exports in a folder that were last modified before `before` (epoch seconds)."""
    if not folder.is_dir():
        return
    for path in folder.glob("exp_*"):
        with suppress(OSError):
            if path.stat().st_mtime < before:
                if path.is_dir():
                    rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
