"""`client.analytics`: a method for each endpoint of the API."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Final
from zoneinfo import ZoneInfo

from videocloud import models
from videocloud._calls import Call, given, instant, joined, names, segment, window
from videocloud._download import Progress, fetch
from videocloud._live import Watch, watching
from videocloud._operation import R, Resource, operation
from videocloud._sending import Sender
from videocloud.errors import APIError, ExportFailedError, ExportTimeoutError
from videocloud.types import (
    Compare,
    ExportFormat,
    ExportMetric,
    ExportType,
    GroupBy,
    PeriodName,
    UserMetric,
    VideoMetric,
)

#: Seconds between two checks of an export's status: short at first, because most exports are small.
_FIRST_LOOK: Final = 0.2
_LONGEST_LOOK: Final = 2.0


class Analytics(Resource[R]):
    """Analytics of videos, users and the platform.

    All methods with a window take it in the same way: `period`, or `start` and `end` (aware datetimes or
    RFC 3339; `end` exclusive). `timezone` is the IANA time zone of days, weeks and hours, by default UTC.
    Omitted parameters have the API's defaults. On `AsyncVideoCloud`, await the methods.

    Responses carry `meta`: when they were computed, from which store, and whether the window is over. Methods
    raise errors of `videocloud.errors`.
    """

    def __init__(self, io: R, sender: Sender) -> None:
        """Send requests through a sender."""
        super().__init__(io)
        self._sender = sender

    @operation
    async def get_video(
        self,
        video_id: str,
        *,
        period: PeriodName | None = None,
        metrics: Iterable[VideoMetric] | None = None,
        group_by: GroupBy | None = None,
        compare: Compare | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.Video:
        """Views, engagement and playback quality of one video, as totals and as timelines.

        The default window is seven days. Groups that `metrics` excludes are not there. `group_by` is the
        interval of the timelines, by default hours for windows up to 48 hours and days for longer ones.
        `compare="none"` omits the previous window. Raises NotFoundError for an unknown video.
        """
        if video_id == "summary":
            raise ValueError(
                "the API returns no video with the id 'summary': its path is that of the summary"
            )
        params = window(period, start, end, timezone)
        params |= given(metrics=joined(metrics), groupBy=group_by, compare=compare)
        call = Call("GET", f"/analytics/videos/{segment(video_id)}", params)
        return await self._sender.ask(call, models.Video)

    @operation
    async def get_videos_summary(
        self,
        *,
        period: PeriodName | None = None,
        compare: Compare | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.Summary:
        """Totals, averages, the ten most viewed videos, and trends; thirty days when no window is given."""
        params = window(period, start, end, timezone) | given(compare=compare)
        return await self._sender.ask(Call("GET", "/analytics/videos/summary", params), models.Summary)

    @operation
    async def get_users(
        self,
        *,
        period: PeriodName | None = None,
        metrics: Iterable[UserMetric] | None = None,
        compare: Compare | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.Users:
        """Activity, growth and retention, exact; thirty days when no window is given.

        Groups that `metrics` excludes are not there.
        """
        params = window(period, start, end, timezone) | given(metrics=joined(metrics), compare=compare)
        return await self._sender.ask(Call("GET", "/analytics/users", params), models.Users)

    @operation
    async def get_user_engagement(
        self,
        *,
        period: PeriodName | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.EngagementData:
        """Duration, pages and bounces of sessions, by type of user and by hour of the day.

        Seven days when no window is given.
        """
        call = Call("GET", "/analytics/users/engagement", window(period, start, end, timezone))
        return await self._sender.ask(call, models.EngagementData)

    @operation
    async def get_system_health(
        self,
        *,
        period: PeriodName | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.SystemHealth:
        """Uptime, response times, errors and free host resources; 24 hours when no window is given.

        Needs a key with the scope `system`.
        """
        call = Call("GET", "/analytics/system/health", window(period, start, end, timezone))
        return await self._sender.ask(call, models.SystemHealth)

    @operation
    async def get_system_performance(
        self,
        *,
        period: PeriodName | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.SystemPerformance:
        """Requests, jobs and storage operations of the platform; one hour when no window is given.

        Needs a key with the scope `system`.
        """
        call = Call("GET", "/analytics/system/performance", window(period, start, end, timezone))
        return await self._sender.ask(call, models.SystemPerformance)

    @operation
    async def get_live(self) -> models.Live:
        """Live data: concurrent viewers, the last 60 minutes, trending videos."""
        return await self._sender.ask(Call("GET", "/analytics/live"), models.Live)

    @operation
    async def get_video_live(self, video_id: str) -> models.VideoLive:
        """Live data of one video. Raises NotFoundError for an unknown video."""
        call = Call("GET", f"/analytics/videos/{segment(video_id)}/live")
        return await self._sender.ask(call, models.VideoLive)

    @watching
    def live(
        self,
        *,
        on_interruption: Callable[[APIError], object] | None = None,
        max_reconnects: int | None = None,
    ) -> Watch[models.Live]:
        """Live data every second: iterate over it, with `async for` on `AsyncVideoCloud`.

        A lost connection is reopened, without limit or up to `max_reconnects` times in a row.
        `on_interruption` is called with the error of each interruption. Raises APIStatusError when the API
        rejects the request.
        """
        call = Call("GET", "/analytics/live/stream")
        return Watch(self._sender, call, models.Live, on_interruption, max_reconnects)

    @watching
    def video_live(
        self,
        video_id: str,
        *,
        on_interruption: Callable[[APIError], object] | None = None,
        max_reconnects: int | None = None,
    ) -> Watch[models.VideoLive]:
        """Live data of one video every second; otherwise as `live`."""
        call = Call("GET", f"/analytics/videos/{segment(video_id)}/live/stream")
        return Watch(self._sender, call, models.VideoLive, on_interruption, max_reconnects)

    @operation
    async def export(
        self,
        *,
        type: ExportType,
        period: PeriodName | None = None,
        format: ExportFormat | None = None,
        metrics: Iterable[ExportMetric] | None = None,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        timezone: str | ZoneInfo | None = None,
    ) -> models.Export:
        """Start an export. A row is a video and day (`video`), a day (`user`) or 15 minutes (`system`).

        The server writes the file in the background; `download` waits for it. The default is thirty days as
        csv. `metrics` are those of the type: `VideoMetric`, `UserMetric` or `SystemMetric`. Type `system`
        also needs a key with the scope `system`. A retry after a lost connection may start a second export,
        whose file expires unread.
        """
        wanted: dict[str, object] = {
            "type": type,
            "period": period,
            "format": format,
            "metrics": names(metrics),
            "start": instant(start, "start"),
            "end": instant(end, "end"),
            "timezone": None if timezone is None else str(timezone),
        }
        body = {name: value for name, value in wanted.items() if value is not None}
        return await self._sender.ask(Call("POST", "/analytics/export", json=body), models.Export)

    @operation
    async def get_export(self, export_id: str) -> models.Export:
        """Status of an export. Raises NotFoundError for an unknown one, GoneError when it has expired."""
        return await self._get_export(export_id)

    @operation
    async def wait_for_export(self, export: models.Export | str, *, timeout: float = 600.0) -> models.Export:
        """Wait until the file of an export (or of an export's id) is ready, and return the export.

        Raises ExportFailedError when it fails, ExportTimeoutError after `timeout` seconds.
        """
        return await self._completed(export, timeout)

    @operation
    async def download(
        self,
        export: models.Export | str,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        timeout: float = 600.0,
    ) -> Path:
        """Wait for an export, write its file, and return the file's path.

        `path` is the file, or a folder in which the file gets the name that the API gives it. The file
        appears, or replaces an existing one, only when it is complete; after a lost connection the download
        resumes. `progress` is called with the bytes so far and the total (None if unknown). `timeout` limits
        the wait for the export, in seconds. Raises the errors of `wait_for_export`, APIError, and OSError.
        """
        ready = await self._completed(export, timeout)
        return await fetch(self._sender, ready.download_url, Path(path), ready.export_id, progress)

    async def _get_export(self, export_id: str) -> models.Export:
        return await self._sender.ask(Call("GET", f"/analytics/export/{segment(export_id)}"), models.Export)

    async def _completed(self, export: models.Export | str, timeout: float) -> models.Export:
        if isinstance(export, models.Export) and export.status == "completed":
            return export
        export_id = export if isinstance(export, str) else export.export_id
        deadline, pause = monotonic() + timeout, _FIRST_LOOK
        while True:
            found = await self._get_export(export_id)
            if found.status == "completed":
                return found
            if found.status == "failed":
                reason = found.error.message if found.error else "the API does not say why"
                raise ExportFailedError(export_id, f"Export {export_id} failed: {reason}")
            if monotonic() + pause > deadline:
                raise ExportTimeoutError(
                    export_id,
                    f"Export {export_id} is still {found.status} after {timeout:g} s: increase timeout=, "
                    "or check its status later with get_export.",
                )
            await self._io.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)
