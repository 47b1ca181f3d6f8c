"""Warnings when the stand-in broker, which never deletes records, uses much memory."""

from __future__ import annotations

_GIB = 1 << 30
_FIRST = 2


class Growth:
    """Warns at 2 GiB and again at each further GiB."""

    def __init__(self) -> None:
        """Start without a warning given."""
        self._said = _FIRST - 1

    def notice(self, size: int) -> str | None:
        """Return a warning when `size` bytes of memory passed a mark for the first time, else None."""
        mark = size // _GIB
        if mark <= self._said:
            return None
        self._said = mark
        return (
            f"the stand-in broker holds {size / _GIB:.1f} GiB: it keeps every record in memory, "
            "0.36 GB a million events. A restart empties it; what was counted stays in ClickHouse and "
            "Redis. For long runs, set KAFKA_BOOTSTRAP_SERVERS to a real Kafka."
        )
