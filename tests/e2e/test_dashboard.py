"""The dashboard in a real browser, on a running stack."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from confluent_kafka import Producer

from deploy.embedded.process import wait_until
from tests.conftest import Stack
from tests.e2e.foreign import view_start
from tests.oracle.log import CATALOG, PLAYBACK
from tests.servers.browser import Page, chromium, opened

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="the dashboard is tested in Chromium, which is not here"),
]

VIDEO = "vid/1?x=%2F"
HOSTILE = "<img src=x onerror=\"document.title='broken'\">"
VIEWS = 3

TITLES = "[...document.querySelectorAll('[data-rows=topVideos] button')].map((each) => each.textContent)"
VIEWS_SHOWN = "document.querySelector('main [data-field=totalViews]').textContent"
STATUS = "document.getElementById('status').className"
#: The form that asks for a key is seen, and the numbers are not.
ASKS = "!document.getElementById('key').hidden && document.querySelector('main').hidden"


@pytest.fixture(scope="module")
def seen(stack: Stack) -> Stack:
    """Return the stack, once it has some views of a video whose title is an attack."""
    producer = Producer({"bootstrap.servers": stack.endpoints["KAFKA_BOOTSTRAP_SERVERS"]})
    now = int(time.time() * 1000)
    entry = {"videoId": VIDEO, "title": HOSTILE, "durationMs": 60_000, "publishedAt": now}
    producer.produce(CATALOG, key=VIDEO, value=json.dumps(entry))
    for number in range(VIEWS):
        producer.produce(PLAYBACK, key=f"v{number}", value=view_start(f"v{number}", VIDEO))
    assert producer.flush(30) == 0

    address, key = stack.endpoints["API_URL"], stack.endpoints["API_KEY"]
    question = Request(f"{address}/analytics/videos/summary", headers={"Authorization": f"Bearer {key}"})

    def total() -> int:
        with urlopen(question, timeout=30) as answer:
            return int(json.load(answer)["data"]["totalViews"])

    assert wait_until(time.monotonic() + 30, lambda: total() == VIEWS, None)
    return stack


@asynccontextmanager
async def dashboard(stack: Stack, folder: Path, key: str | None) -> AsyncIterator[Page]:
    """Open the page, with a key in its address as `make up` prints it, or without one."""
    fragment = "" if key is None else f"#key={key}"
    async with opened(f"{stack.endpoints['API_URL']}/dashboard/{fragment}", folder) as page:
        await page.until("document.readyState === 'complete'")
        yield page


async def test_it_shows_what_the_api_tells(seen: Stack, tmp_path: Path) -> None:
    async with dashboard(seen, tmp_path, seen.endpoints["API_KEY"]) as page:
        await page.until(f"{STATUS} === 'live'")
        await page.until(f"{VIEWS_SHOWN} === '{VIEWS}'", 60)
        await page.until("document.querySelector('[data-field=concurrentViewers]').textContent !== '–'")
        # A title is text, whatever it looks like.
        assert await page.run(TITLES) == [HOSTILE]
        assert await page.run("document.title") == "VideoCloud Analytics"
        assert await page.run("document.querySelectorAll('main img').length") == 0
        # The key is in no history, and in no address that could be copied.
        assert await page.run("location.href") == f"{seen.endpoints['API_URL']}/dashboard/"

        await page.run("document.querySelector('[data-rows=topVideos] button').click()")
        total = "document.querySelector('dialog[open] [data-field=\"views.total\"]').textContent"
        await page.until(f"{total} === '{VIEWS}'")
        assert await page.run("document.querySelector('dialog h2').textContent") == HOSTILE

        await page.run("document.querySelector('dialog').close()")
        await page.run("document.querySelector('[name=period][value=\"1h\"]').click()")
        await page.until(f"{VIEWS_SHOWN} === '{VIEWS}'")
        problems = "[...document.querySelectorAll('.problem')].map((each) => each.textContent).join('')"
        assert await page.run(problems) == ""
        assert page.complaints == []


async def test_without_a_key_it_asks_for_one_and_says_which_is_wrong(seen: Stack, tmp_path: Path) -> None:
    async with dashboard(seen, tmp_path, None) as page:
        await page.until(ASKS)
        for wrong in ("vca_unknown", "ключ"):
            await page.run(f"document.querySelector('[name=key]').value = '{wrong}'")
            await page.run("document.querySelector('#key button').click()")
            await page.until(f"{ASKS} && document.getElementById('refused').textContent !== ''")
        await page.run(f"document.querySelector('[name=key]').value = '{seen.endpoints['API_KEY']}'")
        await page.run("document.querySelector('#key button').click()")
        await page.until(f"{STATUS} === 'live'")
        assert not await page.run(ASKS)


async def test_it_goes_on_after_the_api_was_away(seen: Stack, tmp_path: Path) -> None:
    async with dashboard(seen, tmp_path, seen.endpoints["API_KEY"]) as page:
        await page.until(f"{STATUS} === 'live'")
        old = seen.kill("api", signal.SIGKILL)
        await page.until(f"{STATUS} === 'away'")
        seen.restarted("api", old)
        await page.until(f"{STATUS} === 'live'", 60)
