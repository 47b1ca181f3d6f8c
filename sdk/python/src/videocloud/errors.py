"""Everything that can go wrong, as one tree.

```
VideoCloudError
├── APIError                        a request to the API failed
│   ├── APIConnectionError          no response: refused, dropped, no such host
│   │   └── APITimeoutError         no response in time
│   ├── APIResponseError            a response that does not match the API's contract
│   └── APIStatusError              an error response: status, code, message, details, request_id
│       ├── BadRequestError         400  an invalid parameter
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
    """Root of all errors of this library."""


class APIError(VideoCloudError):
    """Asking the API failed."""


class APIConnectionError(APIError):
    """No answer came: nothing listens, the connection was dropped, there is no such host."""


class APITimeoutError(APIConnectionError):
    """No answer came in time."""


class APIResponseError(APIError):
    """An answer came that is not what the API promises: another server, or another version."""


class APIStatusError(APIError):
    """The API answered with an error.

    `status` is that of HTTP, `code` one of `ANALYTICS_...` (empty when something between here and the API
    answered), `details` what the API adds, such as `parameter` and `allowed`, `request_id` the id under
    which the API has it in its log, `retry_after` the seconds after which it wants to be asked again.
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
        """Take what the answer says."""
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.details = dict(details or {})
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        """Say it in one line: `Invalid period. (400 ANALYTICS_INVALID_PERIOD, request 5f1c9e0a)`."""
        known = f"{self.status} {self.code}".rstrip()
        asked = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message} ({known}{asked})"


class BadRequestError(APIStatusError):
    """A parameter is not what it should be: `details` names it and what it allows."""


class AuthenticationError(APIStatusError):
    """No API key was sent, or one that the API does not know."""


class PermissionDeniedError(APIStatusError):
    """The API key does not open what was asked for, or the signature of a link is not right."""


class NotFoundError(APIStatusError):
    """There is no such video, or no such export."""


class ConflictError(APIStatusError):
    """The export's file is not ready yet."""


class GoneError(APIStatusError):
    """The export has expired."""


class RateLimitError(APIStatusError):
    """The API key made too many requests: `retry_after` says how long to wait."""


class ServerError(APIStatusError):
    """A fault there: tell its operator the `request_id`."""


class UnavailableError(ServerError):
    """The data cannot be read at the moment."""


class ExportError(VideoCloudError):
    """An export produced no file."""

    def __init__(self, export_id: str, message: str) -> None:
        """Name the export and what happened to it."""
        super().__init__(message)
        self.export_id = export_id


class ExportFailedError(ExportError):
    """The export failed there; asking for a new one may help."""


class ExportTimeoutError(ExportError):
    """The export was not ready in the time that you would wait; it goes on there."""


class EventError(VideoCloudError):
    """Sending events failed."""


class InvalidEventError(EventError, ValueError):
    """An event is not what the contract with the platform says."""


class MissingExtraError(EventError, ImportError):
    """What sends events is not installed."""


@dataclass(frozen=True, slots=True)
class FailedDelivery:
    """A record that Kafka did not take, and why."""

    topic: str
    key: str
    value: bytes | None
    reason: str


class DeliveryError(EventError):
    """Kafka did not take events. They can be sent again: the platform knows repeats by their ids.

    `failed` has the records that are known to have failed, at most a thousand, `count` is the number of all
    of them, with those whose fate is not known.
    """

    def __init__(self, message: str, failed: Sequence[FailedDelivery] = (), count: int = 0) -> None:
        """Take what failed."""
        super().__init__(message)
        self.failed = tuple(failed)
        self.count = max(count, len(self.failed))
