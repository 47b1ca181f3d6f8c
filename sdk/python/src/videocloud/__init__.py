"""VideoCloud Analytics for Python: query the API, and send events.

`VideoCloud` is synchronous, `AsyncVideoCloud` asynchronous; both have `analytics` and `events`. Responses are
in `videocloud.models`, errors in `videocloud.errors`, events in `videocloud.events`, and the values that
parameters accept in `videocloud.types`.
"""

from videocloud._client import AsyncVideoCloud, VideoCloud
from videocloud._live import AsyncLiveStream, LiveStream
from videocloud._sending import VERSION as __version__
from videocloud.errors import (
    APIConnectionError,
    APIError,
    APIResponseError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    DeliveryError,
    EventError,
    ExportError,
    ExportFailedError,
    ExportTimeoutError,
    GoneError,
    InvalidEventError,
    MissingExtraError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    UnavailableError,
    VideoCloudError,
)

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseError",
    "APIStatusError",
    "APITimeoutError",
    "AsyncLiveStream",
    "AsyncVideoCloud",
    "AuthenticationError",
    "BadRequestError",
    "ConflictError",
    "DeliveryError",
    "EventError",
    "ExportError",
    "ExportFailedError",
    "ExportTimeoutError",
    "GoneError",
    "InvalidEventError",
    "LiveStream",
    "MissingExtraError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitError",
    "ServerError",
    "UnavailableError",
    "VideoCloud",
    "VideoCloudError",
    "__version__",
]
