"""API keys: their format, their scopes, and what is stored of them.

A key is `vca_` and 32 characters of 192 random bits. Only its SHA-256 is stored: 192 random bits cannot be
guessed, so a slow hash would protect no better. The first characters of the hash are the key's id, which
people and logs use.
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
    """What a key gives access to."""

    READ = "read"
    EXPORT = "export"
    SYSTEM = "system"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is stored; `used` is None for one that was never used."""

    id: str
    name: str
    scopes: frozenset[Scope]
    created: datetime
    used: datetime | None = None


class KeyStore(Protocol):
    """Stores keys by digest. Every method raises `StoreUnavailableError` when that is not possible now."""

    async def find(self, digest: str) -> Key | None:
        """Return the key with a digest, without `used`; None when there is none."""

    async def use(self, digest: str, when: datetime) -> None:
        """Store when a key was last used."""


def new_secret() -> str:
    """Return a new random key, as it is given to its owner."""
    return PREFIX + token_urlsafe(_RANDOM_BYTES)


def is_secret(text: str) -> bool:
    """Say whether a text has the format of a key, so that it is worth looking up."""
    return _SHAPE.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """Return a key's digest, its SHA-256 in hexadecimal, which alone is stored."""
    return sha256(secret.encode()).hexdigest()


def new_key(digest: str, name: str, scopes: Iterable[Scope], now: datetime) -> Key:
    """Return the record of a new key."""
    return Key(digest[:_ID_LENGTH], name, frozenset(scopes), now)
