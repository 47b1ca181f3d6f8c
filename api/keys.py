"""API keys with a cache, so that not every request needs a round trip to look up its key."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from secrets import compare_digest
from typing import Final

import structlog

from api.metrics import observe_lookup
from streams.domain.access import ALL_SCOPES, Key, KeyStore, digest_of, is_secret
from streams.domain.errors import StoreUnavailableError

_log = structlog.get_logger(__name__)

#: Seconds for which a look-up is cached, and so for which a revoked key stays valid.
TTL_SECONDS: Final = 5.0
#: Seconds after a failure during which the store is not called.
COOLDOWN_SECONDS: Final = 2.0
#: The time of a key's last use is stored this often, in seconds.
USED_SECONDS: Final = 60.0
_MAX_ENTRIES: Final = 10_000
#: The key from the environment: it has all scopes, and its id is not derived from a hash.
ENVIRONMENT: Final = Key("environment", "API_KEY", ALL_SCOPES, datetime(1970, 1, 1, tzinfo=UTC))


class Keyring:
    """Finds the key of a secret.

    Stored keys are compared by digest only, so the response time reveals nothing about a key; the key from
    the environment is compared in constant time. While the store fails, keys found before stay valid.
    """

    def __init__(
        self,
        store: KeyStore,
        environment: str | None = None,
        *,
        required: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Cache a store; `environment` is a key that is always valid, `clock` gives seconds.

        Without `environment` the API is open, unless a key is `required`.
        """
        self._store = store
        self._environment = environment
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Key]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        #: When a use was last stored, the latest last.
        self._used: OrderedDict[str, float] = OrderedDict()
        self._cooldown_until = float("-inf")
        self._writing: set[asyncio.Task[None]] = set()
        self.open = environment is None and not required

    async def find(self, secret: str, now: datetime) -> Key | None:
        """Return the key of a secret, None when there is none.

        Raises `StoreUnavailableError` when the store fails and the key is not cached.
        """
        if self._environment is not None and compare_digest(secret.encode(), self._environment.encode()):
            return ENVIRONMENT
        if not is_secret(secret):
            return None
        digest = digest_of(secret)
        at, key = self._known.get(digest, (float("-inf"), None))
        oldest = self._clock() - TTL_SECONDS
        known_wrong = at < oldest and self._unknown.get(digest, float("-inf")) >= oldest
        observe_lookup("keys", at >= oldest or known_wrong)
        if known_wrong:
            return None
        if at < oldest:
            try:
                key = await self._ask(digest)
            except StoreUnavailableError:
                if key is None:
                    raise
        if key is not None:
            self._note_use(digest, now)
        return key

    async def _ask(self, digest: str) -> Key | None:
        if self._clock() < self._cooldown_until:
            raise StoreUnavailableError("keys", "a read failed moments ago; the next attempt follows shortly")
        try:
            key = await self._store.find(digest)
        except StoreUnavailableError:
            self._cooldown_until = self._clock() + COOLDOWN_SECONDS
            raise
        if key is None:
            self._known.pop(digest, None)
            self._unknown[digest] = self._clock()
            self._unknown.move_to_end(digest)
        else:
            self._unknown.pop(digest, None)
            self._known[digest] = (self._clock(), key)
            self._known.move_to_end(digest)
        for memory in (self._known, self._unknown):
            while len(memory) > _MAX_ENTRIES:
                memory.popitem(last=False)
        return key

    def _note_use(self, digest: str, now: datetime) -> None:
        """Store in the background, now and then, that a key is used."""
        if self._clock() < max(self._used.get(digest, float("-inf")) + USED_SECONDS, self._cooldown_until):
            return
        at = self._used[digest] = self._clock()
        self._used.move_to_end(digest)
        while next(iter(self._used.values())) + USED_SECONDS <= at:
            self._used.popitem(last=False)
        task = asyncio.create_task(self._write_use(digest, now))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write_use(self, digest: str, now: datetime) -> None:
        try:
            await self._store.use(digest, now)
        except StoreUnavailableError as error:
            _log.info("the last use of an API key was not recorded", reason=str(error))

    async def close(self) -> None:
        """Wait for running writes."""
        await asyncio.gather(*self._writing)
