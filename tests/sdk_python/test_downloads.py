"""Exports: waiting for them, and downloads that save a whole file or none."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from videocloud import (
    APIConnectionError,
    AsyncVideoCloud,
    ExportFailedError,
    ExportTimeoutError,
    GoneError,
    analytics,
)

from tests.sdk_python.clients import Kind, done, open_client
from tests.sdk_python.sockets import Step, answer, hang_up, part, refusal, serving, silence

CONTENT = os.urandom(300_000)
NAMED: Any = {"content_disposition": 'attachment; filename="exp_1.csv"', "etag": '"e1"'}


@pytest.fixture(autouse=True)
def _first_look(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "_FIRST_LOOK", 0.02)


def export(status: str, url: str = "http://elsewhere/f", **more: Any) -> Step:
    data = {"exportId": "exp_1", "status": status, "downloadUrl": url, "rows": 3, "bytes": 9}
    return answer({"success": True, "data": {**data, "expiresAt": "2024-04-01T12:00:00Z", **more}})


async def test_waiting_ends_when_the_file_is_there(kind: Kind) -> None:
    with serving(export("queued"), export("processing"), export("completed")) as server:
        async with open_client(kind, base_url=server.url) as client:
            ready = await done(client.analytics.wait_for_export("exp_1"))
            assert (ready.status, ready.rows) == ("completed", 3)
            assert await done(client.analytics.wait_for_export(ready)) is ready
    assert len(server.asked) == 3


async def test_an_export_that_fails_says_why(kind: Kind) -> None:
    fault = {"code": "ANALYTICS_EXPORT_FAILED", "message": "The data could not be read."}
    with serving(export("failed", error=fault)) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(ExportFailedError, match="exp_1 failed: The data could not be read") as caught:
                await done(client.analytics.wait_for_export("exp_1"))
    assert caught.value.export_id == "exp_1"


async def test_patience_has_an_end(kind: Kind) -> None:
    with serving(export("processing")) as server:
        async with open_client(kind, base_url=server.url) as client:
            with pytest.raises(ExportTimeoutError, match="is still processing after 0.1 s"):
                await done(client.analytics.wait_for_export("exp_1", timeout=0.1))


async def _download(kind: Kind, path: Path, *steps: Step, **more: Any) -> tuple[Path, Any]:
    """Download an export whose file the steps serve; return the file's path and the requests."""
    with serving(*steps) as files, serving(export("completed", f"{files.url}/f?token=t")) as api:
        async with open_client(kind, base_url=api.url, api_key="vca_x") as client:
            return await done(client.analytics.download("exp_1", path, **more)), files.asked


async def test_a_file_is_written_whole_and_its_progress_told(kind: Kind, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "views.csv"
    target.write_text("old")
    path, asked = await _download(
        kind, target, answer(CONTENT, **NAMED), progress=lambda so_far, of: seen.append((so_far, of))
    )
    assert path == target
    assert target.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [target]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [so_far for so_far, _ in seen] == sorted({so_far for so_far, _ in seen})
    # The server of the file does not get the API key: the link is signed.
    assert "authorization" not in asked[0].headers
    assert asked[0].line == "GET /f?token=t HTTP/1.1"


async def test_in_a_folder_it_gets_the_name_that_the_api_gives(kind: Kind, tmp_path: Path) -> None:
    path, _ = await _download(kind, tmp_path, answer(CONTENT, **NAMED))
    assert path == tmp_path / "exp_1.csv"
    evil = 'attachment; filename="../../evil.csv"'
    path, _ = await _download(kind, tmp_path, answer(CONTENT, content_disposition=evil))
    assert path == tmp_path / "exp_1"


async def test_a_lost_connection_goes_on_where_it_was(kind: Kind, tmp_path: Path) -> None:
    rest: Any = {"content_range": f"bytes 200000-299999/{len(CONTENT)}"}
    path, asked = await _download(
        kind,
        tmp_path,
        part(CONTENT, 200_000, **NAMED),
        hang_up,
        answer(CONTENT[200_000:], 206, **NAMED, **rest),
    )
    assert path.read_bytes() == CONTENT
    assert [each.headers.get("range") for each in asked] == [None, "bytes=200000-", "bytes=200000-"]
    assert asked[-1].headers["if-range"] == '"e1"'


async def test_a_file_that_has_changed_is_read_from_the_start(kind: Kind, tmp_path: Path) -> None:
    other = os.urandom(1000)
    path, _ = await _download(kind, tmp_path, part(CONTENT, 200_000, **NAMED), answer(other, **NAMED))
    assert path.read_bytes() == other
    path, asked = await _download(kind, tmp_path / "untagged", part(CONTENT, 9), answer(CONTENT))
    assert path.read_bytes() == CONTENT
    assert "range" not in asked[1].headers


async def test_a_download_that_fails_leaves_what_was_there(kind: Kind, tmp_path: Path) -> None:
    target = tmp_path / "views.csv"
    target.write_text("old")
    # No connection sends more than the one before.
    with pytest.raises(APIConnectionError):
        await _download(kind, target, part(CONTENT, 5))
    with pytest.raises(GoneError):
        await _download(kind, target, refusal(410))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await _download(kind, target, answer(CONTENT), progress=interrupt)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "old"


async def test_a_download_that_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await _download(AsyncVideoCloud, tmp_path, silence)
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_not_there_is_told_before_anything_is_read(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await _download(kind, tmp_path / "none" / "views.csv", answer(CONTENT))
