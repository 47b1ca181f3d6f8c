"""`python -m bench`: the benchmarks one after the other."""

from __future__ import annotations

import subprocess
import sys

for name in ("bench.pipeline", "bench.freshness"):
    subprocess.run(
        [sys.executable, "-m", name, *(sys.argv[1:] if name == "bench.pipeline" else [])], check=True
    )
