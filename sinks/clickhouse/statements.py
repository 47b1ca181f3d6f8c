"""SQL files cut into statements: ClickHouse over HTTP takes one at a time."""

from __future__ import annotations

import re
from typing import Final

_TOKEN: Final = re.compile(
    r"""
    --[^\n]*                    # comment to the end of the line
  | /\*.*?(?:\*/|\Z)            # block comment
  | '(?:[^'\\]|\\.|'')*'        # string
  | "(?:[^"\\]|\\.|"")*"        # quoted identifier
  | `(?:[^`\\]|\\.|``)*`        # quoted identifier
  | ;
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENTS: Final = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)


def split(sql: str) -> list[str]:
    """Return the statements of a file, without the semicolons that end them.

    A semicolon in a comment, a string or a quoted name ends nothing. Pieces that hold only comments
    are left out.
    """
    pieces: list[str] = []
    start = 0
    for token in _TOKEN.finditer(sql):
        if token.group() == ";":
            pieces.append(sql[start : token.start()])
            start = token.end()
    pieces.append(sql[start:])
    return [piece.strip() for piece in pieces if _COMMENTS.sub("", piece).strip()]
