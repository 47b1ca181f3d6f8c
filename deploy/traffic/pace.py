"""Decides how far live traffic may advance at each moment: with the clock, and gently after a delay."""

from __future__ import annotations

from typing import Final, NamedTuple

#: After a delay, simulated time passes this many times faster than the clock until it has caught up.
CATCH_UP: Final = 1.5
#: After a longer delay, live traffic does not catch up: the events of the delay are skipped.
GIVE_UP_MS: Final = 30_000
#: Longest step of simulated time: a longer one would be a burst of events.
_LONGEST_STEP_MS: Final = 1_000


class Step(NamedTuple):
    """Advance to `until_ms`; the `skipped_ms` before it are lost, with all visits and jobs under way."""

    until_ms: int
    skipped_ms: int


class Pace:
    """The pace of one live run. Its time never goes back, whatever the clock does."""

    def __init__(self, start_ms: int) -> None:
        """Begin at `start_ms`."""
        self._until = start_ms
        self._clock = start_ms

    def step(self, now_ms: int) -> Step:
        """Return how far to advance when the clock shows `now_ms`."""
        passed = max(0, now_ms - self._clock)
        self._clock = now_ms
        if now_ms - self._until > GIVE_UP_MS:
            skipped, self._until = now_ms - self._until, now_ms
            return Step(now_ms, skipped)
        farthest = self._until + int(CATCH_UP * min(passed, _LONGEST_STEP_MS))
        self._until = max(self._until, min(now_ms, farthest))
        return Step(self._until, 0)
