"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket

# Below the range from which kernels take the ports of outgoing connections, so that none takes ours
# between the moment it is chosen here and the moment the server binds it.
_RANGE = range(20_000, 30_000)


def is_free(port: int) -> bool:
    """Return whether 127.0.0.1:port is free to listen on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """Return ``preferred`` if it is free, else another free port; raise OSError when there is none."""
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(200):
        port = random.choice(_RANGE)
        if is_free(port):
            return port
    raise OSError(f"no free port found on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop}")
