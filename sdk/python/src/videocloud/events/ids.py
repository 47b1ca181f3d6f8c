"""Ids of events: UUIDs of version 7, which sort by time and are unique without coordination."""

from __future__ import annotations

import secrets
import time
from uuid import UUID


def uuid7(at_ms: int, chance: int) -> UUID:
    """Return a UUID of version 7 (RFC 9562, section 5.7) from epoch milliseconds and 74 random bits."""
    high, low = chance >> 62 & 0xFFF, chance & (1 << 62) - 1
    return UUID(int=(at_ms & (1 << 48) - 1) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)


def now_ms() -> int:
    """Return the time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """Return a new unique id."""
    return str(uuid7(now_ms(), secrets.randbits(74)))
