"""Errors of exports and their files; `api/errors.py` maps them to statuses.

RequestError
├── UnknownExportError      no export has this id, or it expired long ago
├── ExpiredExportError      it expired, and its file is removed
├── UnfinishedExportError   its file is not ready yet
├── FailedExportError       its file could not be made
└── ForbiddenLinkError      the link to the file has no valid signature
"""

from __future__ import annotations

from streams.domain.errors import RequestError


class UnknownExportError(RequestError):
    """There is no export with this id."""

    def __init__(self) -> None:
        """Say so, without repeating the id."""
        super().__init__("There is no export with this id.")


class ExpiredExportError(RequestError):
    """The export's time is over."""

    def __init__(self, export_id: str) -> None:
        """Say what to do about it."""
        super().__init__("This export has expired. Ask for a new one.", exportId=export_id)


class UnfinishedExportError(RequestError):
    """The export is queued or processing."""

    def __init__(self, export_id: str, status: str) -> None:
        """Say how far it is."""
        super().__init__(f"This export is {status}. Try again in a moment.", exportId=export_id, state=status)


class FailedExportError(RequestError):
    """The export could not be made."""

    def __init__(self, export_id: str, reason: str) -> None:
        """Tell the reason, which is written for the caller."""
        super().__init__(reason, exportId=export_id)


class ForbiddenLinkError(RequestError):
    """The link is not one of ours, or was changed."""

    def __init__(self) -> None:
        """Say where links come from."""
        super().__init__("This link is not valid. `GET /analytics/export/{id}` answers the right one.")
