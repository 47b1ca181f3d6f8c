"""The servers' addresses: from the environment, else from the `vca up` of this folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deploy.endpoints import FILE, read

if TYPE_CHECKING:
    from streams.settings import Settings

_ADDRESSES: Final = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLICKHOUSE_URL")


def settings(endpoints: Path = FILE) -> Settings:
    """Return the worker's settings, with the addresses of the `vca up` in this folder where none are set."""
    # Every command imports this module, but only some need the settings' libraries.
    from streams.settings import Settings

    found = read(endpoints)
    given = {name.lower(): found[name] for name in _ADDRESSES if found.get(name) and not os.environ.get(name)}
    return Settings(**given)  # type: ignore[arg-type]  # pydantic parses them
