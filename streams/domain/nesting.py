"""The limit on the nesting of a record: the same for every Python version.

Decoders are recursive, and the interpreter stops them: after 1,000 levels in Python 3.11, 1,500 in 3.12,
10,000 in 3.13 and 260,000 in 3.14. Without this limit, workers on different versions would accept different
records.
"""

from __future__ import annotations

import re
from typing import Final

#: Levels of arrays and objects; no event of the contract has more than two.
MAX_DEPTH: Final = 500
#: No value of at most this many bytes can be nested more deeply: each level takes two brackets.
SHALLOW_BYTES: Final = 2 * MAX_DEPTH
#: A string; it ends with its quotation mark, or with the value. No backtracking, so time is linear.
_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{\]}]")


def is_too_deep(value: bytes) -> bool:
    """Say whether JSON has more than `MAX_DEPTH` levels; for other bytes, the result is arbitrary."""
    if len(value) <= SHALLOW_BYTES or value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(_TEXT.sub(b"", value)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
