"""Which servers tests use: stand-ins of their own, or those that `TEST_...` variables name.

Tests ignore variables that the shell has set for the product, as after `source .run/endpoints.env`: with
them, tests would write into a platform that is in use, and run with its settings.
"""

from __future__ import annotations

import os
from typing import Final

from api.settings import Settings as ApiSettings
from deploy.env import CHOICES, MADE
from streams.settings import Settings as WorkerSettings

#: Prefix of the variables that name servers for tests: TEST_REDIS_URL and so on.
PREFIX: Final = "TEST_"
#: Servers that can replace the tests' own, by the product's names for their addresses.
SERVERS: Final = ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "REDIS_CLUSTER_URL", "CLICKHOUSE_URL")
_OTHERS: Final = ("API_URL", "HOST_NAME", "VCA_DEBUG", "VIDEOCLOUD_API_KEY", "VIDEOCLOUD_BASE_URL")


def given(name: str) -> str | None:
    """Return the address of one of `SERVERS`; None if tests start their own."""
    return os.environ.get(PREFIX + name) or None


def forget_the_platform() -> None:
    """Remove the product's variables from the environment."""
    fields = {*ApiSettings.model_fields, *WorkerSettings.model_fields}
    for name in {*map(str.upper, fields), *MADE, *CHOICES, *_OTHERS}:
        os.environ.pop(name, None)
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            del os.environ[name]
