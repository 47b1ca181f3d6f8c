"""Downloads of exports, written atomically: a file is complete or does not exist."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import httpx2

from videocloud._calls import Call
from videocloud._sending import Sender
from videocloud.errors import APIConnectionError

#: Called with the bytes received so far and the total, which is None if unknown.
Progress = Callable[[int, int | None], object]

_NAME: Final = re.compile(r'filename="?([\w][\w.-]*)"?', re.ASCII)
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)


class _Draft:
    """A temporary file beside its target, which replaces the target when it is complete."""

    def __init__(self, target: Path) -> None:
        folder = target if target.is_dir() else target.parent
        self._target = target
        self._path = folder / f".videocloud-{secrets.token_hex(8)}.part"
        self._file: BinaryIO = self._path.open("xb")

    def again(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)

    def finish(self, name: str) -> Path:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        target = self._target / name if self._target.is_dir() else self._target
        self._path.replace(target)
        return target

    def discard(self) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            self._path.unlink()


class _Transfer:
    """The progress of a download, across several connections if needed. Decides, and does no I/O."""

    def __init__(self, call: Call, name: str) -> None:
        self.call = call
        self.name = name
        self.done = 0
        self.total: int | None = None
        self._tag = ""

    def request(self) -> Call:
        """Return the next request: for the missing rest, if an ETag can prove that the file is the same."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.done and self._tag:
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self._tag}
        return Call("GET", self.call.path, headers=headers)

    def goes_on(self, response: httpx2.Response) -> bool:
        """Read the headers of a response; return whether it continues where the last one was lost."""
        if named := _NAME.search(response.headers.get("content-disposition", "")):
            self.name = named[1]
        # Content-Length and ranges count encoded bytes, not those of the file.
        encoded = "content-encoding" in response.headers
        self._tag = "" if encoded else response.headers.get("etag", "")
        part = _RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code == 206 and part and int(part[1]) == self.done:
            self.total = int(part[2])
            return True
        length = response.headers.get("content-length", "")
        self.done, self.total = 0, int(length) if length.isdigit() and not encoded else None
        return False


async def fetch(sender: Sender, url: str, target: Path, name: str, progress: Progress | None) -> Path:
    """Download a link to a file, and return the file's path.

    `target` is the file, or a folder, in which the file gets the name that the API gives it, else `name`. An
    existing file is replaced when the new one is complete and on disk. After a lost connection the download
    resumes. Raises APIError and OSError.
    """
    io = sender.io
    transfer = _Transfer(Call("GET", url), name)
    draft = await io.run(partial(_Draft, target))
    try:
        attempt = 0
        while True:
            before = transfer.done
            try:
                await _receive(sender, transfer, draft, progress)
                return await io.run(partial(draft.finish, transfer.name))
            except httpx2.RequestError as error:
                lost = sender.lost(transfer.call, error)
                attempt = 0 if transfer.done > before else attempt
                pause = sender.pause(lost, attempt)
                if pause is None:
                    raise lost from error
            await io.sleep(pause)
            attempt += 1
    except BaseException:
        # Not in a thread: this must also happen when the task is cancelled.
        draft.discard()
        raise


async def _receive(sender: Sender, transfer: _Transfer, draft: _Draft, progress: Progress | None) -> None:
    io = sender.io
    response = await sender.send(transfer.request())
    try:
        if not transfer.goes_on(response):
            await io.run(draft.again)
        async for chunk in io.chunks(response):
            await io.run(partial(draft.write, chunk))
            transfer.done += len(chunk)
            if progress is not None:
                progress(transfer.done, transfer.total)
    finally:
        await io.end(response)
    if transfer.total is not None and transfer.done != transfer.total:
        raise APIConnectionError(
            f"{transfer.call} ended after {transfer.done} of {transfer.total} bytes: download it again."
        )
