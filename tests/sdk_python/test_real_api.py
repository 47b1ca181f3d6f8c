"""The SDK against a running stack: the API counts the events it sends, and all documented examples run."""

from __future__ import annotations

import ast
import csv
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import murmur2
from videocloud import (
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    VideoCloud,
    VideoCloudError,
    models,
)

from deploy.embedded.ports import free_port
from tests.conftest import Stack
from tests.sdk_python.clients import Client, Kind, done, following, open_client
from tests.servers.given import given

SDK = Path(__file__).parents[2] / "sdk" / "python"
ROOT = SDK.parents[1]
BLOCKS = [
    block
    for page in (SDK / "README.md", ROOT / "README.md")
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    if "from videocloud" in block
]
#: The unchanged example of the API reference.
REFERENCE = (ROOT / "tests" / "golden" / "sdk_python" / "reference.txt").read_text()
KEY = "your_api_key"
VIDEO = "vid_123456"
VIEWERS = 5


pytestmark = pytest.mark.skipif(
    any(given(name) for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "CLICKHOUSE_URL")),
    reason="counts everything that there is, and real servers may hold more than it sends",
)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack with the key of the reference's example."""
    folder = tmp_path_factory.mktemp("sdk") / ".run"
    stack = Stack(folder, ("--api-port", str(free_port())), {"API_KEY": KEY})
    stack.start()
    try:
        yield stack
    finally:
        stack.stop()


def _send(client: VideoCloud) -> None:
    """Send known events: those of five viewers, and of the platform that serves them."""
    events = client.events
    events.catalog_entry(video_id=VIDEO, title="A title", duration_ms=20_000, owner_id="ben")
    for number in range(VIEWERS):
        who: dict[str, Any] = {"session_id": f"s{number}", "user_id": f"u{number}", "country": "GB"}
        events.user_signup(source="referral", **who)
        events.session_start(**who)
        events.page_view(path="/watch", **who)
        with events.playback(VIDEO, device="tv", platform="tv", **who) as view:
            view.attempt()
            view.start(startup_ms=500)
            view.progress(watched_ms=9_000, rebuffer_ms=1_000, rebuffer_count=1, bitrate_kbps=2500)
            if number:
                view.end("ended", watched_ms=11_000, bitrate_kbps=2500)
        events.video_like(video_id=VIDEO, **who)
    someone: dict[str, Any] = {"session_id": "s0", "user_id": "u0"}
    events.video_comment(video_id=VIDEO, **someone)
    events.video_share(video_id=VIDEO, **someone)
    events.video_upload(video_id="another", **someone)
    events.session_end(**someone)
    failed = events.playback(VIDEO, session_id="s0", user_id="u0")
    failed.error("MANIFEST_NOT_FOUND", fatal=True)
    for status in (200, 200, 200, 500):
        events.api_request(service="web", endpoint="/videos", method="GET", status=status, duration_ms=20)
    events.job(service="jobs", job_type="video", job_id="j1", state="finished", duration_ms=3000)
    events.job(service="jobs", job_type="subtitles", job_id="j2", state="queued")
    events.storage_op(service="jobs", op="write", ok=True, bytes=1000)
    gb = 10**9
    sizes = {"memory_used_bytes": 6 * gb, "memory_total_bytes": 8 * gb}
    sizes |= {"storage_used_bytes": 10 * gb, "storage_total_bytes": 20 * gb}
    events.host_sample(service="jobs", host="h1", cpu=0.5, load=(1, 2, 3), **sizes)
    events.health_probe(service="web", ok=True)


def _until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            if true():
                return
        except VideoCloudError:
            # The API does not know the video yet.
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the numbers did not come in time"
        time.sleep(0.2)


def _is_whole(video: models.Video) -> bool:
    """Say whether all events of the video are counted: topics and partitions are processed separately."""
    views, engagement, performance = video.views, video.engagement, video.performance
    ended = engagement.completion_rate == pytest.approx(4 / VIEWERS) and bool(performance.error_rate)
    likes, others = engagement.likes, (engagement.comments, engagement.shares)
    return ended and views.total == likes == VIEWERS and others == (1, 1)


@pytest.fixture(scope="module")
def options(running: Stack) -> dict[str, Any]:
    """Return the client options for a platform that has counted all events sent to it."""
    found: dict[str, Any] = {"base_url": running.endpoints["API_URL"], "api_key": KEY}
    with VideoCloud(**found, kafka=running.endpoints["KAFKA_BOOTSTRAP_SERVERS"]) as client:
        _send(client)
        client.events.flush()
        ask = client.analytics
        _until(lambda: _is_whole(ask.get_video(VIDEO, period="7d")))
        _until(lambda: ask.get_system_health().uptime == 1.0)
        _until(lambda: ask.get_live().concurrent_viewers > 0)
        _until(lambda: [video.title for video in ask.get_live().trending] == ["A title"])
        _until(lambda: ask.get_video(VIDEO, period="1h").views.total == VIEWERS)
    return found


