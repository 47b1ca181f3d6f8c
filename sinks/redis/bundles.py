"""The bundles in Redis: one hash per bundle, with the decision about it, its blocks and its bytes."""

from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from sinks.base import BlockId, Bundle
from sinks.redis import keys
from sinks.redis.client import available
from sinks.redis.scripts import Script

_BLOCKS: Any = msgspec.json.Decoder(tuple[BlockId, ...])


class RedisBundles:
    """`BundleStore` on Redis."""

    def __init__(self, redis: Redis) -> None:
        """Use a client that returns bytes."""
        self._redis = redis
        self._commit, self._settle, self._revoke = (
            Script(redis, name) for name in ("commit", "settle", "revoke")
        )

    async def commit(self, name: str, bundle: Bundle) -> bool:
        """Decide that a bundle is sent, and store it; return False if it never is."""
        blocks = msgspec.json.encode(bundle.blocks)
        answer = await self._commit(keys.bundle(name), blocks, bundle.packed, keys.BUNDLE_SECONDS)
        return bytes(answer) == b"sent"

    async def settle(self, name: str) -> Bundle | None:
        """Return a committed bundle; decide that it is never sent if nothing was decided yet."""
        found = await self._settle(keys.bundle(name), keys.BUNDLE_SECONDS)
        if not found:
            return None
        blocks, packed = found
        return Bundle(_BLOCKS.decode(blocks), packed)

    async def revoke(self, name: str) -> None:
        """Decide that a bundle must not be sent any more."""
        await self._revoke(keys.bundle(name), keys.BUNDLE_SECONDS)

    async def drop(self, name: str) -> None:
        """Delete a bundle."""
        with available():
            await self._redis.unlink(keys.bundle(name))
