"""A bounded memory of keys, with an exact rule for when an absent key must be looked up.

It has two generations: keys in use move to the young one, and when that is full the old one is dropped. So
the memory keeps the active keys, for one dictionary look-up per event.

Forgetting must never make a repeat look new. So the memory keeps a floor: every key that it forgot (or never
had, because the worker started later) belongs to events that claim to have occurred at or before the floor.
An absent key whose event occurred later is certainly new; any other must be looked up in the raw table.
Clocks that are ahead of their records would raise the floor far into the future. So the times that they
claim are kept apart, one number per event: a repeat claims the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

#: (video, view), (user, event) or (service, event).
Key = tuple[str, str]


#: Times kept of clocks that are ahead; more are no accident.
MAX_AHEAD: Final = 50_000


class Generations(Generic[V]):
    """Values by key, in two generations. Instants are epoch ms as the producer sent them."""

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
            floor: no event that occurred later was seen before this memory began, except those given to
                `add_ahead`; negative if no event was seen at all.
            capacity: keys in the young generation that make the memory rotate.
            lifetime: seconds of record time after which it rotates as well.
        """
        self.floor = floor
        self.capacity = capacity
        self.lifetime = lifetime
        #: Whether every key that was ever seen is in memory.
        self.complete = floor < 0
        self._young: dict[Key, V] = {}
        self._old: dict[Key, V] = {}
        self._ahead: set[int] = set()
        self._newest = floor
        self._floor_at_rotation = floor
        self._rotated_at: int | None = None

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._young) + len(self._old)

    @property
    def recent(self) -> Callable[[Key], V | None]:
        """A look-up in the young generation only, valid until the next rotation; faster than `get`."""
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
        """Store a value."""
        self._young[key] = value

    def add_ahead(self, ahead: Iterable[int]) -> None:
        """Add the claimed times of earlier events whose clocks were ahead of their records."""
        self._ahead.update(ahead)
        self._bound()

    def observe(self, claimed_at: int, ahead_at: int) -> None:
        """Note an event's claimed time; `ahead_at` is the same if its clock is ahead, else 0."""
        if ahead_at:
            self._ahead.add(ahead_at)
        elif claimed_at > self._newest:
            self._newest = claimed_at

    def may_have_seen(self, claimed_at: int, ahead_at: int) -> bool:
        """Say whether an absent key may belong to an event that was seen and forgotten."""
        return not self.complete and bool(claimed_at <= self.floor or ahead_at or claimed_at in self._ahead)

    def should_rotate(self, log_time: int) -> bool:
        """Say whether the memory should rotate at this record time (epoch milliseconds)."""
        if self._rotated_at is None:
            self._rotated_at = log_time
        return len(self._young) >= self.capacity or (
            len(self._young) > 0 and abs(log_time - self._rotated_at) >= self.lifetime * 1000
        )

    def rotate(self, log_time: int) -> None:
        """Forget the old generation and start a new young one.

        Call it only when the raw table has every event up to now, so that a look-up finds it.
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
            # Somebody sends them on purpose. Looking everything up is slower, and just as exact.
            self.floor = max(self._ahead)
            self._ahead.clear()
