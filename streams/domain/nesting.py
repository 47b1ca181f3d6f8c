"""How deeply a record may be nested: the same everywhere, whatever the interpreter could bear.

Decoders go down by recursion, and what stops them is the interpreter: after 1,000 levels in Python 3.11,
1,500 in 3.12, 10,000 in 3.13 and 260,000 in 3.14. Workers on different ones would not take the same records.
"""

from __future__ import annotations

import re
from typing import Final

#: Arrays and objects within each other; no event of the contract has more than two.
MAX_DEPTH: Final = 500
#: No value of so many bytes can be nested more deeply: each level takes two, to be opened and closed.
SHALLOW_BYTES: Final = 2 * MAX_DEPTH
#: A text ends with its quotation mark, or with the value. Nothing here goes back, so that time is linear.
_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[{\]}]")


def is_too_deep(value: bytes) -> bool:
    """Say whether JSON goes down more than `MAX_DEPTH` levels; of other bytes, anything."""
    if len(value) <= SHALLOW_BYTES or value.count(b"[") + value.count(b"{") <= MAX_DEPTH:
        return False
    depth = 0
    for bracket in _BRACKET.finditer(_TEXT.sub(b"", value)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False
