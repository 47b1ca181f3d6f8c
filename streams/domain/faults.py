"""The classes of faults of records, as dead letters carry them."""

from __future__ import annotations

from typing import Final, Literal, get_args

Fault = Literal["Empty", "NotJson", "UnknownType", "Invalid", "TooDeep", "TooOld", "Unreadable"]

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
#: All names, joined for use in a sentence.
NAMED: Final = f"{', '.join(FAULTS[:-1])} or {FAULTS[-1]}"
