"""What all answers have in common: their envelope, ratios and order. Pure, and independent of the store.

`video_answers`, `user_answers` and `system_answers` make the `data` of readings; `api/schemas.py` and its
siblings describe it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.domain.metrics import rounded
from streams.domain.windows import Window

Data = dict[str, Any]

#: Where an answer is from: the live counters, or the store of everything.
LIVE, STORE = "redis", "clickhouse"


def envelope(data: Data, window: Window, source: str) -> Data:
    """Wrap an answer: `asOf` is the time of the request, `partial` whether the window is not over yet."""
    meta = {
        "asOf": window.as_of.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "partial": window.partial,
        "timezone": window.zone.key,
        "source": source,
    }
    return {"success": True, "data": data, "meta": meta}


def ratio(above: float, below: float) -> float | None:
    """Return `above / below`, rounded as all answers are; None when `below` is 0."""
    return rounded(above / below) if below else None


def ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the counts that are not 0, largest first, then by name."""
    return dict(sorted(((n, c) for n, c in counts.items() if c), key=lambda item: (-item[1], item[0])))
