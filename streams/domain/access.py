"""API keys: what they look like, what they open, and what is kept of them.

A key is `vca_` and 32 characters of 192 random bits. Only its SHA-256 is ever kept: of so many random bits
nothing can be guessed, so a slow hash would protect no better. The first characters of the hash are the
key's id, under which people and logs speak of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from secrets import token_urlsafe
from typing import Final, Protocol

PREFIX: Final = "vca_"
_SHAPE: Final = re.compile(r"vca_[A-Za-z0-9_-]{32}", re.ASCII)
_RANDOM_BYTES: Final = 24
_ID_LENGTH: Final = 12


class Scope(StrEnum):
    """What a key opens."""

    READ = "read"
    EXPORT = "export"
    SYSTEM = "system"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept; `used` is None for one that was never used."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    used: datetime | None = None


class KeyStore(Protocol):
    """Keeps keys by digest. Every method raises `StoreUnavailableError` when that is not possible now."""

    async def find(self, digest: str) -> Key | None:
        """Return the key of a digest, without `used`; None when there is none."""

    async def use(self, digest: str, when: datetime) -> None:
        """Write down when a key was last used."""


def new_secret() -> str:
    """Return a new random key, as its owner keeps it."""
    return PREFIX + token_urlsafe(_RANDOM_BYTES)


def is_secret(text: str) -> bool:
    """Say whether a text has the shape of a key, so that it is worth looking up."""
    return _SHAPE.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """Return what is kept of a key: the SHA-256 in hexadecimal."""
    return sha256(secret.encode()).hexdigest()


def new_key(digest: str, name: str, scopes: Iterable[Scope], now: datetime) -> Key:
    """Return the record of a new key."""
    return Key(digest[:_ID_LENGTH], name, frozenset(scopes), now)
