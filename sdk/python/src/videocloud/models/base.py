"""The parts that all responses share."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PrivateAttr,
    ValidationError,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core.core_schema import CoreSchema, ValidatorFunctionWrapHandler, nullable_schema

T = TypeVar("T")


def _or_any_text(value: Any, known: ValidatorFunctionWrapHandler) -> Any:
    try:
        return known(value)
    except ValidationError:
        if isinstance(value, str):
            return value
        raise


#: A set of values that a newer API may extend: unknown values are accepted as they are.
Open = Annotated[T, WrapValidator(_or_any_text)]


class Model(BaseModel):
    """camelCase on the wire, snake_case here; immutable. Fields that a newer API adds are ignored."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="ignore")


class _Nullable:
    """Lets a field be null in the response, though type checkers need not know."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return nullable_schema(handler(source))


#: A part of a response that the API omits if it was not requested (see `Partial`).
Omittable = Annotated[T, _Nullable()]
#: The default of such a part.
OMITTED: Any = Field(default=None)


class Stretch(Model):
    """A half-open interval of time."""

    start: datetime
    end: datetime


class Meta(Model):
    """About the response."""

    as_of: datetime
    """When the response was computed."""
    partial: bool
    """True while the window is not over."""
    timezone: str
    """Time zone of days, weeks and hours."""
    source: Open[Literal["redis", "clickhouse"]]
    """The store that was read."""


class Answer(Model):
    """A response of the API, with its `meta`."""

    _meta: Meta | None = PrivateAttr(None)

    @property
    def meta(self) -> Meta:
        """When it was computed, from which store, in which time zone, and whether the window is over."""
        if self._meta is None:
            raise AttributeError("only responses of the API have `meta`; this object was created by hand")
        return self._meta

    def about(self, meta: Meta) -> None:
        """Set the `meta` of this response."""
        self._meta = meta


class Partial(Answer):
    """A response with parts that are omitted if they were not requested.

    Whoever requests a part, which is the default, need not check that it is there. A part that was not
    requested is no attribute: reading it raises an AttributeError that says so, and `model_dump` omits it.
    """

    def model_post_init(self, context: Any) -> None:
        """Remove the parts that were not returned."""
        super().model_post_init(context)
        for name, field in type(self).model_fields.items():
            if (
                any(isinstance(each, _Nullable) for each in field.metadata)
                and self.__dict__.get(name) is None
            ):
                self.__dict__.pop(name, None)
                self.__pydantic_fields_set__.discard(name)

    # Type checkers would otherwise allow any attribute.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Raise an error that names the missing part."""
            if name in type(self).model_fields:
                raise AttributeError(
                    f"this {type(self).__name__} has no {name!r}, because the request excluded it: see "
                    "`metrics` and `compare` of the method"
                )
            return super().__getattr__(name)


A = TypeVar("A", bound=Model)


class Response(Model, Generic[A]):
    """The envelope of every successful response."""

    success: Literal[True]
    data: A
    meta: Meta | None = None


class Error(Model):
    """What went wrong."""

    code: str
    message: str
    details: dict[str, Any]
    """`requestId` always; `parameter` and `allowed` if one parameter is invalid."""


class ErrorResponse(Model):
    """The envelope of every error response, whatever its status."""

    success: Literal[False]
    error: Error


class Health(Model):
    """Health of the API and its stores."""

    status: Open[Literal["ok", "degraded", "unavailable"]]
    stores: dict[str, bool] = {}
    """Whether each store answers."""
