"""The TypeScript SDK: checked, built, packed, installed, and run against the API, all by its own tests.

They are TypeScript, in sdk/typescript/tests; here is the platform that they ask, and what has happened on it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.ports import free_port
from sinks.redis.client import CircuitBreaker, connect
from sinks.redis.key_store import RedisKeyStore
from streams.domain.access import Scope, digest_of, new_key, new_secret
from tests.conftest import Stack
from tests.e2e.platform import platform
from tests.oracle.log import CATALOG, PLAYBACK, USERS, Record

SDK = Path(__file__).parents[2] / "sdk" / "typescript"
WORLD = json.loads((SDK / "tests" / "support" / "world.json").read_text())
#: The key of the example in the API reference, which must run as it stands.
KEY = "your_api_key"


def _missing() -> str:
    """Say what is not on this machine that the SDK's tests need; nothing when all is there."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return "the TypeScript SDK is tested by node and npm, and they are not here"
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout
    found = re.match(r"v(\d+)\.(\d+)", version)
    if found is None or (int(found[1]), int(found[2])) < (20, 19):
        return f"the TypeScript SDK is tested by node 20.19 or newer, and here is {version.strip()}"
    return ""


pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(_missing()), reason=_missing()),
]


class Npm:
    """One npm command in the SDK's folder, which runs while other things are done."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        """Start it; `environment` adds to this process's."""
        self._what = " ".join(("npm", *arguments))
        self._process = subprocess.Popen(
            ["npm", *arguments],
            cwd=SDK,
            env={**os.environ, "NO_COLOR": "1", "NO_UPDATE_NOTIFIER": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def succeeds(self) -> None:
        """Wait for its end; fail with all that it said."""
        output, _ = self._process.communicate()
        assert self._process.returncode == 0, f"{self._what} failed:\n{output}"


@pytest.fixture(scope="module")
def check() -> Npm:
    """Install the packages of the lock file, unless they are there, and start linter and compiler."""
    stamp = SDK / "node_modules" / ".installed"
    wanted = sha256((SDK / "package-lock.json").read_bytes()).hexdigest()
    if not stamp.is_file() or stamp.read_text() != wanted:
        Npm("ci", "--prefer-offline").succeeds()
        stamp.write_text(wanted)
    return Npm("run", "check")


@pytest.fixture(scope="module")
def stack(check: Npm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a running platform that is asked with the key of the reference, and limits how often."""
    folder = tmp_path_factory.mktemp("stack") / ".run"
    running = Stack(folder, ("--api-port", str(free_port())), {"API_KEY": KEY, "RATE_LIMIT": "25/second"})
    running.start()
    try:
        yield running
    finally:
        running.stop()


def _records() -> list[Record]:
    """Return the events of the world that the SDK's tests know."""
    now = int(time.time() * 1000)
    began = now - 60_000

    def record(topic: str, key: str, **event: Any) -> Record:
        value = json.dumps({"eventId": f"{event['type']}-{key}", "occurredAt": began, **event})
        return Record(topic, key.encode(), value.encode(), now)

    video = {"videoId": WORLD["video"], "country": "DE"}
    entry = {"videoId": WORLD["video"], "title": WORLD["title"], "durationMs": WORLD["watchedMs"]}
    made = [Record(CATALOG, WORLD["video"].encode(), json.dumps(entry).encode(), now)]
    for number, user in enumerate(WORLD["viewers"]):
        view = {**video, "viewId": f"view_{number}", "sessionId": f"session_{user}", "userId": user}
        made.append(record(PLAYBACK, view["viewId"], type="view.start", seq=0, startupMs=640, **view))
        told = {"watchedMs": WORLD["watchedMs"], "rebufferMs": 0, "rebufferCount": 0, "startedAt": began}
        made.append(record(PLAYBACK, view["viewId"], type="view.end", seq=1, reason="ended", **told, **view))
    for user in WORLD["likes"]:
        like = {"sessionId": f"session_{user}", "userId": user, "videoId": WORLD["video"]}
        made.append(record(USERS, user, type="video.like", **like))
    return made


async def _read_key(redis_url: str) -> str:
    """Make a key that opens what has the scope read, and nothing else."""
    redis = connect(redis_url)
    try:
        secret = new_secret()
        digest = digest_of(secret)
        key = new_key(digest, "sdk", [Scope.READ], datetime.now(UTC))
        await RedisKeyStore(redis, breaker=CircuitBreaker(5.0)).add(digest, key)
        return secret
    finally:
        await redis.aclose()


async def test_it_does_what_its_tests_say(stack: Stack) -> None:
    async with platform(stack.endpoints) as running:
        await running.send(_records())
        await running.caught_up()
    Npm(
        "test",
        VIDEOCLOUD_BASE_URL=stack.endpoints["API_URL"],
        VIDEOCLOUD_API_KEY=KEY,
        VIDEOCLOUD_READ_KEY=await _read_key(stack.endpoints["REDIS_URL"]),
    ).succeeds()


def test_its_code_is_checked(check: Npm) -> None:
    check.succeeds()
