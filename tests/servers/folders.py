"""Where the servers of tests keep their data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

#: A file system in memory, on Linux.
_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # The folders in it are pytest's, with random names.
#: Free bytes there from which on it is used; the tests take a tenth of it.
_ENOUGH: Final = 8 << 30


def live_in_memory() -> None:
    """Have pytest make its temporary folders in memory, where there is enough of it.

    An insert into ClickHouse makes a hundred small files: on a disk it takes twice as long, and so do tests.
    """
    if not os.environ.get("TMPDIR") and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
