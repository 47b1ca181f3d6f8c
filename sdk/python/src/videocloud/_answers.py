"""Responses as models or as errors. Pure, except for the clock that `Retry-After` dates need."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final, TypeVar

import httpx2
from pydantic import ValidationError

from videocloud import errors
from videocloud._calls import Call
from videocloud._retry import retry_after
from videocloud.models.base import Answer, ErrorResponse, Model, Response

M = TypeVar("M", bound=Model)

_KINDS: Final[dict[int, type[errors.APIStatusError]]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    410: errors.GoneError,
    416: errors.BadRequestError,
    429: errors.RateLimitError,
    503: errors.UnavailableError,
}


def read(response: httpx2.Response, call: Call, model: type[M]) -> M:
    """Return the data of a response. Raises APIResponseError when it violates the API's contract."""
    try:
        return data(response.content, model)
    except ValidationError as error:
        raise unexpected(call, response, error) from error


def data(text: bytes | str, model: type[M]) -> M:
    """Return the data of an envelope, with the envelope's `meta`. Raises ValidationError."""
    answer: Response[M] = Response[model].model_validate_json(text)  # type: ignore[valid-type]
    found = answer.data
    if isinstance(found, Answer) and answer.meta is not None:
        found.about(answer.meta)
    return found


def plain(response: httpx2.Response, call: Call, model: type[M]) -> M:
    """Return a response without an envelope. Raises APIResponseError when it violates the API's contract."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise unexpected(call, response, error) from error


def unexpected(call: Call, response: httpx2.Response, error: ValidationError) -> errors.APIResponseError:
    """Return an error that names the first mismatch in one line."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "body"
    return errors.APIResponseError(
        f"{call} returned a response that does not match this version of the API ({where}: {first['msg']}). "
        f"Check that {response.url.copy_with(path='/', query=None)} is the right base_url."
    )


def refusal(response: httpx2.Response, call: Call, keyed: bool) -> errors.APIStatusError:
    """Return an error response as an error; its body must have been read. `keyed`: a key was sent."""
    status = response.status_code
    kind = _KINDS.get(status) or (errors.ServerError if status >= 500 else errors.APIStatusError)
    try:
        told = ErrorResponse.model_validate_json(response.content).error
    except ValidationError:
        # From a proxy in between, or another server altogether.
        code, message, details = "", f"{call} returned {_phrase(status)}.", {}
    else:
        code, message, details = told.code, told.message, told.details
    if status == 401:
        message = (
            "The API rejected the API key: check api_key or VIDEOCLOUD_API_KEY."
            if keyed
            else "The API requires an API key: pass api_key or set VIDEOCLOUD_API_KEY."
        )
    return kind(
        message,
        status=status,
        code=code,
        details=details,
        request_id=response.headers.get("x-request-id"),
        retry_after=retry_after(response.headers.get("retry-after"), datetime.now(UTC)),
    )


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
