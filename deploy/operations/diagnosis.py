"""Findings about an installation, derived from what its servers report. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from deploy.explain import store_check
from sinks.clickhouse.schema_state import compare
from sinks.kafka.reasons import unreachable as unreachable_because
from streams.rights import explain_lacking


class Verdict(StrEnum):
    """The severity of a finding."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and what to do if it is not well."""

    area: str
    name: str
    verdict: Verdict
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


_DAY_MS: Final = 86_400_000
OLDEST_CLICKHOUSE: Final = (24, 8)
_MANY_PARTS: Final = 300
_TOO_MANY_PARTS: Final = 1_000
_SKEW_WARN: Final = 1.0
_SKEW_FAIL: Final = 60.0


def finding(area: str, name: str, bad: Verdict | None, found: str, advice: str = "") -> Finding:
    """Return a finding; without a verdict, all is well and there is nothing to do."""
    return Finding(area, name, bad or Verdict.OK, found, advice if bad else "")


def unreachable(area: str, variable: str, error: BaseException) -> Finding:
    """Return the finding about a server that does not answer, or refuses this client."""
    text = " ".join(str(error).split())[:200] or type(error).__name__
    advice = store_check(str(error), variable) or f"start it, or set {variable}; `vca up` starts stand-ins"
    return Finding(area, "reachable", Verdict.FAIL, text, advice)


def version(area: str, told: str, oldest: tuple[int, int]) -> Finding:
    """Judge a server's version."""
    numbers = [int(part) for part in re.findall(r"\d+", told)[:2]]
    bad = Verdict.WARN if tuple(numbers) < oldest else None
    return finding(
        area, "version", bad, told, f"use {oldest[0]}.{oldest[1]} or newer: older ones are not tested"
    )


def clock(area: str, skew: float) -> Finding:
    """Judge a server's clock, `skew` seconds ahead of this machine's."""
    bad = Verdict.FAIL if abs(skew) > _SKEW_FAIL else Verdict.WARN if abs(skew) > _SKEW_WARN else None
    ahead = "ahead of" if skew > 0 else "behind"
    return finding(
        area,
        "clock",
        bad,
        f"{abs(skew):.1f} s {ahead} this machine's" if bad else "within a second of this machine's",
        "run NTP (chrony) on both: the minutes of the live window follow the server's clock",
    )


def room(area: str, name: str, free: int, total: int) -> Finding:
    """Judge the space of a disk, in bytes."""
    share = free / total if total else 1.0
    bad = Verdict.FAIL if share < 0.05 else Verdict.WARN if share < 0.15 else None
    return finding(
        area,
        f"space of {name}",
        bad,
        f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free",
        "add space, or shorten the retention: RAW_RETENTION_DAYS, retention.ms of the topics",
    )


# ClickHouse


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the database: its engine in full, and the most parts that one partition has."""

    name: str
    engine: str
    parts: int


def migrations(wanted: Mapping[str, str], applied: Mapping[str, str]) -> Finding:
    """Judge the migrations, by name and checksum."""
    state = compare(wanted, applied)
    bad, told, advice = None, f"{len(applied)} applied", ""
    if state.newer:
        # Workers and the API continue; only some commands refuse to run.
        bad, told = Verdict.WARN, f"the database has {', '.join(state.newer)}, from a newer version"
        advice = "fine during an upgrade or a rollback: run `rebuild` and `forget` with the newer version"
    if state.missing:
        bad, told, advice = Verdict.FAIL, f"not applied: {', '.join(state.missing)}", "run `vca migrate`"
    if state.changed:
        bad, told = Verdict.FAIL, f"different from this version's files: {', '.join(state.changed)}"
        advice = "a build from before the first release created the database: `vca migrate` says what to do"
    return finding("ClickHouse", "migrations", bad, told, advice)


def deduplication(tables: Iterable[Table], wanted: int, cluster: str = "") -> Finding:
    """Judge the tables' deduplication windows; `cluster` is a clause `ON CLUSTER`."""
    short, small, least = [], [], None
    for table in tables:
        if not table.engine.split("(")[0].split()[0].endswith("MergeTree"):
            continue
        # On a cluster, every node counts the blocks of its shard; the setting has another name there.
        kind = "" if table.engine.startswith("Replicated") else "non_"
        setting = f"{kind}replicated_deduplication_window"
        told = re.search(rf"\b{setting} = (\d+)", table.engine)
        size = int(told[1]) if told else 0
        least = size if least is None else min(least, size)
        if size < min(wanted, 1_000):
            short.append(table.name)
        if size < wanted:
            where = f"{table.name} {cluster}".rstrip()
            small.append(f"ALTER TABLE {where} MODIFY SETTING {setting} = {wanted}")
    return finding(
        "ClickHouse",
        "deduplication window",
        Verdict.FAIL if short else Verdict.WARN if small else None,
        f"too small in {', '.join(short)}" if short else f"{least or 0:,} blocks, by the settings {wanted:,}",
        "beyond the window, a block that is sent twice counts twice:\n" + ";\n".join(small),
    )


