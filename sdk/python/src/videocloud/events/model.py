"""The parts that events share: ids, times, limits and serialization.

The published JSON Schemas (`docs/schemas/` of the platform) define the same; tests keep both in agreement.
Where a schema accepts any text, because unknown values count as `other` or `unknown`, only the known values
are accepted here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, ParamSpec, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from videocloud.errors import InvalidEventError
from videocloud.events.ids import new_id, now_ms
from videocloud.types import Device, Platform

P = ParamSpec("P")
E = TypeVar("E")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000
#: The year 1973: a smaller number is probably in seconds.
_EARLIEST_MS: Final = 100_000_000_000
#: The year 2100.
_LATEST_MS: Final = 4_102_444_800_000

#: The kind of topic that an event goes to; `Topics` has the names.
Channel = Literal["playback", "users", "systems", "catalog"]


def instant_ms(value: object) -> int:
    """Return an instant as epoch milliseconds; raise ValueError for an invalid one."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError("the datetime has no time zone: pass an aware one, as datetime(..., tzinfo=UTC)")
        value = (value - _EPOCH) // timedelta(milliseconds=1)
    if type(value) is not int or not _EARLIEST_MS <= value <= _LATEST_MS:
        raise ValueError("must be an aware datetime, or epoch milliseconds (not seconds) as an int")
    return value


#: Epoch milliseconds or an aware datetime; stored and sent as milliseconds.
Instant = Annotated[int | datetime, BeforeValidator(instant_ms)]
EventId = Annotated[str, Field(min_length=1, max_length=64)]
Identifier = Annotated[str, Field(min_length=1, max_length=128)]
Label = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=1024)]
Country = Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")]
Millis = Annotated[int, Field(ge=0, le=7 * _DAY_MS)]
#: Length of a whole content in milliseconds, up to the largest exact integer of JavaScript.
Length = Annotated[int, Field(ge=0, le=2**53)]
DurationMs = Annotated[float, Field(ge=0, le=7 * _DAY_MS)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Sequence = Annotated[int, Field(ge=0, le=2**31 - 1)]
Kbps = Annotated[int, Field(ge=0, le=10_000_000)]
Size = Annotated[int, Field(ge=0, le=2**60)]
#: Bytes of one operation.
Moved = Annotated[int, Field(ge=0, le=2**50)]
Share = Annotated[float, Field(ge=0, le=1)]
Load = Annotated[float, Field(ge=0, le=1_000_000)]
Status = Annotated[int, Field(ge=100, le=599)]


class Outgoing(BaseModel):
    """A record to send: snake_case here, camelCase on the wire; immutable, and without unknown fields."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="forbid")

    channel: ClassVar[Channel]

    @property
    def key(self) -> str:
        """Return the key of the record, which decides its partition."""
        raise NotImplementedError

    def to_json(self) -> bytes:
        """Return the value of the record."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


class Event(Outgoing):
    """Fields of every event. Id and time are generated if omitted."""

    event_id: EventId = Field(default_factory=new_id)
    """Unique id and idempotency key: an event with the same id is the same event."""
    occurred_at: Instant = Field(default_factory=now_ms)
    """Time of the event: epoch milliseconds, or an aware datetime."""
    sent_at: Instant | None = None
    """The client's clock when it sent the event: corrects `occurred_at` with the record's timestamp."""


class Person(Event):
    """An event of a person: `user_id` when signed in, else `viewer_id`; one of them is required."""

    session_id: Identifier
    """Id of the visit."""
    user_id: Identifier | None = None
    """Id of a signed-in user."""
    viewer_id: Identifier | None = None
    """Id of the browser or app of a person who is not signed in."""
    country: Country | None = None
    """ISO 3166-1 alpha-2."""
    device: Device | None = None
    platform: Platform | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Raise ValueError if both ids of the person are missing."""
        if self.user_id is None and self.viewer_id is None:
            raise ValueError("user_id or viewer_id is required")


def built(kind: Callable[P, E], *args: P.args, **kwargs: P.kwargs) -> E:
    """Create an event. Raises InvalidEventError, which says in one line what is wrong."""
    try:
        return kind(*args, **kwargs)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'event'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False)
        )
        raise InvalidEventError(f"{error.title} is invalid: {problems}") from error
