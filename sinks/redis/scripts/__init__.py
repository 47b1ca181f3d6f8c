"""Runs the Lua scripts of this folder, and turns their verdicts into errors."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from sinks.base import Fenced, Held, Unavailable, Unexpected
from sinks.redis.client import available


def source(name: str, after: Sequence[str] = ()) -> str:
    """Return the text of `name`.lua, after the shared functions in the files of `after`."""
    folder = files(__package__)
    return "".join((folder / f"{part}.lua").read_text("utf-8") for part in (*after, name))


class Script:
    """One script, loaded on first use and again after the server lost it."""

    def __init__(self, redis: Redis, name: str, *, after: Sequence[str] = ()) -> None:
        """Read a script; see `source`."""
        self._script: AsyncScript = redis.register_script(source(name, after))

    async def __call__(self, key: str, *arguments: Any) -> Any:
        """Run the script on the key of one partition's ledger, or one bundle.

        Raises `Unavailable` when the server cannot answer now; whether the script ran is then in doubt.
        """
        with available():
            return await self._script(keys=[key], args=arguments)

    async def fenced(self, key: str, *arguments: Any) -> None:
        """Run a script that returns a verdict; raise an error unless it is OK.

        Raises `Fenced` if another worker owns the ledger, `Unexpected` if the ledger is lost or not as the
        worker left it, `Held` while inserts are held, and `Unavailable` also while a cluster moves the key to
        another node, or if the ledger changed meanwhile. Nothing was written in any of these cases.
        """
        verdict, detail = (part.decode() for part in await self(key, *arguments))
        if verdict == "MOVING":
            raise Unavailable(f"Redis Cluster is moving {key} to another node: {detail}", "redis")
        if verdict == "CHANGED":
            raise Unavailable(f"Redis: the ledger {key} changed meanwhile", "redis")
        if verdict == "HELD":
            raise Held("Redis: inserts are held for a moment (vca rebuild)", "redis")
        if verdict == "FENCED":
            raise Fenced(f"another worker took over the partition: epoch {detail} owns {key} now")
        if verdict == "GONE":
            raise Unexpected(f"the ledger {key} is missing or out of date: Redis lost data")
        if verdict == "UNEXPECTED":
            raise Unexpected(f"the ledger {key} is at {detail}, and not where this worker left it")
