"""The commands of whoever runs the platform, on a running one, with events flowing."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import redis
from typer.testing import CliRunner

from deploy.cli import app
from tests.e2e.cluster import Cluster, cluster
from tests.e2e.platform import Platform, expected_rows, platform
from tests.e2e.questions import now_utc, some_questions, wrong_answers
from tests.oracle.log import PLAYBACK, USERS, Record, read
from tests.oracle.views import facts
from tests.pipeline.bench import view
from tests.world.world import build

SEED = int(os.environ.get("TEST_SEED", "31"))
_DAY_MS = 86_400_000
# On a starved machine, its many commands take minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Cluster]:
    with cluster(tmp_path) as running:
        yield running


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, self.err
        return json.loads(self.out)


async def vca(servers: Cluster, *arguments: str) -> Said:
    """Run a command on the running platform: in a thread, because a process would import for a second."""
    environment = {**servers.environment, "COLUMNS": "300", "NO_COLOR": "1"}
    done = await asyncio.to_thread(
        CliRunner().invoke, app, arguments, env=environment, catch_exceptions=False
    )
    return Said(done.exit_code, done.stdout, done.stderr)


def damage_rollups(running: Platform) -> None:
    """Make every kind of roll-up wrong: too much, too little, nothing."""
    for sql in (
        "INSERT INTO video_15m (video_id, bucket, country, views, watched_ms)"
        " SELECT video_id, bucket, country, 7, 1000 FROM video_15m WHERE bucket > now() - 86400 LIMIT 5",
        f"ALTER TABLE session_days DROP PARTITION {now_utc():%Y%m}",
        "TRUNCATE TABLE users",
        "INSERT INTO user_days SELECT day - 1, user, slots FROM user_days WHERE day > today() - 2 LIMIT 5",
        "INSERT INTO jobs SELECT job_type, job + 1, latest FROM jobs"
        " WHERE intDiv(latest, 4000) > toUnixTimestamp(now() - 86400 * 30) LIMIT 3",
    ):
        running.select(sql)


def damage_counters(running: Platform) -> None:
    """Make a live counter wrong."""
    with redis.Redis.from_url(running.endpoints["REDIS_URL"]) as store:
        newest = max(store.scan_iter("vc:{*playback*}:*:t:*"), key=lambda key: int(key.rsplit(b":", 1)[1]))
        store.hincrby(newest, "views", 5)
        for key in store.scan_iter("vc:{*playback*}:*:v:*"):
            store.hincrby(key, "watched_ms", 1000)


async def test_what_is_damaged_is_found_and_rebuilt_while_events_flow(servers: Cluster) -> None:
    rng, world = Random(SEED), build(SEED, now_utc(), views=80)
    catalog, before, changes, after = world.phases
    with servers.working():
        async with platform(servers.endpoints) as running:
            # The last hour is at the end.
            some, rest = after[: len(after) * 3 // 4], after[len(after) * 3 // 4 :]
            for phase in (catalog, before, changes, some):
                await running.send(phase)
                await running.caught_up()
            damage_rollups(running)
            damage_counters(running)
            found = await vca(servers, "verify", "--days", "0", "--json")
            wrong = {check["name"] for check in found.json["checks"] if not check["ok"]}
            assert found.code == 1
            assert wrong == {
                "live counters against a recount",
                "jobs against raw events",
                *(
                    f"{table} against raw events"
                    for table in (
                        *("video_15m", "video_days", "all_videos_15m"),
                        *("session_days", "users", "user_days"),
                    )
                ),
            }

            rebuilt = asyncio.Event()

            async def flow() -> None:
                for begin in range(0, len(rest), 20):
                    if begin > len(rest) * 3 // 4:
                        await rebuilt.wait()  # However slow the machine is, some come after it.
                    await running.send(rest[begin : begin + 20])
                    await asyncio.sleep(0.3)

            flowing = asyncio.create_task(flow())
            await asyncio.sleep(0.5)
            rolled = await vca(servers, "rebuild", "rollups")
            assert rolled.code == 0, rolled
            rebuilt.set()
            counted = await vca(servers, "rebuild", "live")
            assert counted.code == 0, counted
            await flowing
            await running.caught_up()

            mended = await vca(servers, "verify", "--days", "0", "--json")
            assert [check for check in mended.json["checks"] if not check["ok"]] == []
            assert mended.code == 0
            log = read(world.delivered)
            assert running.stored() == expected_rows(log)
            asked = some_questions(rng, world, now_utc(), 30)
            assert await wrong_answers(running, asked, log, facts(log)) == []


def _view(name: str, at_ms: int, received_ms: int) -> list[Record]:
    return [
        Record(PLAYBACK, name.encode(), msgspec.json.encode(event), received_ms)
        for event in view(name, at_ms)
    ]


async def test_dead_letters_flow_once_the_fault_is_mended_and_what_is_still_bad_does_not_loop(
    servers: Cluster,
) -> None:
    now = int(time.time() * 1000)
    received = now - 1_800_000
    old = [record for n in range(20) for record in _view(f"old-{n}", now - 10 * _DAY_MS, received)]
    bad = [Record(USERS, b"u", b'{"type": "user.nap"}', now)] * 7
    async with platform(servers.endpoints) as running:
        # The fault: a worker that takes ten days for too old.
        with servers.working(RAW_RETENTION_DAYS="5"):
            await running.send([*old, *bad])
            await running.caught_up()
            assert running.stored()[PLAYBACK] == 0
            lag = await vca(servers, "lag", "--json", "--max-lag", "0")
            assert (lag.code, lag.json["records"]) == (0, 0)

        await running.send(bad)
        behind = await vca(servers, "lag", "--json", "--max-lag", "6")
        assert (behind.code, behind.json["records"]) == (1, 7)
        assert behind.json["seconds"] > 0 and "over the limit" in behind.err

        with servers.working():
            await running.caught_up()
            shown = (await vca(servers, "replay", "dead-letters", "--json")).json
            assert (shown["matching"], shown["sent"]) == (120 + 14, 0)
            sent = (
                await vca(servers, "replay", "dead-letters", "--error", "TooOld", "--send", "--json")
            ).json
            assert sent["sent"] == 120
            await until(lambda: running.stored()[PLAYBACK] == 120)
            # With the timestamps of their records, not of their letters.
            times = "SELECT DISTINCT toUnixTimestamp64Milli(received_at) FROM playback_events"
            assert running.select(times) == [(received,)]
            # A roll-up's part appears a moment after the raw one of the same insert.
            rolled_up = "SELECT sum(views), sum(watched_ms) FROM video_15m"
            await until(lambda: running.select(rolled_up) == [(20, 80_000)])

            rest = (await vca(servers, "replay", "dead-letters", "--send", "--json")).json
            assert rest["sent"] == 14
            await until(lambda: _books(running, USERS, "rejected") == 28)
            again = (await vca(servers, "replay", "dead-letters", "--send", "--json")).json
            assert again["sent"] == 0
            assert sum(again["leftOut"].values()) == 120 + 14 + 14
            forced = (await vca(servers, "replay", "dead-letters", "--again", "--json")).json
            assert forced["matching"] == 14

            doctor = await vca(servers, "doctor", "--json")
            assert doctor.code == 0, doctor
            assert {each["verdict"] for each in doctor.json["findings"]} <= {"OK", "WARN"}
            assert (await vca(servers, "verify")).code == 0

            await _forgets(servers, running, "u-old-3")


async def _forgets(servers: Cluster, running: Platform, user: str) -> None:
    """See somebody shown, kept while Redis still knows of them, and removed."""
    by_user = f"SELECT count() FROM playback_events WHERE user_id = '{user}'"
    shown = (await vca(servers, "forget", user, "--json")).json
    assert (shown["removed"], shown["rows"]["playback_events"]) == (False, running.select(by_user)[0][0])
    assert shown["rows"]["view_starts"] > 0 and shown["lastSeen"]
    refused = await vca(servers, "forget", user, "--delete")
    assert refused.code == 1 and "vca rebuild live" in refused.err
    assert running.select(by_user) != [(0,)]
    removed = await vca(servers, "forget", user, "--delete", "--now")
    assert removed.code == 0 and "stays: records in Kafka" in removed.out
    assert running.select(by_user) == [(0,)]
    assert "holds no rows of this person" in (await vca(servers, "forget", user)).out
    verified = await vca(servers, "verify", "--days", "0")
    assert verified.code == 0, verified
    assert "rows that `vca forget` removed" in verified.out


def _books(running: Platform, topic: str, fate: str) -> int:
    with redis.Redis.from_url(running.endpoints["REDIS_URL"], decode_responses=True) as store:
        return sum(
            int(store.hget(key, f"books:{fate}") or 0) for key in store.scan_iter(f"vc:{{*{topic}*}}:ledger")
        )


async def until(what: Any, timeout: float = 30.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.1)
