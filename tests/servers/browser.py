"""A page in a real browser: headless Chromium, controlled over its DevTools protocol."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import aiohttp

_COMMANDS: Final = ("chromium", "google-chrome", "chromium-browser")
_START_SECONDS: Final = 30


@cache
def chromium() -> str | None:
    """Return the command of a Chromium on this machine; None if there is none that runs."""
    for command in filter(None, map(shutil.which, _COMMANDS)):
        # On some distributions the command only prints how to install Chromium.
        if subprocess.run([command, "--version"], capture_output=True).returncode == 0:
            return command
    return None


class Page:
    """One page. `complaints` holds its uncaught exceptions and log entries."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Control the page over a DevTools socket."""
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            told = await self._socket.receive_json(timeout=_START_SECONDS)
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]
            if told["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(told["params"]["exceptionDetails"]))
            elif told["method"] == "Log.entryAdded":
                self.complaints.append(told["params"]["entry"]["text"])

    async def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str, seconds: float = 30) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while not await self.run(script):
            if time.monotonic() > deadline:
                text = await self.run("document.body?.innerText")
                raise AssertionError(f"not so: {script}\n{text}\n{self.complaints}")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def opened(address: str, folder: Path) -> AsyncIterator[Page]:
    """Open a page in a browser of its own, whose profile is in `folder`."""
    command = chromium()
    assert command is not None
    # Chromium's own sandbox needs a user that is not root.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    options = ["--headless=new", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    browser = await asyncio.create_subprocess_exec(
        command, *options, *sandbox, "about:blank", stdout=DEVNULL, stderr=PIPE
    )
    try:
        async with asyncio.timeout(_START_SECONDS):
            port = await _port(browser)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            targets = await (await session.get("/json")).json()
            target = next(each for each in targets if each["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                for domain in ("Runtime", "Log", "Page"):
                    await page.call(f"{domain}.enable")
                await page.call("Page.navigate", url=address)
                yield page
    finally:
        browser.terminate()
        await browser.communicate()


async def _port(browser: Process) -> int:
    assert browser.stderr is not None
    async for line in browser.stderr:
        if found := re.search(rb"ws://127\.0\.0\.1:(\d+)/", line):
            return int(found[1])
    raise AssertionError("the browser ended")
