"""A bounded memory of keys, and the exact rule for when its silence proves nothing.

Two generations: what is touched moves to the young one, and when that one is full the old one is
dropped. Memory follows what is active, at the cost of one dictionary look-up an event.

Forgetting must never make a repeat look new. So the memory keeps a floor: every key it ever forgot (or
never held, because the worker started later) belongs to events that say they occurred at or before it.
A key that is absent while its event occurred later is new for certain; any other must be looked up in
the raw table. Clocks that are ahead of their records would lift the floor far into the future, so what
they said is kept apart, one number an event: a repeat says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

#: What a producer keys by, and what it numbers: (video, view), (user, event), (service, event).
Key = tuple[str, str]


#: Numbers kept of clocks that are ahead; more are not an accident.
MAX_AHEAD: Final = 50_000


class Generations(Generic[V]):
    """Values by key, of the two newest generations. Instants in epoch ms as the producer sent them."""

    __slots__ = (
        "_ahead",
        "_floor_at_rotation",
        "_newest",
        "_old",
        "_rotated_at",
        "_young",
        "capacity",
        "floor",
        "lifetime",
        "complete",
    )

    def __init__(self, *, floor: int, capacity: int, lifetime: float) -> None:
        """Start empty.

        Args:
            floor: nothing that occurred after it was seen before this memory began, but for what
                `add_ahead` is told; negative if nothing at all was.
            capacity: keys in the young generation that make it turn.
            lifetime: seconds of the log's own time after which it turns as well.
        """
        self.floor = floor
        self.capacity = capacity
        self.lifetime = lifetime
        #: Whether every key that was ever seen is held.
        self.complete = floor < 0
        self._young: dict[Key, V] = {}
        self._old: dict[Key, V] = {}
        self._ahead: set[int] = set()
        self._newest = floor
        self._floor_at_rotation = floor
        self._rotated_at: int | None = None

    def __len__(self) -> int:
        """Count the keys held."""
        return len(self._young) + len(self._old)

    @property
    def recent(self) -> Callable[[Key], V | None]:
        """Looks among the keys of the young generation, until the memory turns; quicker than `get`."""
        return self._young.get

    def get(self, key: Key) -> V | None:
        """Return the key's value and keep it for at least one more generation."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self._young[key] = value
        return value

    def put(self, key: Key, value: V) -> None:
        """Hold a value."""
        self._young[key] = value

    def add_ahead(self, ahead: Iterable[int]) -> None:
        """Take in what events before this memory said whose clocks were ahead of their records."""
        self._ahead.update(ahead)
        self._bound()

    def observe(self, claimed_at: int, ahead_at: int) -> None:
        """Note when an event says it occurred; `ahead_at` is the same if its clock is ahead, else 0."""
        if ahead_at:
            self._ahead.add(ahead_at)
        elif claimed_at > self._newest:
            self._newest = claimed_at

    def may_have_seen(self, claimed_at: int, ahead_at: int) -> bool:
        """Say whether an absent key may belong to an event that was seen and forgotten."""
        return not self.complete and bool(claimed_at <= self.floor or ahead_at or claimed_at in self._ahead)

    def should_rotate(self, log_time: int) -> bool:
        """Say whether the memory should turn at this record time (epoch milliseconds)."""
        if self._rotated_at is None:
            self._rotated_at = log_time
        return len(self._young) >= self.capacity or (
            len(self._young) > 0 and abs(log_time - self._rotated_at) >= self.lifetime * 1000
        )

    def rotate(self, log_time: int) -> None:
        """Forget the old generation and start a young one.

        Only when everything up to now is in the raw table, where a look-up can find it.
        """
        if self._old:
            self.floor = max(self.floor, self._floor_at_rotation)
            self.complete = False
        self._bound()
        self._old = self._young
        self._young = {}
        self._floor_at_rotation = self._newest
        self._rotated_at = log_time

    def _bound(self) -> None:
        if len(self._ahead) > MAX_AHEAD:
            self._ahead = {at for at in self._ahead if at > self.floor}
        if len(self._ahead) > MAX_AHEAD:
            # Somebody sends them on purpose. Doubting everything is slower, and as exact.
            self.floor = max(self._ahead)
            self._ahead.clear()
