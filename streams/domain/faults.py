"""What can be wrong with a record: the classes of faults that dead letters carry."""

from __future__ import annotations

from typing import Final, Literal, get_args

Fault = Literal["Empty", "NotJson", "UnknownType", "Invalid", "TooDeep", "TooOld"]

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
#: All of them, for a sentence.
NAMED: Final = f"{', '.join(FAULTS[:-1])} or {FAULTS[-1]}"