def parts(tables: Iterable[Table]) -> Finding:
    """Judge how many parts wait to be merged."""
    worst = max(tables, key=lambda table: table.parts, default=Table("no table", "", 0))
    bad = (
        Verdict.FAIL if worst.parts > _TOO_MANY_PARTS else Verdict.WARN if worst.parts > _MANY_PARTS else None
    )
    return finding(
        "ClickHouse",
        "parts",
        bad,
        f"at most {worst.parts} in a partition of {worst.name}",
        "inserts arrive faster than they are merged: raise BLOCK_SECONDS, lower INSERTS_PER_SECOND",
    )


# Kafka


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic: partitions, the lowest replica count, partitions without a leader, and its settings.

    `config` is None when the user may not read it.
    """

    name: str
    partitions: int
    replicas: int
    leaderless: int
    config: Mapping[str, str] | None
    #: Partitions of which a replica is down or behind.
    behind: int = 0


def no_kafka(error: BaseException) -> Finding:
    """Return the finding about brokers that cannot be reached, or let this client not in."""
    why, check = unreachable_because(error) or ("", "")
    if not check:
        return unreachable("Kafka", "KAFKA_BOOTSTRAP_SERVERS", error)
    return Finding("Kafka", "reachable", Verdict.FAIL, why, check)


def rights(user: str | None, lacks: Sequence[str]) -> Finding:
    """Judge what the user may do; `lacks` are the rights that a worker needs and the user does not have."""
    return finding(
        "Kafka",
        "rights",
        Verdict.FAIL if lacks else None,
        explain_lacking(user, lacks) if lacks else "enough for a worker",
        "a worker waits until its user has them: docs/security.md has the commands (Rights in Kafka)",
    )


def topics(
    found: Sequence[Topic],
    sources: Sequence[str],
    catalog: str,
    dead: str,
    brokers: int,
    largest: int,
    hidden: Collection[str] = (),
) -> list[Finding]:
    """Judge the topics.

    `largest` is the largest record that the worker takes, in bytes; `hidden` are topics that the user may not
    see, whether they exist or not.
    """
    by_name = {topic.name: topic for topic in found}
    missing = [name for name in (*sources, dead) if name not in by_name and name not in hidden]
    findings = [
        finding(
            "Kafka",
            "topics",
            Verdict.FAIL if missing else None,
            f"missing: {', '.join(missing)}" if missing else f"{len(found)} exist{_unseen(hidden)}",
            "run `vca topics`, or set TOPIC_... to your topic names",
        )
    ]
    for topic in found:
        findings.append(_topic(topic, topic.name == catalog, topic.name == dead, brokers, largest, by_name))
    return findings


def _unseen(hidden: Collection[str]) -> str:
    return f", {len(hidden)} cannot be seen with these rights" if hidden else ""


def _topic(
    topic: Topic, is_catalog: bool, is_dead: bool, brokers: int, largest: int, others: Mapping[str, Topic]
) -> Finding:
    config, problems = topic.config or {}, []
    worst = Verdict.WARN
    if topic.config is None:
        problems.append(
            ("its settings cannot be read", "grant DescribeConfigs on it, so that they are checked")
        )
    retention = int(config.get("retention.ms", -1))
    record = int(config.get("max.message.bytes", 0))
    compacted = "compact" in config.get("cleanup.policy", "")
    if topic.leaderless:
        worst = Verdict.FAIL
        problems.append((f"{topic.leaderless} partitions without a leader", "see the brokers' logs"))
    if topic.behind:
        problems.append((f"{topic.behind} partitions lack a replica", "start the broker, or replace it"))
    if is_catalog and "cleanup.policy" in config and not compacted:
        problems.append(("not compacted", "set cleanup.policy=compact, or old titles are lost"))
    if not is_catalog and compacted:
        worst = Verdict.FAIL
        problems.append(("compacted: events of one key replace each other", "set cleanup.policy=delete"))
    if not is_catalog and 0 <= retention < _DAY_MS:
        problems.append(
            (f"kept for {retention / 3_600_000:.0f} h", "raise retention.ms above your longest outage")
        )
    if not is_dead and record > largest:
        problems.append((f"takes records of {record:,} bytes", f"lower max.message.bytes to {largest:,}"))
    if is_dead and record:
        sizes = [
            int((each.config or {}).get("max.message.bytes", 0))
            for each in others.values()
            if each is not topic
        ]
        needed = max(sizes, default=0)
        if record < needed + 4_096:
            problems.append(
                (f"takes records of {record:,} bytes only", f"raise max.message.bytes to {needed + 65_536:,}")
            )
    if not is_dead and config.get("message.timestamp.type") == "LogAppendTime":
        problems.append(("LogAppendTime", "use CreateTime, or replayed events get the time of the replay"))
    if config.get("unclean.leader.election.enable") == "true":
        advice = "set unclean.leader.election.enable=false, or records that Kafka acknowledged may be lost"
        problems.append(("a replica that is behind may become leader", advice))
    if brokers > 1 and topic.replicas < 2:
        problems.append(("one replica", "replicate it, or losing a broker loses its records"))
    told = f"{topic.partitions} partitions, {topic.replicas} replicas"
    if retention >= 0 and not is_catalog:
        told += f", {retention / _DAY_MS:.1f} days"
    return finding(
        "Kafka",
        topic.name,
        worst if problems else None,
        "; ".join([told, *(problem for problem, _ in problems)]),
        "; ".join(advice for _, advice in problems),
    )


def group(state: str, members: int, partitions: int) -> Finding:
    """Judge the workers' consumer group."""
    bad = None if members and state == "Stable" else Verdict.WARN
    if members > partitions > 0:
        bad = Verdict.WARN
        return finding(
            "Kafka", "workers", bad, f"{members} for {partitions} partitions", "stop some, or add partitions"
        )
    return finding(
        "Kafka",
        "workers",
        bad,
        f"{members} in the group, {state or 'unknown'}",
        "start one with `vca worker`" if not members else "wait: a rebalance is in progress",
    )


def memory(bound: int, total: int, limit: int | None = None) -> Finding:
    """Judge a worker's maximum memory against that of this machine, or a container's limit, in bytes.

    A machine's memory is shared with other processes; a container's is mostly for the worker.
    """
    there = total if limit is None else min(limit, total)
    limited = there < total
    share = 0.8 if limited else 0.5
    return finding(
        "here",
        "memory of a worker",
        Verdict.WARN if bound > share * there else None,
        f"up to {bound / 1e9:.1f} GB of {there / 1e9:.1f} GB{' (limit of the container)' if limited else ''}",
        "lower BUFFER_BYTES, FETCH_BYTES or MEMORY_KEYS" + (", or raise the limit" if limited else ""),
    )
