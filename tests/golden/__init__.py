"""Texts that were read and approved: SQL, and answers of the reference."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sinks.clickhouse.queries import Query

FOLDER = Path(__file__).parent


def check(name: str, text: str) -> None:
    """Compare a text with the approved one, which is written anew with UPDATE_GOLDEN=1."""
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    approved = path.read_text("utf-8") if path.exists() else ""
    assert text == approved, f"tests/golden/{name}: if it is meant, set UPDATE_GOLDEN=1 and read the diff"


def check_query(name: str, query: Query) -> None:
    """Compare a statement and the values bound to it with the approved ones."""
    bound = json.dumps(query.parameters, indent=1, ensure_ascii=False, default=str)
    check(name, f"{query.sql}\n\n/* bound:\n{bound}\n*/\n")