@pytest.fixture
async def client(kind: Kind, options: dict[str, Any]) -> Any:
    async with open_client(kind, **options) as client:
        yield client


def test_a_client_lives_as_long_as_what_was_taken_of_it(options: dict[str, Any]) -> None:
    assert VideoCloud(**options).analytics.get_system_health().uptime == 1.0


async def test_what_was_sent_comes_back_as_numbers(client: Client) -> None:
    for period, source in (("7d", "clickhouse"), ("1h", "redis")):
        video = await done(client.analytics.get_video(VIDEO, period=period))
        assert video.meta.source == source
        views, engagement, performance = video.views, video.engagement, video.performance
        assert (views.total, views.unique) == (VIEWERS, VIEWERS)
        assert (views.by_country, views.by_device) == ({"UK": VIEWERS}, {"tv": VIEWERS})
        assert (engagement.likes, engagement.comments, engagement.shares) == (VIEWERS, 1, 1)
        assert engagement.average_watch_time == pytest.approx((9 + 4 * 20) / VIEWERS)
        assert engagement.completion_rate == pytest.approx(4 / VIEWERS)
        assert performance.buffering_rate == pytest.approx(VIEWERS / (VIEWERS + 89), abs=1e-6)
        assert performance.average_bitrate == "2500k"
        assert performance.error_rate == pytest.approx(1 / 6, abs=1e-6)


async def test_videos_users_and_the_platform_are_told_of(client: Client) -> None:
    summary = await done(client.analytics.get_videos_summary(period="7d"))
    (top,) = summary.top_videos
    assert (summary.total_videos, top.id, top.title, top.views) == (1, VIDEO, "A title", VIEWERS)
    assert summary.trends.views is None
    users = await done(client.analytics.get_users(metrics=["activity", "growth"], compare="none"))
    assert users.activity.active_users.daily == VIEWERS
    assert (users.activity.sessions.total, users.activity.actions.uploads) == (VIEWERS, 1)
    assert (users.growth.new_users, users.growth.by_source) == (VIEWERS, {"referral": VIEWERS})
    with pytest.raises(
        AttributeError, match="this Users has no 'retention', because the request excluded it"
    ):
        users.retention  # noqa: B018
    sessions = (await done(client.analytics.get_user_engagement(timezone="Asia/Tokyo"))).engagement
    assert (sessions.pages_per_session, sessions.bounce_rate) == (1.0, 0.0)
    health = await done(client.analytics.get_system_health())
    assert health.errors.rate == pytest.approx(1 / 6, abs=1e-6)
    assert (health.resources.cpu.load, health.resources.memory.available) == ([1.0, 2.0, 3.0], "2GB")
    performance = await done(client.analytics.get_system_performance(period="24h"))
    assert performance.api.requests.by_endpoint == {"/videos": 4}
    assert performance.processing.videos.average_time == 3.0
    assert performance.processing.others["subtitles"].queued == 1
    assert (performance.storage.operations.writes, performance.storage.bandwidth.in_ is None) == (1, False)


async def test_live_numbers_come_once_and_again(client: Client) -> None:
    once = await done(client.analytics.get_live())
    assert sum(minute.views for minute in once.timeline) == VIEWERS
    assert [(video.id, video.title) for video in once.trending] == [(VIDEO, "A title")]
    assert (await done(client.analytics.get_video_live(VIDEO))).title == "A title"
    for stream in (client.analytics.live(), client.analytics.video_live(VIDEO)):
        answers = [await following(stream) for _ in range(2)]
        assert answers[0].meta.as_of < answers[1].meta.as_of
        assert sum(minute.views for minute in answers[1].timeline) == VIEWERS
        await done(stream.close())


async def test_an_export_becomes_a_file(client: Client, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    asked: dict[str, Any] = {"type": "video", "period": "7d", "metrics": ["views", "engagement"]}
    export = await done(client.analytics.export(**asked, format="csv"))
    path = await done(client.analytics.download(export, tmp_path, progress=lambda *at: seen.append(at)))
    assert path == tmp_path / f"{export.export_id}.csv"
    with path.open() as file:
        (row,) = csv.DictReader(file)
    assert (row["views"], row["likes"]) == (str(VIEWERS), str(VIEWERS))
    size = path.stat().st_size
    assert seen[-1] == (size, size)
    ready = await done(client.analytics.get_export(export.export_id))
    assert (ready.status, ready.rows, ready.bytes) == ("completed", 1, size)
    with pytest.raises(NotFoundError, match="There is no export with this id"):
        await done(client.analytics.get_export("exp_none"))


async def test_the_api_says_no_and_so_does_the_sdk(
    client: Client, options: dict[str, Any], kind: Kind
) -> None:
    with pytest.raises(NotFoundError, match=r"There is no video .*\(404 ANALYTICS_DATA_UNAVAILABLE, request"):
        await done(client.analytics.get_video("never_seen"))
    with pytest.raises(BadRequestError, match="period must be one of 1h") as caught:
        await done(client.analytics.get_users(period="2d"))
    assert caught.value.code == "ANALYTICS_INVALID_PERIOD"
    assert caught.value.details["parameter"] == "period"
    async with open_client(kind, **{**options, "api_key": "vca_wrong"}) as stranger:
        for ask in (stranger.analytics.get_users, lambda: following(stranger.analytics.live())):
            with pytest.raises(AuthenticationError, match="^The API rejected the API key: check .*$"):
                await done(ask())
    assert (await done(client.get_readiness())).stores.keys() >= {"redis", "clickhouse"}
    assert (await done(client.get_health())).status == "ok"


async def test_a_key_chooses_the_partition_that_every_client_of_kafka_would(
    running: Stack, options: dict[str, Any]
) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=running.endpoints["KAFKA_BOOTSTRAP_SERVERS"])
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        partitions = [
            TopicPartition("user.events", n) for n in consumer.partitions_for_topic("user.events") or ()
        ]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        keys: dict[int, set[bytes]] = defaultdict(set)
        while sum(map(len, keys.values())) < VIEWERS:
            for where, records in (await consumer.getmany(timeout_ms=1000)).items():
                keys[where.partition] |= {record.key for record in records}
    finally:
        await consumer.stop()
    for partition, some in keys.items():
        for key in some:
            assert (murmur2(key) & 0x7FFFFFFF) % len(partitions) == partition


