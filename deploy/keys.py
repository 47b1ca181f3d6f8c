"""`vca keys`: create, list and revoke API keys."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from deploy.endpoints import FILE, read
from deploy.explain import store_check
from deploy.terminal import for_tables, printable, show_error
from streams.domain.access import Scope, digest_of, new_key, new_secret

if TYPE_CHECKING:
    from sinks.redis.key_store import RedisKeyStore

_DEFAULT_URL: Final = "redis://127.0.0.1:6379/0"
_LONGEST_NAME: Final = 100
_console = Console()
Answer = TypeVar("Answer")

keys = typer.Typer(
    no_args_is_help=True,
    help=(
        "Create, list and revoke API keys. Redis stores them as hashes.\n\n"
        "REDIS_URL sets the server; without it, the Redis of the `vca up` in this folder is used."
    ),
)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Who or what the key is for, for people to tell keys apart.")],
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="Scope of the key; may be repeated.", show_default=Scope.READ.value),
    ] = None,
) -> None:
    """Create a key and print it. It is shown only once, because only its hash is kept.

    The scope read gives access to video, user and live analytics; export to
    exports; system to the health and performance of the platform.

    The API requires keys when it runs with API_KEY or REQUIRE_KEY=true.
    """
    if not name.strip() or len(name) > _LONGEST_NAME:
        raise typer.BadParameter(f"a name has 1 to {_LONGEST_NAME} characters", param_hint="NAME")
    secret = new_secret()
    digest = digest_of(secret)
    key = new_key(digest, name.strip(), scope or [Scope.READ], datetime.now(UTC))
    _with_store(lambda store: store.add(digest, key))
    # Only the key goes to stdout, so that a script can read it.
    told = f"key {key.id} for {printable(key.name)}: {_scopes(key.scopes)}"
    Console(stderr=True).print(told, highlight=False)
    _console.print(secret, highlight=False, soft_wrap=True)


@keys.command("list")
def list_keys() -> None:
    """List all keys, oldest first, with their scopes and when they were last used."""
    found = _with_store(lambda store: store.all())
    if not found:
        _console.print("there are no keys: create one with `vca keys create NAME`", highlight=False)
        return
    table = Table(box=None)
    for column in ("id", "name", "scopes", "created", "last used"):
        # In a narrow terminal, names are shortened: an id or an instant on two lines could not be copied.
        table.add_column(column, no_wrap=column != "name", overflow="fold")
    for key in found:
        used = _minute(key.used) if key.used else "never"
        table.add_row(key.id, printable(key.name), _scopes(key.scopes), _minute(key.created), used)
    for_tables(_console).print(table, highlight=False)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as shown by `vca keys list`.")],
) -> None:
    """Revoke a key: it stops working within five seconds."""
    key = _with_store(lambda store: store.remove(key_id))
    if key is None:
        show_error(Console(stderr=True), f"there is no key {key_id}: see `vca keys list`")
        raise typer.Exit(1)
    _console.print(f"revoked {key.id} ({printable(key.name)})", highlight=False)


def _scopes(scopes: frozenset[Scope]) -> str:
    return ", ".join(scope for scope in Scope if scope in scopes)


def _minute(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _redis_url() -> str:
    if url := os.environ.get("REDIS_URL"):
        return url
    return read(FILE).get("REDIS_URL") or _DEFAULT_URL


def _with_store(action: Callable[[RedisKeyStore], Awaitable[Answer]]) -> Answer:
    """Run one action on the keys in Redis; an unreachable server is a `ConnectionError`."""
    from sinks.redis.client import CircuitBreaker, connect
    from sinks.redis.key_store import RedisKeyStore
    from streams.domain.errors import StoreUnavailableError

    async def run() -> Answer:
        redis = connect(_redis_url())
        try:
            return await action(RedisKeyStore(redis, breaker=CircuitBreaker(5.0)))
        except StoreUnavailableError as error:
            check = store_check(str(error), "REDIS_URL")
            if check is None:
                raise ConnectionError("no Redis answers at REDIS_URL") from error
            raise RuntimeError(f"{str(error).rstrip('.')}: {check}") from error
        finally:
            await redis.aclose()

    return asyncio.run(run())
