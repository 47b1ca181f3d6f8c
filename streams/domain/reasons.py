"""What is wrong with a record, in words for the team whose producer wrote it.

The decoder's own words name a byte or a field; for the usual mistakes, these add what to change. A reason
has no ids or times of the record in it, so that letters with the same mistake can be counted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Literal, get_args, get_origin

import msgspec

from streams.domain.events import LATEST_MS, TAGS

#: Characters of a reason, which may quote the input.
REASON_LENGTH: Final = 300
#: Names that a reason lists of a record's fields, and bytes that it quotes of a record's beginning.
_NAMES, _QUOTED = 10, 8
#: Fields of a larger record are not listed: its names alone could fill the memory.
_LISTED_BYTES: Final = 64 << 10

#: How values begin that are not JSON, and what to do about it.
_BEGINNINGS: Final = (
    (b"\xef\xbb\xbf", "begins with a byte order mark: write UTF-8 without one"),
    (b"\xff\xfe", "is UTF-16: write UTF-8"),
    (b"\xfe\xff", "is UTF-16: write UTF-8"),
    (b"\x1f\x8b", "is a gzip file: write plain JSON, and let the Kafka client compress it"),
    (b"Obj\x01", "is an Avro file: write JSON"),
)
#: A zero byte and the four bytes of a schema's id.
_REGISTRY_BYTES: Final = 5

#: Parts of the decoder's words, and what to do about it; the first that fits is added.
_ADVICE: Final = (
    ("Expected `object`, got `array`", "send each event as a record of its own"),
    ("Expected `object`, got `str`", "the event was serialized twice"),
    ("datetime`, got `float`", "write epoch milliseconds as a whole number, or RFC 3339"),
    ("datetime | null`, got `float`", "write epoch milliseconds as a whole number, or RFC 3339"),
    ("Invalid RFC3339", "write 2026-11-23T19:30:00Z, or epoch milliseconds as a number"),
    ("with a timezone component", "write 2026-11-23T19:30:00Z, or epoch milliseconds as a number"),
    (f"<= {LATEST_MS}", "times are epoch milliseconds, not microseconds or nanoseconds"),
    ("Expected `int`, got `float`", "write whole numbers without a fraction or exponent"),
    ("Expected `int | null`, got `float`", "write whole numbers without a fraction or exponent"),
)

#: The values of each field that takes only some, by its path in the decoder's words.
_CHOICES: Final = {
    f"`$.{field.encode_name}`": sorted(get_args(field.type))
    for kind in TAGS
    for field in msgspec.structs.fields(kind)
    if get_origin(field.type) is Literal
}


def not_json(value: bytes, error: Exception) -> str:
    """Say why bytes are not JSON; `error` is what the decoder raised."""
    for beginning, advice in _BEGINNINGS:
        if value.startswith(beginning):
            return f"the record {advice}"
    if value[0] == 0 and len(value) > _REGISTRY_BYTES:
        return "the record begins with a schema registry's header: use a serializer that writes JSON alone"
    try:
        value.decode()
    except UnicodeDecodeError as found:
        return f"the record is not UTF-8 (byte {found.start}): write JSON in UTF-8, not a binary format"
    told = str(error)
    if "trailing characters" in told:
        told += ": write one JSON object, and each event as a record of its own"
    elif "(byte 0)" in told:
        told += f": the record begins with {value[:_QUOTED]!r}, not with {{"
    return told[:REASON_LENGTH]


def invalid(value: bytes, error: Exception, types: Sequence[str]) -> str:
    """Say why JSON is no event of a topic, which takes events of `types`."""
    told = str(error)
    if "Invalid value" in told and "`$.type`" in told:
        told += f": the topic takes {', '.join(types)}"
    elif "Invalid enum value" in told:
        told += next((f": one of {', '.join(some)}" for at, some in _CHOICES.items() if at in told), "")
    elif "missing required field" in told and (names := _names(value)):
        told += f": there are {', '.join(f'`{name}`' for name in names)}"
    else:
        told += next((f": {advice}" for part, advice in _ADVICE if part in told), "")
    return told[:REASON_LENGTH]


def _names(value: bytes) -> list[str]:
    if len(value) > _LISTED_BYTES:
        return []
    with suppress(ValueError, RecursionError, msgspec.MsgspecError):
        return list(msgspec.json.decode(value, type=dict[str, msgspec.Raw]))[:_NAMES]
    return []


#: Times in seconds between 2001 and 2100 are, taken as milliseconds, times of the year 1970.
_SECONDS: Final = range(10**9, LATEST_MS // 1000)


def too_old(field: str, given: int) -> str:
    """Say that a time is before the retention of raw events; `given` is in milliseconds, as it was sent."""
    told = f"`{field}` is older than the retention of raw events"
    return f"{told}: it looks like seconds, and must be milliseconds" if given in _SECONDS else told
