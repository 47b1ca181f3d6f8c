"""The errors that this project raises on purpose. They know no HTTP; `api/errors.py` maps them.

    VideoCloudError
    ├── RequestError                  the caller can do something about it
    │   ├── InvalidPeriodError        period, start, end, timezone, groupBy or compare
    │   ├── InvalidMetricsError       metrics
    │   ├── InvalidParameterError     any other parameter, or one that nobody knows
    │   └── UnknownVideoError         no catalog entry and no event of that video
    ├── StoreError                    a store did not do what was asked
    │   └── StoreUnavailableError     it cannot be reached, or not used, now
    └── MigrationError                the schema cannot be brought up to date

Messages of a `RequestError` are written for the caller and shown to them as they are; all other
messages are for the operator's log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class VideoCloudError(Exception):
    """Anything that goes wrong in a way that was thought of."""


class RequestError(VideoCloudError):
    """A question that cannot be answered as it was asked.

    `details` is for programs: which parameter, what was given, what is allowed.
    """

    def __init__(self, message: str, **details: Any) -> None:
        """Keep a message for people and details for programs."""
        super().__init__(message)
        self.details: Mapping[str, Any] = details


class InvalidPeriodError(RequestError):
    """A period, an instant, a time zone or a grouping that is not one."""


class InvalidMetricsError(RequestError):
    """Metrics that the endpoint does not have."""


class InvalidParameterError(RequestError):
    """A parameter that does not exist, or does not hold what it should."""


class UnknownVideoError(RequestError):
    """A video that is in no catalog and of which no event was ever seen."""

    def __init__(self, video_id: str) -> None:
        """Say which video is unknown."""
        super().__init__("There is no video with this id, and no event of it.", video=video_id)


class StoreError(VideoCloudError):
    """A store answered with an error."""


class StoreUnavailableError(StoreError):
    """A store cannot be reached, or cannot be used now; the same question may work a little later."""

    def __init__(self, store: str, reason: str) -> None:
        """Say which store failed, and how, for the log."""
        super().__init__(f"{store}: {reason}")
        self.store = store


class MigrationError(VideoCloudError):
    """The database's schema is not what this version can work with; the message says what to do."""
