"""The domain is pure: it reads no clock and does no I/O, so that what it computes can be computed again."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import streams.domain

IMPURE = {
    *("asyncio", "logging", "os", "pathlib", "random", "socket", "subprocess", "sys", "time"),
    *("aiokafka", "clickhouse_connect", "faust", "prometheus_client", "redis", "structlog"),
}
#: Tools that worker and API share, and which are in the domain because both may import it.
SHARED = {"instruments", "log_output", "traces"}
MODULES = sorted(Path(next(iter(streams.domain.__path__))).glob("*.py"))


@pytest.mark.parametrize("path", [path for path in MODULES if path.stem not in SHARED], ids=lambda p: p.stem)
def test_a_module_of_the_domain_reads_no_clock_and_does_no_io(path: Path) -> None:
    used = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            used |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and ast.unparse(node) != "from sys import intern":
            used.add(str(node.module).partition(".")[0])
        elif isinstance(node, ast.Attribute) and node.attr in ("now", "today", "utcnow"):
            used.add(f"{ast.unparse(node)}()")
    assert {name for name in used if name in IMPURE or name.endswith("()")} == set()
