"""Compares the API's answers with the oracle's: same fields, equal counts, numbers equal to six decimals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any


def differences(answer: Any, truth: Any, path: str = "") -> Iterator[str]:
    """Yield every place where an answer differs from the oracle's."""
    if isinstance(truth, dict) and isinstance(answer, dict):
        for name in sorted(truth.keys() | answer.keys()):
            if name not in answer or name not in truth:
                yield f"{path}.{name}: {answer.get(name, 'missing')} instead of {truth.get(name, 'nothing')}"
            else:
                yield from differences(answer[name], truth[name], f"{path}.{name}")
    elif isinstance(truth, list) and isinstance(answer, list) and len(truth) == len(answer):
        for place, (one, other) in enumerate(zip(answer, truth, strict=True)):
            yield from differences(one, other, f"{path}[{place}]")
    elif isinstance(truth, float) and isinstance(answer, int | float):
        if not math.isclose(answer, truth, rel_tol=1e-9, abs_tol=6e-7):
            yield f"{path}: {answer} instead of {truth}"
    elif answer != truth or (isinstance(truth, int) and not isinstance(answer, int | float)):
        yield f"{path}: {answer!r} instead of {truth!r}"
