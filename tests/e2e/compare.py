"""Compares the API's answers with the oracle's, field by field."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from fractions import Fraction
from typing import Any

#: Ratios are rounded to six decimals.
_ROUNDED = Fraction(51, 10**8)


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Yield one line for each field that differs from the expected value."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in expected.keys() | got.keys():
            if name not in got or name not in expected:
                yield f"{path}.{name}: {'missing' if name in expected else f'unexpected {got[name]!r}'}"
            else:
                yield from differences(expected[name], got[name], f"{path}.{name}")
        if ".by" in path and list(got.values()) != sorted(got.values(), reverse=True):
            yield f"{path}: most should come first: {got!r}"
    elif isinstance(expected, list) and isinstance(got, list):
        if len(expected) != len(got):
            yield f"{path}: {len(expected)} entries expected, got {len(got)}: {expected!r} {got!r}"[:400]
        for index, (left, right) in enumerate(zip(expected, got, strict=False)):
            name = left.get("date", left.get("id", index)) if isinstance(left, dict) else index
            yield from differences(left, right, f"{path}[{name}]")
    elif not _equal(expected, got):
        shown = float(expected) if isinstance(expected, Fraction) else expected
        yield f"{path}: expected {shown!r}, got {got!r}"


def _equal(expected: Any, got: Any) -> bool:
    if isinstance(expected, datetime):
        return isinstance(got, str) and datetime.fromisoformat(got) == expected
    if isinstance(expected, Fraction):
        return type(got) in (int, float) and abs(Fraction(got) - expected) <= _ROUNDED
    return type(expected) is type(got) and bool(expected == got)