# --- documented examples, and the wheel ------------------------------------------------------------


def _environment(running: Stack) -> dict[str, str]:
    """Return the environment of a user who has sourced `endpoints.env`, without other variables of ours."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    return {**own, **running.endpoints}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment that has the wheel and its dependencies only."""
    folder = tmp_path_factory.mktemp("wheel")

    def run(*command: str, cwd: Path = ROOT) -> None:
        made = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=150)
        assert made.returncode == 0, made.stderr

    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=SDK)
    (wheel,) = folder.glob("videocloud-*-py3-none-any.whl")
    python = folder / "venv" / "bin" / "python"
    uv = (sys.executable, "-m", "uv", "--quiet")
    run(*uv, "venv", "--python", sys.executable, str(folder / "venv"))
    pinned = [line.split(";")[0].split("\\")[0] for line in _locked() if not line.startswith(" ")]
    (folder / "pinned.txt").write_text("\n".join(pinned))
    pip = (*uv, "pip", "install", "--python", str(python), "--constraint", str(folder / "pinned.txt"))
    run(*pip, f"videocloud[kafka] @ {wheel.as_uri()}")
    return python


def _locked() -> list[str]:
    return [line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line]


def _run(python: Path, program: str, running: Stack, folder: Path) -> str:
    command = [str(python), "-I", "-W", "error", "-c", program]
    ran = subprocess.run(
        command, cwd=folder, env=_environment(running), capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.usefixtures("options")
def test_the_example_of_the_reference_runs_from_the_wheel_as_it_stands(
    installed: Path, running: Stack, tmp_path: Path
) -> None:
    views, users, link = _run(installed, REFERENCE, running, tmp_path).splitlines()
    assert (views, users) == (str(VIEWERS), str(VIEWERS))
    assert link.startswith(f"{running.endpoints['API_URL']}/analytics/export/exp_")


def test_the_wheel_brings_its_types_and_nothing_of_the_server(
    installed: Path, running: Stack, tmp_path: Path
) -> None:
    look = (
        "import sys, videocloud, videocloud.events, importlib.util as u;"
        "from importlib.resources import files;"
        "print(videocloud.__version__, (files('videocloud') / 'py.typed').is_file(),"
        " [name for name in ('streams', 'sinks', 'api', 'deploy') if u.find_spec(name)])"
    )
    assert _run(installed, look, running, tmp_path) == "0.1.0 True []\n"


@pytest.mark.usefixtures("options")
def test_a_program_that_does_not_close_its_client_loses_no_event(
    installed: Path, running: Stack, options: dict[str, Any], tmp_path: Path
) -> None:
    program = (
        "from videocloud import VideoCloud; client = VideoCloud();"
        "client.events.video_like(video_id='left', session_id='s', user_id='u');"
        "print(client.get_health().status)"
    )
    assert _run(installed, program, running, tmp_path) == "ok\n"
    with VideoCloud(**options) as client:
        _until(lambda: client.analytics.get_video("left").engagement.likes == 1)


def test_the_readme_begins_with_the_example_of_the_reference() -> None:
    assert ast.dump(ast.parse(BLOCKS[0])) == ast.dump(ast.parse(REFERENCE))


@pytest.mark.usefixtures("options")
@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_programs_of_the_readme_run(
    block: str,
    running: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in running.endpoints.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out or "events" in block


def test_what_the_readme_sends_is_counted(options: dict[str, Any]) -> None:
    with VideoCloud(**options) as client:

        def counted() -> bool:
            video = client.analytics.get_video("my_video")
            assert video.views and video.engagement
            found = (video.engagement.likes, video.views.total, video.engagement.average_watch_time)
            return found == (2, 1, 21.0)

        _until(counted)
