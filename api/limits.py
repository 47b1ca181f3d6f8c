"""Rate limits per key, counted in Redis, so that all processes share one count."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sinks.redis.client import CONNECTIONS, CircuitBreaker, address_of, is_lost_connection

_log = structlog.get_logger(__name__)

NONE: Final = "none"
#: Seconds after a failure during which Redis is not called, so that no request waits for it.
COOLDOWN_SECONDS: Final = 2.0
#: The warning that nothing is limited is repeated this often, in seconds.
WARN_INTERVAL_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """Requests that a key may still make; after `reset` seconds, it may make more than `remaining`."""

    limit: int
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """Return the rate limit headers."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset),
        }


def parse_limit(text: str) -> RateLimitItem | None:
    """Parse `600/minute`, or `none`; raise ValueError for anything else."""
    return None if text.strip().lower() == NONE else parse(text)


def _storage(url: str, patience: float, prefix: str) -> Storage:
    address, clustered = address_of(url)
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    # By default the client retries a command for seconds.
    options: Any = {"retry": Retry(NoBackoff(), 1)}
    scheme = f"async+{parts.scheme}"
    if clustered:
        # The library's cluster URLs support neither TLS nor a query; both must be options.
        scheme, options = "async+redis+cluster", options | query | {"ssl": parts.scheme == "rediss"}
        options["reinitialize_steps"] = 0  # as sinks.redis.client
        query = {}
    storage = storage_from_string(
        urlunsplit(parts._replace(scheme=scheme, query=urlencode(query))),
        implementation="redispy",
        wrap_exceptions=True,
        key_prefix=prefix,
        socket_connect_timeout=patience,
        socket_timeout=patience,
        max_connections=CONNECTIONS,
        **options,
    )
    assert isinstance(storage, Storage)
    return storage


class RateLimit:
    """Counts requests per key in a sliding window. While Redis is down, nothing is limited."""

    def __init__(
        self,
        url: str,
        limit: str,
        *,
        prefix: str,
        breaker: CircuitBreaker | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect nothing yet. `limit` is like `600/minute`, or `none`; `clock` gives seconds."""
        self._item = parse_limit(limit)
        self._breaker = breaker or CircuitBreaker()
        self._clock = clock
        # Without a free connection, the client would fail.
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._storage = _storage(url, self._breaker.timeout, prefix)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._cooldown_until = self._warned_until = float("-inf")

    async def hit(self, key_id: str) -> tuple[bool, Allowance | None]:
        """Count a request; return whether it may pass, and the allowance (None when nothing is limited)."""
        if self._item is None:
            return True, None
        async with self._slots:
            if self._clock() < self._cooldown_until or self._breaker.is_open:
                return True, None
            try:
                async with asyncio.timeout(self._breaker.timeout):
                    passed = await self._limiter.hit(self._item, key_id)
                    stats = await self._limiter.get_window_stats(self._item, key_id)
            except (StorageError, OSError, TimeoutError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not is_lost_connection(error):
                    raise
                if isinstance(error, TimeoutError):
                    self._breaker.trip()
                self._failed(error)
                return True, None
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        return passed, Allowance(self._item.amount, stats.remaining if passed else 0, reset)

    def _failed(self, error: Exception) -> None:
        now = self._clock()
        self._cooldown_until = now + COOLDOWN_SECONDS
        if now >= self._warned_until:
            self._warned_until = now + WARN_INTERVAL_SECONDS
            _log.warning("rate limits are not applied while Redis does not answer", reason=str(error))

    async def close(self) -> None:
        """Close the connections."""
        with suppress(Exception):
            await self._storage.bridge.get_connection().aclose()  # type: ignore[attr-defined]


class RateLimitHeaders:
    """ASGI middleware: adds rate limit headers to every answer to a caller with a key."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application that puts an `Allowance` into `request.state.allowance`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def sending(message: Message) -> None:
            allowance = scope.get("state", {}).get("allowance")
            if message["type"] == "http.response.start" and allowance is not None:
                headers = MutableHeaders(scope=message)
                headers.update(allowance.headers)
                if message["status"] == 429:
                    headers["Retry-After"] = str(allowance.reset)
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)
