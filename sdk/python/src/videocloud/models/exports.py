"""Exports."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from videocloud.models.base import Model, Open
from videocloud.types import ExportStatus


class ExportFault(Model):
    """Why an export failed."""

    code: Open[Literal["ANALYTICS_EXPORT_FAILED"]]
    message: str


class Export(Model):
    """Status of an export."""

    export_id: str
    status: Open[ExportStatus]
    download_url: str
    """Signed: opens the file without a key until `expiresAt`. Returns 409 until it is ready."""
    expires_at: datetime
    """When the link and the file expire."""
    rows: int | None
    """Rows written so far; null for parquet."""
    bytes: int
    """Size of the file so far."""
    error: ExportFault | None = None
    """Present only if the export failed."""
