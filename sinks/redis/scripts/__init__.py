"""The Lua scripts, and what their answers mean."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from sinks.base import Fenced, Held, Unavailable, Unexpected
from sinks.redis.client import available


class Script:
    """One script, loaded on first use and again after the server lost it."""

    def __init__(self, redis: Redis, name: str, *, after: Sequence[str] = ()) -> None:
        """Read `name`.lua, put after the shared functions of those in `after`."""
        folder = files(__package__)
        source = "".join((folder / f"{part}.lua").read_text() for part in (*after, name))
        self._script: AsyncScript = redis.register_script(source)

    async def __call__(self, key: str, *arguments: Any) -> Any:
        """Run the script on one partition's ledger, or one bundle.

        Raises `Unavailable` when the server cannot answer now; whether the script ran is then in doubt.
        """
        with available():
            return await self._script(keys=[key], args=arguments)

    async def fenced(self, key: str, *arguments: Any) -> None:
        """Run a script that answers with a verdict; raise an error unless it is OK.

        `Fenced` and `Unexpected` say that the ledger is another's or stands elsewhere, `Unavailable` that
        inserts are held or a cluster is moving it to another node: nothing was written then.
        """
        verdict, detail = (part.decode() for part in await self(key, *arguments))
        if verdict == "MOVING":
            raise Unavailable(f"Redis Cluster is moving {key} to another node: {detail}", "redis")
        if verdict == "HELD":
            raise Held("Redis: inserts are held for a moment (vca rebuild)", "redis")
        if verdict == "FENCED":
            raise Fenced(f"epoch {detail} owns {key} now")
        if verdict == "GONE":
            raise Unexpected(f"the ledger {key} is gone, or an older one: Redis lost data")
        if verdict == "UNEXPECTED":
            raise Unexpected(f"the ledger {key} stands at {detail}, not where this worker left it")
