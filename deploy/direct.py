"""HTTP to servers of this host, or beside it: without the proxy that the environment may name."""

from __future__ import annotations

import urllib.request
from typing import Final

#: That proxy is asked for other hosts.
DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
