"""When an ended process is restarted."""

from __future__ import annotations


class Restarts:
    """A pause that doubles with every failure in a row and starts over after a healthy stretch.

    Times are seconds of one monotonic clock, passed in.
    """

    def __init__(self, first: float = 1.0, longest: float = 30.0, healthy: float = 60.0) -> None:
        """Pause `first` seconds at first, `longest` at most; `healthy` seconds of running reset it."""
        self._first = first
        self._longest = longest
        self._healthy = healthy
        self._failures = 0
        self.due: float | None = None

    def ended(self, started: float, now: float) -> float:
        """Note that a run which began at `started` has ended; return the pause, and set `due`."""
        if now - started >= self._healthy:
            self._failures = 0
        # After a night of failures, the power alone would be too large for a float.
        pause = min(self._longest, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        self.due = now + pause
        return pause

    def is_due(self, now: float) -> bool:
        """Say whether the pause is over; True once per `ended`."""
        if self.due is None or now < self.due:
            return False
        self.due = None
        return True
