"""The read API: composition root. `uvicorn api.app:create_app --factory` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from fastapi import Depends, FastAPI, Request
from fastapi_offline import FastAPIOffline
from pydantic.alias_generators import to_camel
from starlette.responses import RedirectResponse

from api import errors, openapi
from api.auth import requires
from api.cors import Cors, parse_origins
from api.dashboard.files import PATH, Dashboard
from api.deps import Clock, Stores
from api.encoded_slash import EncodedSlash
from api.etag_gzip import ETagGzip
from api.head import Head
from api.limits import RateLimitHeaders
from api.reporting import Reporter, Reporting
from api.root_path import RootPath, path_of
from api.routes import exports, health, live, system, users, videos
from api.settings import Settings
from api.telemetry import Telemetry, configure_logging, tracing_config
from streams.domain.access import Scope
from streams.domain.instruments import expose_build_info, product_version


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(settings: Settings | None = None, *, clock: Clock = _utc_now) -> FastAPI:
    """Return the application.

    Settings are read from the environment when none are given. `clock` returns aware UTC. Stores are
    connected at the first query, so the application starts, and reports its state, while they are down.
    """
    settings = settings or Settings()
    configure_logging(settings.log_level)
    expose_build_info()

    reporter: Reporter | None = None
    if settings.self_reporting and settings.kafka_bootstrap_servers:
        access = settings.kafka(settings.kafka_bootstrap_servers)
        reporter = Reporter(access, settings.topic_systems)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        stores = Stores(settings, clock)
        app.state.stores = stores
        async with AsyncExitStack() as running:
            await running.enter_async_context(stores.open())
            if reporter is not None:
                await running.enter_async_context(reporter.open())
            yield

    # FastAPI, with the assets of its documentation page served from here and not from a CDN.
    app = FastAPIOffline(
        redoc_url=None,
        static_url="/docs-files",
        title="VideoCloud Analytics",
        summary="Real-time analytics for a video platform.",
        description=openapi.DESCRIPTION,
        version=product_version(),
        lifespan=lifespan,
        # A redirect would name the server by the caller's Host header and, behind a proxy that ends TLS, send
        # the caller and the key in its headers to plain HTTP.
        redirect_slashes=False,
        generate_unique_id_function=lambda route: to_camel(route.name),
        telemetry=tracing_config(),
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.reporter = reporter
    if path := path_of(settings.public_url):
        app.add_middleware(RootPath, under=path)
    app.add_middleware(EncodedSlash)
    app.add_middleware(ETagGzip)
    app.add_middleware(Head)
    app.add_middleware(RateLimitHeaders)
    app.add_middleware(Telemetry)
    app.add_middleware(Reporting)
    if origins := parse_origins(settings.cors_origins):
        # Outermost: preflight requests of browsers are no requests to the API.
        app.add_middleware(Cors, origins=origins)
    errors.install(app)
    for part, scope in (
        (videos, Scope.READ),
        (users, Scope.READ),
        (live, Scope.READ),
        (exports, Scope.EXPORT),
        (system, Scope.SYSTEM),
    ):
        app.include_router(part.router, dependencies=[Depends(requires(scope))])
    app.include_router(exports.downloads)
    app.include_router(health.router)
    for path, to in (("/", "/docs"), (PATH, f"{PATH}/")):
        app.add_api_route(path, _redirect(to), include_in_schema=False)
    app.mount(PATH, Dashboard())
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
    return app


def _redirect(to: str) -> Callable[[Request], Awaitable[RedirectResponse]]:
    """Return a route to another path; it names no server, for a proxy may have another name."""

    async def redirect(request: Request) -> RedirectResponse:
        return RedirectResponse(f"{request.scope['root_path']}{to}")

    return redirect
