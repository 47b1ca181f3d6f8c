"""Authentication, scopes and the rate limit, as a dependency of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

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
        if stores.keyring.open:
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
