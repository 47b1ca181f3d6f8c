"""How far live traffic may go on at each moment: with the clock, and gently after a delay."""

from __future__ import annotations

from typing import Final, NamedTuple

#: After a delay, time passes this much faster until the clock is reached again.
CATCH_UP: Final = 1.5
#: A longer delay is not made up for: those events are given up.
GIVE_UP_MS: Final = 30_000
#: One step never makes up for more than this: a longer one would be a burst.
_LONGEST_STEP_MS: Final = 1_000


class Step(NamedTuple):
    """Go on until `until_ms`; `skipped_ms` before that are lost, and with them all that was under way."""

    until_ms: int
    skipped_ms: int


class Pace:
    """The pace of one live run. It never goes back, whatever the clock does."""

    def __init__(self, start_ms: int) -> None:
        """Begin at `start_ms`."""
        self._until = start_ms
        self._clock = start_ms

    def step(self, now_ms: int) -> Step:
        """Return how far to go when the clock says `now_ms`."""
        passed = max(0, now_ms - self._clock)
        self._clock = now_ms
        if now_ms - self._until > GIVE_UP_MS:
            skipped, self._until = now_ms - self._until, now_ms
            return Step(now_ms, skipped)
        farthest = self._until + int(CATCH_UP * min(passed, _LONGEST_STEP_MS))
        self._until = max(self._until, min(now_ms, farthest))
        return Step(self._until, 0)
