"""Free TCP ports on the loopback interface."""

from __future__ import annotations

import os
import random
import socket
from collections import deque
from typing import Final

# Below the range from which kernels take the ports of outgoing connections, so that none takes ours
# between the moment it is chosen here and the moment the server binds it.
_RANGE: Final = range(20_000, 30_000)
#: A port is free until its server binds it, which takes seconds. Until then no other caller may get it: not
#: in this process, and not in the next ones, which choose from other slices of the range while they can.
_SLICES: Final = 20
_chosen: Final = deque[int](maxlen=200)


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
    """Return `preferred` if it is free, else another free port; raise OSError when there is none."""
    if preferred is not None and is_free(preferred):
        return preferred
    for candidates in (_RANGE[os.getpid() % _SLICES :: _SLICES], _RANGE):
        for _ in range(100):
            port = random.choice(candidates)
            if port not in _chosen and is_free(port):
                _chosen.append(port)
                return port
    raise OSError(f"no free port found on 127.0.0.1 between {_RANGE.start} and {_RANGE.stop}")
