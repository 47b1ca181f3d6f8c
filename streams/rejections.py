"""The limit on dead letters: above it, the fault is likely not in the records.

A producer with a new format, or a worker that is too old for it, would send a whole topic to the dead
letters. Stopping is better: the records stay in their topic, and need not be replayed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from sinks.base import Partition
from streams.domain.arrivals import Record, Rejected

_REASONS: Final = 5
_SAMPLES: Final = 3
_BYTES_SHOWN: Final = 120


class TooManyRejected(Exception):
    """More of a topic's last records were rejected than the allowed share."""

    def __init__(
        self, topic: str, rejected: int, window: int, share: float, reasons: list[str], samples: list[str]
    ) -> None:
        """Keep the topic, the numbers, and some reasons and samples for the log."""
        super().__init__(
            f"{rejected} of the last {window} records of {topic} cannot be taken, and the limit is"
            f" {share:.0%}: {reasons[0] if reasons else ''}"
        )
        self.topic, self.rejected, self.window, self.share = topic, rejected, window, share
        #: Most frequent first, each with its count.
        self.reasons = reasons
        #: The newest rejected records, each with its offset and the beginning of its value.
        self.samples = samples


class Rejections:
    """Watches the share of rejected records among the last ones of each topic, as this worker reads them."""

    def __init__(self, share: float = 0.0, window: int = 1000) -> None:
        """Allow `share` of the last `window` records of a topic; 0 allows everything.

        The limit applies only after `window` records of the topic were read.
        """
        self._share, self._window = share, window
        self._topics: dict[str, _Window] = {}

    def note(self, partition: Partition, records: Sequence[Record], rejected: Sequence[Rejected]) -> None:
        """Note a batch of records, and the rejected ones among them, in order.

        Raises `TooManyRejected`; so none of them is counted or sent to the dead letters.
        """
        if not self._share:
            return
        window = self._topics.setdefault(partition.topic, _Window(self._window))
        worst = window.note(partition, records, rejected)
        if worst > self._share * self._window:
            raise TooManyRejected(
                partition.topic, worst, self._window, self._share, window.reasons(), window.samples()
            )


class _Window:
    """The rejected records among the last `size` records of a topic."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._read = 0
        #: Sequence number in the order of reading, partition, and rejected record.
        self._bad: deque[tuple[int, Partition, Rejected]] = deque()

    def note(self, partition: Partition, records: Sequence[Record], rejected: Sequence[Rejected]) -> int:
        """Add records; return the largest number of rejected ones in any full window that ends among them."""
        worst, first_full = 0, self._size
        for letter in rejected:
            number = self._read + bisect_left(records, letter.record.offset, key=lambda each: each.offset)
            if self._read < first_full <= number:
                # The window became full at a good record, and may have fewer bad ones at the next bad one.
                worst, first_full = self._held(first_full), 0
            self._bad.append((number, partition, letter))
            worst = max(worst, self._held(number + 1))
        self._read += len(records)
        return max(worst, self._held(self._read))

    def _held(self, read: int) -> int:
        while self._bad and self._bad[0][0] < read - self._size:
            self._bad.popleft()
        return len(self._bad) if read >= self._size else 0

    def reasons(self) -> list[str]:
        counted = Counter(f"{letter.error}: {letter.reason}" for _, _, letter in self._bad)
        return [f"{count} x {reason}" for reason, count in counted.most_common(_REASONS)]

    def samples(self) -> list[str]:
        newest = list(self._bad)[-_SAMPLES:]
        return [
            f"{partition.topic}/{partition.number} offset {letter.record.offset}: {letter.error}:"
            f" {(letter.record.value or b'')[:_BYTES_SHOWN]!r}"
            for _, partition, letter in newest
        ]
