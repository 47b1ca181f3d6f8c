"""Files of exports, written so that a file is whole or not there."""

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

#: Called with the bytes so far and the bytes in all, None where that is not known.
Progress = Callable[[int, int | None], object]

_NAME: Final = re.compile(r'filename="?([\w][\w.-]*)"?', re.ASCII)
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)


class _Draft:
    """A file that is being written beside the one that it will be."""

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
    """How far a download is, over several connections if need be. Decides, and does nothing itself."""

    def __init__(self, call: Call, name: str) -> None:
        self.call = call
        self.name = name
        self.done = 0
        self.total: int | None = None
        self._tag = ""

    def request(self) -> Call:
        """Return the next request: for what is missing, where the server can tell that it is the same."""
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if self.done and self._tag:
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self._tag}
        return Call("GET", self.call.path, headers=headers)

    def goes_on(self, response: httpx2.Response) -> bool:
        """Take the head of an answer; say whether it goes on from where the last one was lost."""
        if named := _NAME.search(response.headers.get("content-disposition", "")):
            self.name = named[1]
        # Bytes of an encoded file are not those that Content-Length and ranges count.
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
    """Write what is behind a link into a file, and return its path.

    `target` is the file, or a folder that gets it under the name that the API gives it, else `name`. What
    is there under that name is replaced when the new file is whole and on disk. A connection that is lost
    is made again, and goes on where it was. Raises what asking raises, and OSError.
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
        # Without a thread: this must also be done when the task is cancelled.
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
            f"{transfer.call} ended after {transfer.done} of {transfer.total} bytes: ask again."
        )
