"""The page of the dashboard in a real browser, with answers that come late, change, or lack a title."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from api.dashboard.files import STATIC
from api.schemas import SUMMARY_EXAMPLE, VIDEO_EXAMPLE
from api.schemas_live import LIVE_EXAMPLE
from api.schemas_users import ENGAGEMENT_EXAMPLE
from tests.servers.browser import Page, chromium, opened

pytestmark = pytest.mark.skipif(chromium() is None, reason="needs Chromium")

BUTTONS = "document.querySelectorAll('[data-rows={rows}] button')"
DIALOG = "document.querySelector('dialog {what}').textContent"


class FakeApi:
    """Answers the examples of the documentation, except for what a test changes."""

    def __init__(self) -> None:
        self.summary: dict[str, Any] = deepcopy(SUMMARY_EXAMPLE)
        self.slow = asyncio.Event()
        self.updates = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        if path == "videos/summary":
            return web.json_response(self.summary)
        if path.startswith("videos/"):
            video = deepcopy(VIDEO_EXAMPLE)
            if path.endswith("slow"):
                await self.slow.wait()
            video["data"]["views"]["total"] = 111 if path.endswith("slow") else 222
            return web.json_response(video)
        if path == "users/engagement":
            return web.json_response(ENGAGEMENT_EXAMPLE)
        if path == "live/stream":
            return await self._stream(request)
        return web.json_response({"success": True, "data": {}})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while not request.transport or not request.transport.is_closing():
            await response.write(f"event: live\ndata: {json.dumps(LIVE_EXAMPLE)}\n\n".encode())
            self.updates += 1
            await asyncio.sleep(0.1)
        return response


@asynccontextmanager
async def shown(api: FakeApi, folder: Path) -> AsyncIterator[Page]:
    app = web.Application()
    app.router.add_get("/analytics/{path:.*}", api.answer)
    app.router.add_static("/dashboard/", STATIC)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with opened(f"http://127.0.0.1:{port}/dashboard/index.html", folder) as page:
            await page.until("document.readyState === 'complete' && !document.querySelector('main').hidden")
            yield page
    finally:
        await runner.cleanup()


async def test_an_answer_about_a_video_that_comes_late_is_not_shown_as_another_ones(tmp_path: Path) -> None:
    api = FakeApi()
    videos = api.summary["data"]["topVideos"]
    videos[:] = [videos[0] | {"id": name, "title": f"title of {name}"} for name in ("slow", "quick")]
    async with shown(api, tmp_path) as page:
        buttons = BUTTONS.format(rows="topVideos")
        await page.until(f"{buttons}.length === 2")
        await page.run(f"{buttons}[0].click()")
        await page.run("document.querySelector('dialog').close()")
        await page.run(f"{buttons}[1].click()")
        views = DIALOG.format(what='[data-field="views.total"]')
        await page.until(f"{views} === '222'")
        api.slow.set()
        await asyncio.sleep(0.5)
        assert await page.run(DIALOG.format(what="h2")) == "title of quick"
        assert await page.run(views) == "222"


async def test_a_row_stays_the_same_element_so_that_an_update_swallows_no_click(tmp_path: Path) -> None:
    api = FakeApi()
    async with shown(api, tmp_path) as page:
        buttons = BUTTONS.format(rows="trending")
        await page.until(f"{buttons}.length > 0")
        await page.run(f"{buttons}[0].focus()")
        before = api.updates
        while api.updates < before + 5:
            await asyncio.sleep(0.1)
        assert await page.run(f"document.activeElement === {buttons}[0]")


async def test_a_video_with_an_empty_title_is_named_by_its_id(tmp_path: Path) -> None:
    api = FakeApi()
    videos = api.summary["data"]["topVideos"]
    videos[:] = [videos[0] | {"id": "vid_1", "title": ""}]
    async with shown(api, tmp_path) as page:
        buttons = BUTTONS.format(rows="topVideos")
        await page.until(f"{buttons}.length === 1")
        assert await page.run(f"{buttons}[0].textContent") == "vid_1"


async def test_bars_say_where_they_begin_and_end_and_only_a_timeline_goes_on(tmp_path: Path) -> None:
    hours = ENGAGEMENT_EXAMPLE["data"]["engagement"]["byTimeOfDay"]
    minutes = LIVE_EXAMPLE["data"]["timeline"]
    async with shown(FakeApi(), tmp_path) as page:
        for bars, points, going_on in (("engagement.byTimeOfDay", hours, 0), ("timeline", minutes, 1)):
            svg = f"document.querySelector('[data-bars=\"{bars}\"]')"
            await page.until(f"{svg}.children.length === {len(points)}")
            assert await page.run(f"{svg}.querySelectorAll('.running').length") == going_on
        most = max(hour["users"] for hour in hours)
        axis = "document.querySelector('[data-bars=\"engagement.byTimeOfDay\"] + .axis')"
        told = await page.run(f"[...{axis}.children].map((each) => each.textContent)")
        assert told == [f"{hours[0]['hour']}:00", f"at most {most:,}", f"{hours[-1]['hour']}:00"]
