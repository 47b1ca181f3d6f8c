"""Exit statuses of a worker, for the supervisor that restarts it."""

from __future__ import annotations

from typing import Final

#: After a fault that a restart can mend (EX_SOFTWARE).
FAULT: Final = 70
#: After too many dead letters (EX_DATAERR): a restart does not help before somebody has found the cause.
REFUSED: Final = 65
