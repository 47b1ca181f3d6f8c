"""Dependencies of routes: the stores and services, the clock and the settings of their application.

The only module that names concrete readers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Annotated, Any, Final

import orjson
from fastapi import Depends, Request
from starlette.responses import Response

from api.answers import LIVE, STORE
from api.catalog import CachedCatalog
from api.exports.service import ExportService
from api.keys import Keyring
from api.limits import RateLimit
from api.live_feed import Feeds
from api.live_service import LiveService
from api.metrics import observe_lookup, observe_query
from api.parameters import QuestionParser
from api.settings import Settings
from api.shutdown import on_shutdown_signal
from api.system_service import SystemService
from api.user_service import UserService
from api.video_service import VideoService
from api.warm_up import WarmUp
from sinks.clickhouse.day_cache import DayCache
from sinks.clickhouse.known_audience import KnownAudience
from sinks.clickhouse.known_cache import KnownCache
from sinks.clickhouse.live_reader import ClickHouseLiveReader
from sinks.clickhouse.reader import ClickHouseReader
from sinks.clickhouse.system_reader import ClickHouseSystem
from sinks.clickhouse.user_reader import ClickHouseUsers
from sinks.redis import keys
from sinks.redis.client import CircuitBreaker, connect
from sinks.redis.key_store import RedisKeyStore
from sinks.redis.live_reader import RedisLiveReader
from sinks.redis.reader import RedisReader
from sinks.single_flight import SingleFlight

Clock = Callable[[], datetime]
#: Begins the only changing part of `meta`; the last one in an answer, as data comes before `meta`.
_AS_OF: Final = b'"asOf":"'


class Stores:
    """The stores and services of one application: connected at the first query, closed with it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Connect nothing yet, so that the API starts while a store is down. `clock` returns aware UTC."""
        patience = settings.store_patience
        self.clickhouse = ClickHouseReader(
            settings.clickhouse_url,
            ping_timeout=patience,
            query_timeout=settings.query_seconds,
            connections=settings.clickhouse_connections,
            on_query=observe_query,
        )
        self._redis = connect(
            settings.redis_url,
            connect_timeout=patience,
            read_timeout=patience,
            connections=settings.redis_connections,
        )
        breaker = CircuitBreaker(patience, connections=settings.redis_connections)
        remembered = CachedCatalog(self.clickhouse)
        self.redis = RedisReader(self._redis, remembered, breaker=breaker, on_query=observe_query)
        days = DayCache(self.clickhouse, on_lookup=partial(observe_lookup, "days"))
        people = KnownCache(settings.known_megabytes * 1_000_000, on_lookup=partial(observe_lookup, "people"))
        reader = ClickHouseUsers(self.clickhouse, days, KnownAudience(self.clickhouse, people))
        self.warm_up = WarmUp(reader, clock, retention_days=settings.rollup_retention_days)
        self.users = UserService(reader, self.warm_up.note)
        self.system = SystemService(ClickHouseSystem(self.clickhouse))
        self._reads_ahead = settings.warm_up
        self.videos = VideoService(self.redis, self.clickhouse, self.clickhouse, remembered)
        self.live = LiveService(
            RedisLiveReader(self.redis), ClickHouseLiveReader(self.clickhouse), remembered
        )
        self.feeds = Feeds(settings.live_streams)
        self.keyring = Keyring(
            RedisKeyStore(self._redis, breaker=breaker),
            settings.api_key.get_secret_value() if settings.api_key else None,
            required=settings.require_key,
        )
        self.limit = RateLimit(settings.redis_url, settings.rate_limit, prefix=keys.LIMITS, breaker=breaker)
        self.exports = ExportService(settings, self._redis, breaker)
        # Nobody needs a key to ask whether they are ready: who asks often must not keep them busy.
        probing = SingleFlight[None]()
        self.probes = {
            STORE: lambda: probing.run(STORE, self.clickhouse.ready),
            LIVE: lambda: probing.run(LIVE, self.redis.ready),
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run the background tasks; at the end, stop them and close all connections."""
        try:
            async with AsyncExitStack() as running:
                running.enter_context(on_shutdown_signal(self.feeds.end))
                await running.enter_async_context(self.exports.open())
                if self._reads_ahead:
                    await running.enter_async_context(self.warm_up.open())
                yield
        finally:
            self.feeds.end()
            await self.keyring.close()
            await self.limit.close()
            await self.clickhouse.close()
            await self._redis.aclose()


def stores_of(request: Request) -> Stores:
    """Return the stores of the request's application."""
    stores: Stores = request.app.state.stores
    return stores


def clock_of(request: Request) -> Clock:
    """Return the clock of the request's application."""
    clock: Clock = request.app.state.clock
    return clock


# These are coroutines because FastAPI runs other functions in a thread; and each reads the request itself,
# because FastAPI resolves dependencies of dependencies again wherever they are used.
async def _stores(request: Request) -> Stores:
    return stores_of(request)


async def _videos(request: Request) -> VideoService:
    return stores_of(request).videos


async def _users(request: Request) -> UserService:
    return stores_of(request).users


async def _system(request: Request) -> SystemService:
    return stores_of(request).system


async def _exports(request: Request) -> ExportService:
    return stores_of(request).exports


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _clock(request: Request) -> Clock:
    return clock_of(request)


async def _now(request: Request) -> datetime:
    return clock_of(request)()


async def _parser(request: Request) -> QuestionParser:
    settings = await _settings(request)
    return QuestionParser(clock_of(request)(), settings.raw_retention_days, settings.rollup_retention_days)


StoresDep = Annotated[Stores, Depends(_stores)]
VideosDep = Annotated[VideoService, Depends(_videos)]
UsersDep = Annotated[UserService, Depends(_users)]
SystemDep = Annotated[SystemService, Depends(_system)]
ExportsDep = Annotated[ExportService, Depends(_exports)]
SettingsDep = Annotated[Settings, Depends(_settings)]
ClockDep = Annotated[Clock, Depends(_clock)]
Now = Annotated[datetime, Depends(_now)]
ParserDep = Annotated[QuestionParser, Depends(_parser)]


def json(content: Any) -> Response:
    """Return an answer as a response, encoded once and not validated again.

    Its ETag is a hash of everything but `asOf`, so an unchanged answer keeps its ETag.
    """
    encoded = orjson.dumps(content)
    before, as_of, after = encoded.rpartition(_AS_OF)
    tag = blake2b(before + as_of + after.partition(b'"')[2], digest_size=12).hexdigest()
    headers = {
        "ETag": f'W/"{tag}"',
        # Only the caller may cache it, and must revalidate it each time.
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, X-API-Key",
    }
    return Response(encoded, media_type="application/json", headers=headers)
