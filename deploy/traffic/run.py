"""The loop between the pure platform and Kafka: the history at full speed, then live traffic by the clock.

If live traffic follows, it begins an hour before the history ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, Protocol

from deploy.traffic import history, live
from deploy.traffic.display import Display, LiveStatus
from deploy.traffic.events import HOUR_MS, SECOND_MS, Event
from deploy.traffic.once import Once
from deploy.traffic.pace import Pace
from deploy.traffic.timeline import Timeline
from deploy.traffic.world import Config, World

_CHUNK: Final = 2_000
#: The history ends with live traffic of so long, or of so many events if that is shorter, so that the last
#: hour looks like those to come.
_LEAD_MS: Final = HOUR_MS
_LEAD_EVENTS: Final = 60_000
#: Flushing this often, in the history's own time, limits how far the partitions drift apart.
_FLUSH_EVERY_MS: Final = 3 * HOUR_MS
_TICK_S: Final = 0.1
_RATE_OVER_S: Final = 10.0


class Outlet(Protocol):
    """The destination of events: `deploy.traffic.producer.Producer`, or a list in the tests."""

    async def send(self, events: Iterable[Event]) -> int:
        """Send events in order; return how many there were."""

    async def flush(self) -> None:
        """Wait until everything sent is stored."""


@dataclass(slots=True)
class Summary:
    """The number of events that a run has sent, and in how many seconds."""

    history_events: int = 0
    history_s: float = 0.0
    live_events: int = 0
    live_s: float = 0.0

    def __str__(self) -> str:
        """Return one line for people."""
        parts = []
        if self.history_events:
            speed = self.history_events / max(0.001, self.history_s)
            parts.append(f"history {self.history_events:,} events in {self.history_s:.1f} s ({speed:,.0f}/s)")
        if self.live_s:
            speed = self.live_events / self.live_s
            parts.append(f"live {self.live_events:,} events in {self.live_s:.0f} s ({speed:,.1f}/s)")
        return "sent " + ("; ".join(parts) or "nothing")


class Run:
    """One run: the platform, the outlet, the clock. `clock` returns epoch seconds."""

    def __init__(self, config: Config, outlet: Outlet, display: Display, clock: Callable[[], float]) -> None:
        """Prepare a run, whose history ends now unless an earlier run has begun to send it."""
        self.summary = Summary()
        self.stopping = asyncio.Event()
        self._config = config
        self._outlet = outlet
        self._display = display
        self._clock = clock
        self._timeline = Timeline()

    async def all(self, *, live: bool, duration_s: float | None, once: Once | None = None) -> None:
        """Send the history, and then live traffic for `duration_s` (None: until `stopping` is set).

        With `once`, the history ends when that says, and is left out when it has been sent before.
        """
        config, now_ms = self._config, self._now()
        if once and config.history_days:
            end_ms = once.end(now_ms)
            config, now_ms = (config, end_ms) if end_ms else (replace(config, history_days=0), now_ms)
        world, start_ms = history.platform(config, now_ms)
        if config.history_days:
            await self._past(world, start_ms, now_ms, live)
            if once and not self.stopping.is_set():  # only then it was sent to its end
                once.sent()
        else:
            await self._outlet.send(history.catalog(world, now_ms))
        if live and not self.stopping.is_set():
            await self._present(world, now_ms if config.history_days else None, duration_s)

    async def _past(self, world: World, start_ms: int, end_ms: int, live: bool) -> None:
        began = self._clock()
        lead_ms = min(_LEAD_MS, int(_LEAD_EVENTS / self._config.rate) * SECOND_MS) if live else 0
        self._timeline.feed(history.arrivals(world, start_ms, end_ms - lead_ms))
        await self._send_past(start_ms, end_ms - lead_ms, (start_ms, end_ms))
        if live and not self.stopping.is_set():
            self._begin_live(world, end_ms - lead_ms)
            await self._send_past(end_ms - lead_ms, end_ms, (start_ms, end_ms))
        if not self.stopping.is_set():
            self._display.history(1.0, self.summary.history_events, end_ms)
        self.summary.history_s = self._clock() - began

    async def _send_past(self, reached: int, end_ms: int, whole: tuple[int, int]) -> None:
        """Send what is due from `reached` to `end_ms`; `whole` are the beginning and end of the history."""
        while reached < end_ms and not self.stopping.is_set():
            reached = min(reached + _FLUSH_EVERY_MS, end_ms)
            events = self._timeline.until(reached)
            while chunk := list(islice(events, _CHUNK)):
                self.summary.history_events += await self._outlet.send(chunk)
                share = (chunk[-1][2] - whole[0]) / (whole[1] - whole[0])
                self._display.history(share, self.summary.history_events, chunk[-1][2])
            await self._outlet.flush()

    def _begin_live(self, world: World, at_ms: int) -> None:
        world.crowd.retain(at_ms)
        self._timeline.feed(live.arrivals(world, at_ms))

    async def _present(self, world: World, history_end_ms: int | None, duration_s: float | None) -> None:
        if history_end_ms is not None and self._now() - history_end_ms < _LEAD_MS:
            # Sending the history took time: what was due meanwhile.
            self.summary.history_events += await self._outlet.send(self._timeline.until(self._now()))
            await self._outlet.flush()
        else:
            self._timeline.clear()
            self._begin_live(world, self._now())
        began = self._clock()
        pace = Pace(self._now())
        lately: deque[tuple[float, int]] = deque([(began, 0)])
        while not self.stopping.is_set() and (duration_s is None or self._clock() - began < duration_s):
            await self._pause()
            step = pace.step(self._now())
            if step.skipped_ms:
                self._timeline.clear()
                self._begin_live(world, step.until_ms)
                lost_s = step.skipped_ms / SECOND_MS
                self._display.note(f"{lost_s:.0f} s of live traffic skipped: it was too far behind the clock")
            self.summary.live_events += await self._outlet.send(self._timeline.until(step.until_ms))
            await self._outlet.flush()
            now = self._clock()
            self.summary.live_s = now - began
            lately.append((now, self.summary.live_events))
            while now - lately[0][0] > _RATE_OVER_S:
                lately.popleft()
            rate = (self.summary.live_events - lately[0][1]) / max(_TICK_S, now - lately[0][0])
            behind = self._now() - step.until_ms
            self._display.live(LiveStatus(self.summary.live_events, rate, world.playing, behind))

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), _TICK_S)
        except TimeoutError:
            return

    def _now(self) -> int:
        return int(self._clock() * SECOND_MS)
