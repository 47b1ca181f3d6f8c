"""API keys in Redis, by the digest of their secret."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from sinks.redis import keys
from sinks.redis.client import CircuitBreaker
from streams.domain.access import Key, Scope


class _Record(msgspec.Struct, frozen=True):
    """A key as it is stored; `created` is in epoch seconds."""

    id: str
    name: str
    scopes: list[str]
    created: float

    def key(self, used: bytes | None = None) -> Key:
        """Return the key; scopes that this version does not know are left out."""
        known = frozenset(scope for scope in Scope if scope in self.scopes)
        return Key(self.id, self.name, known, _instant(self.created), _instant(float(used)) if used else None)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class RedisKeyStore:
    """`KeyStore` on Redis, with further methods for the command line.

    Every method raises `StoreUnavailableError` when the server does not answer in time.
    """

    def __init__(self, redis: Any, *, breaker: CircuitBreaker | None = None) -> None:
        """Use a client that returns bytes; `breaker` bounds the time of a query, by default to a second."""
        self._redis = redis
        self._breaker = breaker or CircuitBreaker()

    async def find(self, digest: str) -> Key | None:
        """See `KeyStore.find`."""
        async with self._breaker.guard():
            kept = await self._redis.hget(keys.API_KEYS, digest)
        return None if kept is None else _decoded(kept).key()

    async def use(self, digest: str, when: datetime) -> None:
        """See `KeyStore.use`."""
        async with self._breaker.guard():
            await self._redis.hset(keys.API_KEYS_USED, digest, int(when.timestamp()))

    async def add(self, digest: str, key: Key) -> None:
        """Store a new key."""
        record = _Record(key.id, key.name, sorted(key.scopes), key.created.timestamp())
        async with self._breaker.guard():
            await self._redis.hset(keys.API_KEYS, digest, msgspec.json.encode(record))

    async def all(self) -> list[Key]:
        """Return all keys, oldest first."""
        found = _keys(*await self._read())
        return sorted((key for _, key in found), key=lambda key: (key.created, key.id))

    async def remove(self, key_id: str) -> Key | None:
        """Delete a key by its id and return it; None when there is none."""
        kept, used = await self._read()
        for digest, key in _keys(kept, used):
            if key.id == key_id:
                # The API accepts a key for seconds more, and records its use again: earlier ones go, too.
                gone = {digest, *used.keys() - kept.keys()}
                async with self._breaker.guard():
                    await self._redis.hdel(keys.API_KEYS, digest)
                    await self._redis.hdel(keys.API_KEYS_USED, *gone)
                return key
        return None

    async def _read(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """Return by digest the records of all keys, and when they were used."""
        # Uses first: a key that is created meanwhile must not look like one that is gone.
        async with self._breaker.guard():
            used = await self._redis.hgetall(keys.API_KEYS_USED)
            kept = await self._redis.hgetall(keys.API_KEYS)
        return kept, used


def _keys(kept: dict[bytes, bytes], used: dict[bytes, bytes]) -> list[tuple[bytes, Key]]:
    return [(digest, _decoded(record).key(used.get(digest))) for digest, record in kept.items()]


def _decoded(record: bytes) -> _Record:
    return msgspec.json.decode(record, type=_Record)
