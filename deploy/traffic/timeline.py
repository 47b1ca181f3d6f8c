"""Merges the events of many actors in order of time; an actor computes its next event only when due."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush, heapreplace

from deploy.traffic.events import Actor, Arrival, Event


class Timeline:
    """A merge of actors, each of which begins at its time.

    Holds one event of each actor under way, so its size depends on the present, not on the whole
    stream. Equal times keep the order of arrival, so the merge is a function of its input.
    """

    def __init__(self) -> None:
        """Start without actors."""
        self._under_way: list[tuple[int, int, Event, Actor]] = []
        self._count = 0
        self._arrivals: Iterator[Arrival] = iter(())
        self._next: Arrival | None = None

    def feed(self, arrivals: Iterable[Arrival]) -> None:
        """Set the actors to begin, in order of time; actors fed earlier that have not begun never will."""
        self._arrivals = iter(arrivals)
        self._next = next(self._arrivals, None)

    def clear(self) -> None:
        """Drop every actor, in the middle of whatever it does."""
        for _, _, _, actor in self._under_way:
            close = getattr(actor, "close", None)
            if close is not None:
                close()
        self._under_way.clear()
        self.feed(())

    def until(self, end_ms: int) -> Iterator[Event]:
        """Yield the events with a timestamp before `end_ms`; a later call continues from there."""
        heap = self._under_way
        while True:
            before = min(heap[0][0] + 1, end_ms) if heap else end_ms
            while self._next is not None and self._next[0] < before:
                self._begin(self._next[1])
                self._next = next(self._arrivals, None)
                before = min(heap[0][0] + 1, end_ms) if heap else end_ms
            if not heap or heap[0][0] >= end_ms:
                return
            _, number, event, actor = heap[0]
            # Advance before the yield: a consumer that stops here has already received this event.
            following = next(actor, None)
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (following[2], number, following, actor))
            yield event

    def _begin(self, actor: Actor) -> None:
        event = next(actor, None)
        if event is not None:
            self._count += 1
            heappush(self._under_way, (event[2], self._count, event, actor))
