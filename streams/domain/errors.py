"""The error classes of this project. They know no HTTP; `api/errors.py` maps them to statuses.

    VideoCloudError
    ├── RequestError                  the caller can correct the request
    │   ├── InvalidPeriodError        period, start, end, timezone, groupBy or compare
    │   ├── NotKeptError              a window that begins before the data that are kept
    │   ├── InvalidMetricsError       metrics
    │   ├── InvalidParameterError     any other parameter, or an unknown one
    │   └── UnknownVideoError         a video without a catalog entry and without events
    ├── StoreError                    a store answered with an error
    │   └── StoreUnavailableError     it cannot be reached or used now
    └── MigrationError                the schema cannot be brought up to date

Messages of a `RequestError` are written for the caller and shown to them as they are; all other
messages are for the operator's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class VideoCloudError(Exception):
    """The base of all errors that are raised on purpose."""


class RequestError(VideoCloudError):
    """A request that cannot be answered as it is.

    `details` is for programs: which parameter, what was given, what is allowed.
    """

    def __init__(self, message: str, **details: Any) -> None:
        """Keep a message for people and details for programs."""
        super().__init__(message)
        self.details: Mapping[str, Any] = details


class InvalidPeriodError(RequestError):
    """An invalid period, instant, time zone or grouping."""


class NotKeptError(RequestError):
    """A window that begins before the data that are kept, so that its numbers would be too low."""


class InvalidMetricsError(RequestError):
    """Metrics that the endpoint does not have."""


class InvalidParameterError(RequestError):
    """An unknown parameter, or one with an invalid value."""


class UnknownVideoError(RequestError):
    """A video that is not in the catalog and has no events."""

    def __init__(self, video_id: str) -> None:
        """Say which video is unknown."""
        super().__init__("There is no video with this id, and no event of it.", video=video_id)


class StoreError(VideoCloudError):
    """A store answered with an error."""


class StoreUnavailableError(StoreError):
    """A store cannot be reached or used now; the same request may succeed a little later."""

    def __init__(self, store: str, reason: str) -> None:
        """Say which store failed, and how, for the log."""
        super().__init__(f"{store}: {reason}")
        self.store = store


class MigrationError(VideoCloudError):
    """This version cannot work with the database's schema; the message says what to do."""
