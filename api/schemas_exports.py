"""What is sent to and answered by the export endpoints; the example is that of the API reference."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.exports.columns import TYPES
from api.exports.orders import CSV, FORMATS
from api.parameters import PERIOD_TEXT, START_TEXT
from api.schemas import Model
from streams.domain.windows import PERIODS


class ExportRequest(Model):
    """What to export."""

    type: str = Field(
        max_length=64,
        description="What a row is: for `video` a video and day, for `user` a day, for `system` a "
        "quarter of an hour.",
        json_schema_extra={"enum": list(TYPES)},
    )
    period: str = Field(
        "30d",
        max_length=64,
        description=PERIOD_TEXT,
        json_schema_extra={"enum": list(PERIODS)},
    )
    start: str | None = Field(
        None,
        max_length=64,
        description=START_TEXT,
    )
    end: str | None = Field(
        None, max_length=64, description="End of a custom window, RFC 3339, exclusive. Requires `start`."
    )
    timezone: str = Field("UTC", max_length=64, description="IANA time zone of the days.")
    metrics: list[str] | None = Field(
        None,
        max_length=100,
        description="For `video`: views, engagement, performance. For `user`: activity, growth, "
        "retention. For `system`: api, processing, storage, uptime. By default all.",
    )
    format: str = Field(
        CSV,
        max_length=64,
        description="Format of the file. In csv and xlsx, texts that a spreadsheet would run as formulas "
        "begin with an apostrophe.",
        json_schema_extra={"enum": list(FORMATS)},
    )


class ExportFault(Model):
    """Why an export failed."""

    code: Literal["ANALYTICS_EXPORT_FAILED"]
    message: str


class Export(Model):
    """Status of an export."""

    export_id: str
    status: Literal["queued", "processing", "completed", "failed"]
    download_url: str = Field(
        description="Signed: opens the file without a key until `expiresAt`. Returns 409 until it is ready."
    )
    expires_at: datetime = Field(description="When the link and the file expire.")
    rows: int | None = Field(description="Rows written so far; null for parquet.")
    bytes: int = Field(description="Size of the file so far.")
    error: ExportFault | None = Field(None, description="Present only if the export failed.")


class ExportResponse(Model):
    """Response about an export."""

    success: Literal[True]
    data: Export


EXPORT_EXAMPLE: dict[str, Any] = {
    "success": True,
    "data": {
        "exportId": "exp_6a1f0b9c2d3e4f5061728394",
        "status": "processing",
        "downloadUrl": "https://analytics.example.com/analytics/export/exp_6a1f0b9c2d3e4f5061728394/download"
        "?token=WyJleHBf",
        "expiresAt": "2024-04-01T12:00:00Z",
        "rows": 120000,
        "bytes": 9437184,
    },
}
REQUEST_EXAMPLE: dict[str, Any] = {
    "type": "video",
    "period": "30d",
    "metrics": ["views", "engagement"],
    "format": "csv",
}
