"""`endpoints.env`: addresses and key of a running `vca up`, for `source` and `docker --env-file` alike."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

#: Where `vca up` writes it unless it is told otherwise: other commands run in the same folder find it there.
FILE: Final = Path(".run/endpoints.env")
#: What a shell leaves as it is in an assignment.
_PLAIN: Final = re.compile(r"[\w.:/?=@%+,\[\]-]*", re.ASCII)
#: What may be percent-encoded in a URL without another meaning: neither its delimiters nor what is encoded.
_KEPT: Final = ":/?=@%+,[]-._"


def encode(values: Mapping[str, str]) -> str:
    """Return lines NAME=value.

    Docker takes a value literally, also its quotes, while a shell would take some characters for its own. So
    these are percent-encoded in URLs. Where that is impossible, as for the `&` between two parameters of a
    query, the value is quoted for the shell.
    """
    return "".join(f"{name}={_encoded(value)}\n" for name, value in values.items())


def _encoded(value: str) -> str:
    if not _PLAIN.fullmatch(value) and "://" in value:
        address, mark, query = value.partition("?")
        value = quote(address, safe=_KEPT) + mark + quote(query, safe=_KEPT + "&")
    return value if _PLAIN.fullmatch(value) else shlex.quote(value)


def read(file: Path) -> dict[str, str]:
    """Return the values in a file; nothing if there is no such file."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {name.strip(): _decoded(value.strip()) for name, _, value in pairs}


def _decoded(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:
        return value
    return words[0] if len(words) == 1 else value
