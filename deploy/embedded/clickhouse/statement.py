"""What kind of SQL a request carries, decided without executing it.

The HTTP interface must know three things before it hands a statement to the engine: whether rows come
back, in which format, and where the data of an INSERT begins. Nothing else of the SQL is interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

_TOKEN = re.compile(
    rb"""
    (?P<skip> \s+ | --[^\n]* | \#[\ !][^\n]* | /\*.*?\*/ )
  | (?P<quoted> '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" | `(?:[^`\\]|\\.|``)*` )
  | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<open> [(\[{] )
  | (?P<close> [)\]}] )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_DATA_START = re.compile(rb"[ \t\f]*\r?\n?")
_ROWS = {b"SHOW", b"DESCRIBE", b"DESC", b"EXISTS", b"EXPLAIN", b"CHECK"}


class Kind(Enum):
    """How a statement must be run."""

    SELECT = "select"
    """A query whose rows may be many, so they are streamed."""
    ROWS = "rows"
    """A statement that answers with a few rows: SHOW, DESCRIBE, EXISTS, EXPLAIN, CHECK."""
    INSERT = "insert"
    """An INSERT whose data follows the statement in some input format."""
    COMMAND = "command"
    """Everything else; it answers with nothing. INSERT ... SELECT and INSERT ... VALUES are here too."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, its FORMAT clause taken out.

    `format` is None when the statement names none. `data` holds the bytes after an INSERT's FORMAT
    clause and is empty for all other kinds, `source_at` where a clause that names its source goes in its
    `sql`: before SETTINGS. `whole` says that the result must not be cut into chunks,
    because it ends in a part of its own (WITH TOTALS). `file_clause` says that it asks for a file of the
    client (INTO OUTFILE, FROM INFILE), which no server does.
    """

    kind: Kind
    sql: bytes
    format: str | None = None
    data: bytes = b""
    whole: bool = False
    file_clause: bool = False
    source_at: int = 0


@dataclass(frozen=True, slots=True)
class _Token:
    """One token at nesting depth 0; `word` is upper case, or empty when it is no bare word."""

    word: bytes
    text: bytes
    start: int
    end: int


def _top_level(sql: bytes) -> Iterator[_Token]:
    """Yield the tokens outside all brackets, quoted text as one token; comments are left out."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        group = match.lastgroup
        if group == "skip":
            continue
        if group == "open":
            depth += 1
        elif group == "close":
            depth -= 1
        elif depth == 0:
            text = match.group()
            yield _Token(text.upper() if group == "word" else b"", text, match.start(), match.end())


def _first_word(sql: bytes) -> bytes:
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "word":
            return match.group().upper()
        if match.lastgroup not in ("skip", "open"):
            return b""
    return b""


def _parse_insert(sql: bytes) -> Statement:
    """Split an INSERT at its data. VALUES and SELECT are left to the engine's own parser."""
    previous: _Token | None = None
    settings: int | None = None
    for token in _top_level(sql):
        if token.word == b"SETTINGS":
            settings = token.start
        if token.word == b"VALUES":
            break
        if previous and previous.word == b"FROM" and token.word == b"INFILE":
            return Statement(Kind.COMMAND, sql, file_clause=True)
        if previous and previous.word == b"FORMAT" and token.word:
            gap = _DATA_START.match(sql, token.end)
            data = sql[gap.end() :] if gap else b""
            at = previous.start if settings is None else settings
            return Statement(Kind.INSERT, sql[: previous.start], token.text.decode(), data, source_at=at)
        previous = token
    return Statement(Kind.COMMAND, sql)


def _parse_query(sql: bytes, kind: Kind) -> Statement:
    """Find the FORMAT clause of a query: FORMAT, a name, then the end or a SETTINGS clause."""
    tokens = list(_top_level(sql))
    if any(token.word == b"INSERT" for token in tokens):
        return Statement(Kind.COMMAND, sql)
    # Without the first word: WITH at the start names a subquery, which may be called totals.
    pairs = {(a.word, b.word) for a, b in pairwise(tokens[1:])}
    outfile, totals = (b"INTO", b"OUTFILE") in pairs, (b"WITH", b"TOTALS") in pairs
    while tokens and tokens[-1].text == b";":
        sql = sql[: tokens.pop().start]
    for place, (clause, name) in enumerate(pairwise(tokens)):
        after = tokens[place + 2] if place + 2 < len(tokens) else None
        if clause.word == b"FORMAT" and name.word and (after is None or after.word == b"SETTINGS"):
            bare = sql[: clause.start] + sql[name.end :]
            return Statement(kind, bare, name.text.decode(), whole=totals, file_clause=outfile)
    return Statement(kind, sql, whole=totals, file_clause=outfile)


def parse(sql: bytes) -> Statement:
    """Classify one statement; text that is not SQL comes back as a COMMAND for the engine to refuse."""
    first = _first_word(sql)
    if first == b"INSERT":
        return _parse_insert(sql)
    if first in (b"SELECT", b"WITH"):
        return _parse_query(sql, Kind.SELECT)
    if first in _ROWS:
        return _parse_query(sql, Kind.ROWS)
    return Statement(Kind.COMMAND, sql)
