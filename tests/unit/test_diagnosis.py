"""What the doctor makes of what servers say of themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.operations import diagnosis, redis_diagnosis
from deploy.operations.cgroup import memory_limit
from deploy.operations.diagnosis import Finding, Table, Topic, Verdict
from deploy.operations.rebuilding import RebuildError, whole_months
from deploy.operations.retention import retention
from sinks.clickhouse.kept import Gap

SOUND = {
    "redis_version": "7.4.1",
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
    "used_memory": 10_000_000,
    "role": "master",
}
WINDOW = (
    "MergeTree ORDER BY x SETTINGS non_replicated_deduplication_window = 100000, index_granularity = 8192"
)
SOURCES = ("playback.events", "video.catalog")
MB = 1_048_576


def bad(findings: list[Finding]) -> list[tuple[str, Verdict]]:
    assert all(each.advice for each in findings if each.verdict != Verdict.OK), "say what to do"
    assert not any(each.advice for each in findings if each.verdict == Verdict.OK)
    return [(each.name, each.verdict) for each in findings if each.verdict != Verdict.OK]


def test_a_sound_redis() -> None:
    assert bad(redis_diagnosis.node(SOUND)) == []


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"redis_version": "5.0.3"}, ("version", Verdict.WARN)),
        ({"aof_enabled": 0}, ("append-only file", Verdict.FAIL)),
        ({"aof_last_write_status": "err"}, ("last write to the file", Verdict.FAIL)),
        ({"rdb_last_bgsave_status": "err"}, ("last snapshot", Verdict.FAIL)),
        ({"min_slaves_good_slaves": 0}, ("replicas to write to", Verdict.FAIL)),
        ({"maxmemory_policy": "allkeys-lru"}, ("eviction", Verdict.WARN)),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": 10**9}, ("eviction", Verdict.FAIL)),
        ({"maxmemory": 11_000_000}, ("memory", Verdict.WARN)),
        ({"role": "slave"}, ("role", Verdict.FAIL)),
    ],
)
def test_a_redis_that_is_not(told: dict[str, Any], expected: tuple[str, Verdict]) -> None:
    assert bad(redis_diagnosis.node(SOUND | told)) == [expected]


def test_a_sound_redis_cluster_is_told_of_in_one_line_for_all_masters() -> None:
    shards = redis_diagnosis.Shards("ok", 16_384, 16_384, {"a:1": 1, "b:1": 2})
    assert bad(redis_diagnosis.cluster(shards)) == []
    together = redis_diagnosis.of_all(
        {"a:1": redis_diagnosis.node(SOUND), "b:1": redis_diagnosis.node(SOUND)}
    )
    assert bad(together) == []
    assert [each.found for each in together if each.name == "eviction"] == ["noeviction (2 masters)"]


@pytest.mark.parametrize(
    ("shards", "expected"),
    [
        (("fail", 16_384, 16_384, {"a:1": 1}), ("cluster", Verdict.FAIL)),
        (("ok", 16_000, 16_000, {"a:1": 1}), ("slots", Verdict.FAIL)),
        (("ok", 16_384, 10_000, {"a:1": 1}), ("slots", Verdict.FAIL)),
        (("ok", 16_384, 16_384, {"a:1": 1, "b:1": 0}), ("replicas", Verdict.WARN)),
    ],
)
def test_a_redis_cluster_that_is_not(shards: Any, expected: tuple[str, Verdict]) -> None:
    assert bad(redis_diagnosis.cluster(redis_diagnosis.Shards(*shards))) == [expected]


def test_each_master_that_is_not_well_is_named() -> None:
    wrong = SOUND | {"maxmemory_policy": "allkeys-lru", "aof_enabled": 0}
    found = {
        "a:1": redis_diagnosis.node(SOUND),
        "b:1": redis_diagnosis.node(wrong),
        "c:1": redis_diagnosis.node(wrong),
    }
    assert bad(redis_diagnosis.of_all(found)) == [
        ("append-only file of b:1", Verdict.FAIL),
        ("append-only file of c:1", Verdict.FAIL),
        ("eviction of b:1", Verdict.WARN),
        ("eviction of c:1", Verdict.WARN),
    ]


def test_migrations_that_are_missing_newer_or_changed() -> None:
    wanted = {"0001_a.sql": "x", "0002_b.sql": "y"}
    assert diagnosis.migrations(wanted, wanted).verdict == Verdict.OK
    assert "0002_b.sql" in diagnosis.migrations(wanted, {"0001_a.sql": "x"}).found
    assert "vca migrate" in diagnosis.migrations(wanted, {}).advice
    # The version before, beside the new one or put back: it works.
    newer = diagnosis.migrations(wanted, {**wanted, "0003_c.sql": "z"})
    assert newer.verdict == Verdict.WARN and "0003_c.sql" in newer.found
    changed = diagnosis.migrations(wanted, {**wanted, "0002_b.sql": "z"})
    assert changed.verdict == Verdict.FAIL and "0002_b.sql" in changed.found


def test_a_table_that_forgets_its_blocks_fails_and_a_small_window_warns() -> None:
    sound = Table("a", WINDOW, 3)
    assert diagnosis.deduplication([sound], 100_000).verdict == Verdict.OK
    small = diagnosis.deduplication([sound], 200_000)
    assert small.verdict == Verdict.WARN and "100,000 blocks, by the settings 200,000" in small.found
    assert "ALTER TABLE a MODIFY SETTING non_replicated_deduplication_window = 200000" in small.advice
    forgetful = diagnosis.deduplication([sound, Table("b", "SummingMergeTree ORDER BY x", 3)], 100_000)
    assert forgetful.verdict == Verdict.FAIL and "b" in forgetful.found
    assert diagnosis.deduplication([sound, Table("n", "Null", 0)], 100_000).verdict == Verdict.OK
    # On a cluster, the setting that counts is another one.
    spread = Table("a_local", f"Replicated{WINDOW.replace('non_', '')}", 3)
    assert diagnosis.deduplication([spread], 100_000).verdict == Verdict.OK
    mistaken = Table("a_local", f"Replicated{WINDOW}", 3)
    assert diagnosis.deduplication([mistaken], 100_000).verdict == Verdict.FAIL

    advice = diagnosis.deduplication([spread], 200_000, "ON CLUSTER 'c'").advice
    assert "a_local ON CLUSTER 'c' MODIFY SETTING replicated_deduplication_window = 200000" in advice


SETTINGS = {"events": "raw_retention_days", "sums": "rollup_retention_days"}


def _kept(raw: int, rolled_up: int, cluster: str = "", suffix: str = "") -> list[Finding]:
    ttl = "MergeTree ORDER BY x TTL toDateTime(at) + toIntervalDay({}) SETTINGS index_granularity = 8192"
    tables = [
        Table(f"events{suffix}", ttl.format(raw), 1),
        Table(f"sums{suffix}", ttl.format(rolled_up), 1),
        Table("for good", WINDOW, 1),
    ]
    wanted = {"raw_retention_days": 180, "rollup_retention_days": 1100}
    return retention(tables, SETTINGS, wanted, cluster)


def test_tables_that_keep_rows_for_another_time_than_the_settings_say() -> None:
    assert bad(_kept(180, 1100)) == []
    # Repeats of events that tables have forgotten and workers still take would count.
    assert bad(_kept(90, 1100)) == [("RAW_RETENTION_DAYS", Verdict.FAIL)]
    assert bad(_kept(200, 90)) == [
        ("RAW_RETENTION_DAYS", Verdict.WARN),
        ("ROLLUP_RETENTION_DAYS", Verdict.WARN),
    ]
    raw, _ = _kept(90, 1100)
    assert "180 by the settings, but 90 days in events" in raw.found
    assert "ALTER TABLE events MODIFY TTL toDateTime(at) + INTERVAL 180 DAY" in raw.advice
    spread, _ = _kept(90, 1100, "ON CLUSTER 'c'", "_local")
    assert "ALTER TABLE events_local ON CLUSTER 'c' MODIFY TTL" in spread.advice


@pytest.mark.parametrize(("parts", "verdict"), [(10, Verdict.OK), (500, Verdict.WARN), (2_000, Verdict.FAIL)])
def test_parts_that_wait_to_be_merged(parts: int, verdict: Verdict) -> None:
    found = diagnosis.parts([Table("a", WINDOW, 3), Table("b", WINDOW, parts)])
    assert (found.verdict, f"{max(parts, 3)} in a partition of b" in found.found) == (verdict, True)


@pytest.mark.parametrize(("skew", "verdict"), [(0.4, Verdict.OK), (-3.0, Verdict.WARN), (90.0, Verdict.FAIL)])
def test_clocks(skew: float, verdict: Verdict) -> None:
    assert diagnosis.clock("Redis", skew).verdict == verdict


@pytest.mark.parametrize(("free", "verdict"), [(50, Verdict.OK), (10, Verdict.WARN), (2, Verdict.FAIL)])
def test_disks(free: int, verdict: Verdict) -> None:
    assert diagnosis.room("here", "/", free, 100).verdict == verdict


def _topics(*found: Topic, brokers: int = 1) -> list[Finding]:
    return diagnosis.topics(found, SOURCES, "video.catalog", "events.deadletter", brokers, 16 * MB)


def _sound_topics() -> list[Topic]:
    return [
        Topic(
            "playback.events",
            12,
            1,
            0,
            {"cleanup.policy": "delete", "retention.ms": "604800000", "max.message.bytes": str(MB)},
        ),
        Topic("video.catalog", 12, 1, 0, {"cleanup.policy": "compact", "max.message.bytes": str(MB)}),
        Topic("events.deadletter", 12, 1, 0, {"cleanup.policy": "delete", "max.message.bytes": str(16 * MB)}),
    ]


def test_sound_topics_and_topics_of_which_nothing_is_told() -> None:
    assert bad(_topics(*_sound_topics())) == []
    assert bad(_topics(*(Topic(each.name, 4, 1, 0, {}) for each in _sound_topics()))) == []


@pytest.mark.parametrize(
    ("name", "config", "verdict", "said"),
    [
        ("playback.events", {"retention.ms": "3600000"}, Verdict.WARN, "kept for 1 h"),
        ("playback.events", {"cleanup.policy": "compact"}, Verdict.FAIL, "replace each other"),
        ("playback.events", {"max.message.bytes": str(32 * MB)}, Verdict.WARN, "takes records of"),
        ("playback.events", {"message.timestamp.type": "LogAppendTime"}, Verdict.WARN, "LogAppendTime"),
        ("playback.events", {"unclean.leader.election.enable": "true"}, Verdict.WARN, "may become leader"),
        ("video.catalog", {"cleanup.policy": "delete"}, Verdict.WARN, "not compacted"),
        ("events.deadletter", {"max.message.bytes": str(MB)}, Verdict.WARN, "bytes only"),
    ],
)
def test_topics_that_are_set_up_wrongly(
    name: str, config: dict[str, str], verdict: Verdict, said: str
) -> None:
    found = [
        Topic(each.name, 12, 1, 0, {**(each.config or {}), **config}) if each.name == name else each
        for each in _sound_topics()
    ]
    findings = _topics(*found)
    assert (name, verdict) in bad(findings)
    assert any(said in each.found for each in findings if each.name == name)


def test_dead_letters_may_be_timestamped_by_the_broker_as_their_records_times_are_in_headers() -> None:
    *others, letters = _sound_topics()
    config = {**(letters.config or {}), "message.timestamp.type": "LogAppendTime"}
    assert letters.name == "events.deadletter"
    assert bad(_topics(*others, Topic(letters.name, 12, 1, 0, config))) == []


def test_topics_whose_settings_or_existence_the_user_may_not_see() -> None:
    sound = _sound_topics()
    first, *others = (Topic(each.name, 4, 1, 0, None) for each in sound)
    assert len(bad(_topics(first, *others))) == len(sound)
    hidden = diagnosis.topics(others, SOURCES, "video.catalog", "events.deadletter", 1, 16 * MB, {first.name})
    assert hidden[0].verdict == Verdict.OK and "1 cannot be seen" in hidden[0].found
    lacks = diagnosis.rights("worker", ["Read on group g"])
    assert lacks.verdict == Verdict.FAIL and "worker lacks Read on group g" in lacks.found
    assert diagnosis.rights("worker", []).verdict == Verdict.OK


def test_topics_that_are_missing_without_leader_or_not_replicated() -> None:
    sound = _sound_topics()
    assert bad(_topics(*sound[1:])) == [("topics", Verdict.FAIL)]
    assert bad(_topics(Topic(sound[0].name, 12, 1, 2, sound[0].config), *sound[1:])) == [
        ("playback.events", Verdict.FAIL)
    ]
    assert len(bad(_topics(*sound, brokers=3))) == 3
    behind = Topic(sound[0].name, 12, 1, 0, sound[0].config, behind=3)
    assert bad(_topics(behind, *sound[1:])) == [(behind.name, Verdict.WARN)]


@pytest.mark.parametrize(
    ("state", "members", "verdict"),
    [
        ("Stable", 2, Verdict.OK),
        ("Empty", 0, Verdict.WARN),
        ("PreparingRebalance", 2, Verdict.WARN),
        ("Stable", 99, Verdict.WARN),
    ],
)
def test_workers(state: str, members: int, verdict: Verdict) -> None:
    assert diagnosis.group(state, members, 48).verdict == verdict


def test_a_worker_that_may_take_more_than_half_the_memory() -> None:
    assert diagnosis.memory(3, 10).verdict == Verdict.OK
    assert diagnosis.memory(6, 10).verdict == Verdict.WARN


@pytest.mark.parametrize(
    ("files", "verdict", "told"),
    [
        ({}, Verdict.OK, "3.0 GB of 10.0 GB"),
        ({"memory.max": "max\n"}, Verdict.OK, "3.0 GB of 10.0 GB"),
        ({"memory/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n"}, Verdict.OK, "3.0 GB of 10.0 GB"),
        ({"memory.max": "4000000000\n"}, Verdict.OK, "3.0 GB of 4.0 GB (limit of the container)"),
        ({"memory.max": "3500000000\n"}, Verdict.WARN, "3.0 GB of 3.5 GB (limit of the container)"),
        (
            {"memory/memory.limit_in_bytes": "2000000000\n"},
            Verdict.WARN,
            "of 2.0 GB (limit of the container)",
        ),
    ],
)
def test_a_worker_in_a_container_has_what_the_container_may_take(
    files: dict[str, str], verdict: Verdict, told: str, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = diagnosis.memory(3 * 10**9, 10**10, memory_limit(tmp_path))
    assert found.verdict == verdict and told in found.found


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (None, None),
        (datetime(2026, 6, 1, tzinfo=UTC), None),
        (datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)),
    ],
)
def test_only_months_that_raw_events_have_whole_are_rebuilt(
    first: datetime | None, expected: datetime | None
) -> None:
    # 180 days before the 25th of November is the 29th of May.
    assert whole_months(first, 180, datetime(2026, 11, 25, tzinfo=UTC)) == expected


def test_no_month_is_rebuilt_whose_raw_events_are_gone_before_their_time() -> None:
    now, young = datetime(2026, 11, 25, tzinfo=UTC), datetime(2026, 8, 3, tzinfo=UTC)
    gap = Gap(until=datetime(2026, 9, 20, tzinfo=UTC), whole_from=datetime(2026, 9, 21, tzinfo=UTC))
    assert whole_months(young, 180, now, [gap]) == datetime(2026, 10, 1, tzinfo=UTC)
    # What retention deleted is no such gap.
    old = Gap(until=datetime(2026, 5, 28, tzinfo=UTC), whole_from=datetime(2026, 8, 4, tzinfo=UTC))
    assert whole_months(young, 180, now, [old]) is None
    with pytest.raises(RebuildError, match="empty"):
        whole_months(young, 180, now, [Gap(now, None)])


@pytest.mark.parametrize(
    "first", [datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)], ids=["long ago", "just so"]
)
def test_no_month_is_rebuilt_that_loses_raw_events_while_that_runs(first: datetime) -> None:
    # 180 days before, it is an hour to the first of June.
    now = datetime(2026, 11, 27, 23, tzinfo=UTC)
    for hours in range(24):
        since = whole_months(first, 180, now)
        assert since is not None
        assert since >= now + timedelta(hours=hours) - timedelta(days=180)
