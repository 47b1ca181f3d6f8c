"""The classes of faults of records, as dead letters carry them."""

from __future__ import annotations

from typing import Final, Literal, get_args

Fault = Literal["Empty", "NotJson", "UnknownType", "Invalid", "TooDeep", "TooOld", "Unreadable"]

FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
#: The letter's value is a whole batch of records, which cannot be replayed as a record.
UNREADABLE: Final = "Unreadable"
#: Bytes that a record batch may have when it is decompressed. Compressed, brokers accept 1 MB by default, and
#: JSON takes ten to thirty times as much.
MAX_BATCH_BYTES: Final = 128 << 20
#: All names, joined for use in a sentence.
NAMED: Final = f"{', '.join(FAULTS[:-1])} or {FAULTS[-1]}"
#: Bytes kept of the value and the key of a record that is too large for a dead letter: a compressed one may
#: hold any number of bytes.
KEPT_VALUE_BYTES: Final = 512 << 10
KEPT_KEY_BYTES: Final = 64 << 10
