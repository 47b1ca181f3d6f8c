"""All errors, as one tree.

```
VideoCloudError
├── APIError                        a request to the API failed
│   ├── APIConnectionError          no response: refused, dropped, no such host
│   │   └── APITimeoutError         no response in time
│   ├── APIResponseError            a response that does not match the API's contract
│   └── APIStatusError              an error response: status, code, message, details, request_id
│       ├── BadRequestError         400, 416  an invalid parameter, or range of a file
│       ├── AuthenticationError     401  no key, or a wrong one
│       ├── PermissionDeniedError   403  the key lacks the scope, or the link is invalid
│       ├── NotFoundError           404  no such video, no such export
│       ├── ConflictError           409  the export's file is not ready yet
│       ├── GoneError               410  the export has expired
│       ├── RateLimitError          429  the key made too many requests
│       └── ServerError             5xx  a server error
│           └── UnavailableError    503  the data cannot be read at the moment
├── ExportError                     an export produced no file
│   ├── ExportFailedError           the export failed on the server
│   └── ExportTimeoutError          the export was not ready within the time-out
└── EventError                      sending events failed
    ├── InvalidEventError           an event violates the contract (also a ValueError)
    ├── DeliveryError               events that Kafka did not accept: `failed` lists them with reasons
    └── MissingExtraError           `videocloud[kafka]` is not installed (also an ImportError)
```

The text of an error is one line that says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class VideoCloudError(Exception):
    """Base class of all errors of this library."""


class APIError(VideoCloudError):
    """A request to the API failed."""


class APIConnectionError(APIError):
    """No response arrived: nothing listens, the connection was dropped, or the host does not exist."""


class APITimeoutError(APIConnectionError):
    """No response arrived in time."""


class APIResponseError(APIError):
    """The response violates the API's contract: it comes from another server or another version."""


class APIStatusError(APIError):
    """The API returned an error response.

    `status` is the HTTP status, `code` one of `ANALYTICS_...` (empty if something in front of the API
    answered), `details` the API's details, such as `parameter` and `allowed`, `request_id` the request's id
    in the API's log, `retry_after` the seconds that the API asks to wait before a retry.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str = "",
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Take the content of the error response."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Return one line: `Invalid period. (400 ANALYTICS_INVALID_PERIOD, request 5f1c9e0a)`."""
        known = f"{self.status} {self.code}".rstrip()
        asked = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message} ({known}{asked})"


class BadRequestError(APIStatusError):
    """A parameter is invalid: `details` names it and its allowed values."""


class AuthenticationError(APIStatusError):
    """No API key was sent, or an unknown one."""


class PermissionDeniedError(APIStatusError):
    """The API key lacks the required scope, or the signature of a link is invalid."""


class NotFoundError(APIStatusError):
    """There is no such video, or no such export."""


class ConflictError(APIStatusError):
    """The export's file is not ready yet."""


class GoneError(APIStatusError):
    """The export has expired."""


class RateLimitError(APIStatusError):
    """The API key made too many requests: `retry_after` says how long to wait."""


class ServerError(APIStatusError):
    """A server error: report the `request_id` to the API's operator."""


class UnavailableError(ServerError):
    """The data cannot be read at the moment."""


class ExportError(VideoCloudError):
    """An export produced no file."""

    def __init__(self, export_id: str, message: str) -> None:
        """Take the export's id and the message."""
        super().__init__(message)
        self.export_id = export_id


class ExportFailedError(ExportError):
    """The export failed on the server; starting a new one may help."""


class ExportTimeoutError(ExportError):
    """The export was not ready within the time-out; the server continues to write it."""


class EventError(VideoCloudError):
    """Sending events failed."""


class InvalidEventError(EventError, ValueError):
    """An event violates the platform's contract for events."""


class MissingExtraError(EventError, ImportError):
    """The package that sends events is not installed."""


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A record that Kafka did not accept, and the reason."""

    topic: str
    key: str
    value: bytes | None
    reason: str


class DeliveryError(EventError):
    """Kafka did not accept events. You can send them again: the platform drops repeats by their ids.

    `failed` has the records that are known to have failed, at most a thousand. `count` is the number of all
    undelivered records, including those that may still be delivered.
    """

    def __init__(self, message: str, failed: Sequence[FailedDelivery] = (), count: int = 0) -> None:
        """Take the failed records."""
        super().__init__(message)
        self.failed = tuple(failed)
        self.count = max(count, len(self.failed))
