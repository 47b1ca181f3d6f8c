"""Tests on addresses of IPv6, which some hosts do not have."""

from __future__ import annotations

import socket
from typing import Final

import pytest


def _missing() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return True
    return False


IPV6: Final = pytest.mark.skipif(_missing(), reason="this host has no IPv6")
