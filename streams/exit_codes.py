"""Exit statuses of a worker, for whoever starts it again."""

from __future__ import annotations

from typing import Final

#: After a fault that only a new start can mend (EX_SOFTWARE).
FAULT: Final = 70
#: After too many dead letters (EX_DATAERR): a new start mends nothing before somebody has looked.
REFUSED: Final = 65
