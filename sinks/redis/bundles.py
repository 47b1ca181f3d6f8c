"""The bundles in Redis: one hash a bundle, with what was decided of it and its bytes."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis

from sinks.base import Bundle
from sinks.redis import keys
from sinks.redis.client import available
from sinks.redis.scripts import Script

#: Between tokens; none has one in it.
_BREAK: Final = "\n"


class RedisBundles:
    """`BundleStore` on Redis."""

    def __init__(self, redis: Redis) -> None:
        """Use a client that answers bytes."""
        self._redis = redis
        self._commit = Script(redis, "commit")
        self._settle = Script(redis, "settle")

    async def commit(self, name: str, bundle: Bundle) -> bool:
        """Decide that a bundle is sent, and keep it; return False if it never is."""
        tokens = _BREAK.join(bundle.tokens)
        answer = await self._commit(keys.bundle(name), tokens, bundle.packed, keys.BUNDLE_SECONDS)
        return bytes(answer) == b"sent"

    async def settle(self, name: str) -> Bundle | None:
        """Return a bundle that is sent; decide that it never is if nothing was decided yet."""
        found = await self._settle(keys.bundle(name), keys.BUNDLE_SECONDS)
        if not found:
            return None
        tokens, packed = found
        return Bundle(tuple(tokens.decode().split(_BREAK)), packed)

    async def revoke(self, name: str) -> None:
        """Decide that a bundle is sent no more."""
        key = keys.bundle(name)
        with available():
            await self._redis.hset(key, "decision", "never")
            await self._redis.hdel(key, "packed")
            await self._redis.expire(key, keys.BUNDLE_SECONDS)

    async def drop(self, name: str) -> None:
        """Forget a bundle."""
        with available():
            await self._redis.unlink(keys.bundle(name))
