"""Authentication, scopes and the rate limit, as a dependency of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.responses import Response

from api.deps import clock_of, stores_of
from api.errors import MESSAGES, ForbiddenError, RateLimitedError, UnauthorizedError
from streams.domain.access import Key, Scope
from streams.domain.errors import StoreUnavailableError

_UNKNOWN: Final = "This key is not known, or was revoked: ask with another one."
_bearer = HTTPBearer(auto_error=False, description="The API key as a bearer token.")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, description="The API key in a header of its own.")


def requires(scope: Scope) -> Callable[..., Awaitable[None]]:
    """Return the dependency that requires a key with a scope, within its rate limit.

    It raises `UnauthorizedError` without a known key, `ForbiddenError` without the scope, `RateLimitedError`
    over the limit, and `StoreUnavailableError` for a key that cannot be looked up now. When the API is open,
    every request passes, and none is limited.
    """

    async def authorized(
        request: Request,
        bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        header: Annotated[str | None, Depends(_header)],
    ) -> None:
        stores = stores_of(request)
        if stores.keyring.open or hasattr(request.state, "key"):
            return
        secret = bearer.credentials if bearer else header or ""
        key = await stores.keyring.find(secret, clock_of(request)())
        if key is None:
            raise UnauthorizedError(_UNKNOWN if secret else MESSAGES[401])
        if scope not in key.scopes:
            raise ForbiddenError(f"This key does not have the scope {scope}: ask with one that has it.")
        request.state.key, request.state.secret = key, secret
        passed, request.state.allowance = await stores.limit.hit(key.id)
        if not passed:
            raise RateLimitedError

    return authorized


def keyed_route(scope: Scope) -> type[APIRoute]:
    """Return a class of routes that check the key first, as `requires` does.

    FastAPI reads a body before it resolves dependencies: who has no key would be told what is wrong with it.
    """
    authorized = requires(scope)

    class KeyedRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                await authorized(request, await _bearer(request), await _header(request))
                return await handle(request)

            return checked

    return KeyedRoute


async def check_again(request: Request) -> None:
    """Raise `UnauthorizedError` if the key that opened a route was revoked since.

    Nothing happens while that cannot be looked up, and when the API is open.
    """
    keyring = stores_of(request).keyring
    if keyring.open:
        return
    with suppress(StoreUnavailableError):
        if await keyring.find(request.state.secret, clock_of(request)()) is None:
            raise UnauthorizedError(_UNKNOWN)


def key_of(request: Request) -> Key:
    """Return the key that opened a route with `requires`; there is none when the API is open."""
    key: Key = request.state.key
    return key
