"""What events share: ids, times, limits and the way onto the wire.

The published JSON Schemas (`docs/schemas/` of the platform) say the same; tests hold both together. Where
the schema lets any text through that is then counted as `other` or `unknown`, the words are spelled out.
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
#: The year 1973: a smaller number is one of seconds.
_EARLIEST_MS: Final = 100_000_000_000
#: The year 2100.
_LATEST_MS: Final = 4_102_444_800_000

#: Which topic takes an event; what it is called there is a matter of settings.
Channel = Literal["playback", "users", "systems", "catalog"]


def instant_ms(value: object) -> int:
    """Return an instant as epoch milliseconds; raise ValueError for what is none."""
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError("a datetime without a time zone is no instant: say datetime(..., tzinfo=UTC)")
        value = (value - _EPOCH) // timedelta(milliseconds=1)
    if type(value) is not int or not _EARLIEST_MS <= value <= _LATEST_MS:
        raise ValueError("must be an aware datetime, or epoch milliseconds (not seconds) as an int")
    return value


#: Epoch milliseconds or an aware datetime; held and sent as milliseconds.
Instant = Annotated[int | datetime, BeforeValidator(instant_ms)]
EventId = Annotated[str, Field(min_length=1, max_length=64)]
Identifier = Annotated[str, Field(min_length=1, max_length=128)]
Label = Annotated[str, Field(max_length=64)]
Text = Annotated[str, Field(max_length=1024)]
Country = Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")]
Millis = Annotated[int, Field(ge=0, le=7 * _DAY_MS)]
#: Of a whole content; of a JavaScript number.
Length = Annotated[int, Field(ge=0, le=2**53)]
DurationMs = Annotated[float, Field(ge=0, le=7 * _DAY_MS)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Sequence = Annotated[int, Field(ge=0, le=2**31 - 1)]
Kbps = Annotated[int, Field(ge=0, le=10_000_000)]
Size = Annotated[int, Field(ge=0, le=2**60)]
Share = Annotated[float, Field(ge=0, le=1)]
Load = Annotated[float, Field(ge=0, le=1_000_000)]
Status = Annotated[int, Field(ge=100, le=599)]


class Outgoing(BaseModel):
    """Something to send: snake_case here, camelCase on the wire; immutable, and without unknown fields."""

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
    """What every event carries. Id and time are made when they are not given."""

    event_id: EventId = Field(default_factory=new_id)
    """Unique; the idempotency key. The same id again is the same event."""
    occurred_at: Instant = Field(default_factory=now_ms)
    """When it happened: epoch milliseconds, or an aware datetime."""
    sent_at: Instant | None = None
    """The clock of a client when it sent this: corrects `occurred_at` by the record's timestamp."""


class Person(Event):
    """An event of a person: `user_id` when signed in, else `viewer_id`; one of them is required."""

    session_id: Identifier
    """The visit."""
    user_id: Identifier | None = None
    """Who, when signed in."""
    viewer_id: Identifier | None = None
    """Who, when not signed in: an id of the browser or the app."""
    country: Country | None = None
    """ISO 3166-1 alpha-2."""
    device: Device | None = None
    platform: Platform | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Raise ValueError for nobody."""
        if self.user_id is None and self.viewer_id is None:
            raise ValueError("user_id or viewer_id is required: whose event is it?")


def built(kind: Callable[P, E], *args: P.args, **kwargs: P.kwargs) -> E:
    """Make an event. Raises InvalidEventError, which says in one line what is wrong."""
    try:
        return kind(*args, **kwargs)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'event'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False)
        )
        raise InvalidEventError(f"{error.title} is not a sound event: {problems}") from error
