"""The clock of timers and durations: that of the event loop, which its sleeps and timeouts follow.

So a linger that is computed and the timeout that waits for it agree, also where a simulation replaces the
loop. Instants of events are another clock's: the epoch seconds that `Assignment.clock` gives.
"""

from __future__ import annotations

import asyncio


def loop_time() -> float:
    """Return the running event loop's time: seconds, monotonic."""
    return asyncio.get_running_loop().time()
