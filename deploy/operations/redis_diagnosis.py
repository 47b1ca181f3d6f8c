"""Findings about a Redis or a Redis Cluster, derived from what its nodes report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from deploy.operations.diagnosis import Finding, Verdict, finding, version

_OLDEST: Final = (6, 2)
_ALL_SLOTS: Final = 16_384


def node(told: Mapping[str, Any]) -> list[Finding]:
    """Judge what INFO says."""
    limit, used = int(told.get("maxmemory", 0)), int(told.get("used_memory", 0))
    policy = str(told.get("maxmemory_policy", "noeviction"))
    appends = str(told.get("aof_enabled", "0")) == "1"
    evicts = policy != "noeviction"
    full = bool(limit) and used > 0.8 * limit
    snapshot = str(told.get("rdb_last_bgsave_status", "ok"))
    # Reported only where `min-replicas-to-write` requires replicas.
    replicas = told.get("min_slaves_good_slaves")
    return [
        version("Redis", str(told.get("redis_version", "?")), _OLDEST),
        finding(
            "Redis",
            "append-only file",
            None if appends else Verdict.FAIL,
            "on" if appends else "off",
            "CONFIG SET appendonly yes, and appendonly yes in redis.conf: without it a restart loses the"
            " ledgers and counters, which are then rebuilt from ClickHouse",
        ),
        finding(
            "Redis",
            "last write to the file",
            None if str(told.get("aof_last_write_status", "ok")) == "ok" else Verdict.FAIL,
            str(told.get("aof_last_write_status", "ok")),
            "see Redis' log and its disk space",
        ),
        finding(
            "Redis",
            "last snapshot",
            None if snapshot == "ok" else Verdict.FAIL,
            snapshot,
            "see Redis' log and its disk space: with snapshots on, it refuses writes until one succeeds",
        ),
        finding(
            "Redis",
            "replicas to write to",
            None if replicas is None or int(replicas) else Verdict.FAIL,
            "none required" if replicas is None else f"{replicas} in sync",
            "start its replicas, or lower min-replicas-to-write: a Redis with too few refuses writes",
        ),
        finding(
            "Redis",
            "eviction",
            (Verdict.FAIL if limit else Verdict.WARN) if evicts else None,
            policy,
            "CONFIG SET maxmemory-policy noeviction: other policies remove live counters",
        ),
        finding(
            "Redis",
            "memory",
            Verdict.WARN if full else None,
            f"{used / 1e6:.0f} MB of {limit / 1e6:.0f} MB" if limit else f"{used / 1e6:.0f} MB, no limit",
            "raise maxmemory: a full Redis refuses writes, and the workers wait",
        ),
        finding(
            "Redis",
            "role",
            None if told.get("role", "master") == "master" else Verdict.FAIL,
            str(told.get("role", "master")),
            "set REDIS_URL to the primary: a replica refuses writes",
        ),
    ]


@dataclass(frozen=True, slots=True)
class Shards:
    """A node's report on its Redis Cluster: state, slots, and masters with their replicas."""

    state: str
    slots_assigned: int
    slots_ok: int
    replicas: Mapping[str, int]


def cluster(told: Shards) -> list[Finding]:
    """Judge a Redis Cluster as a whole."""
    alone = sorted(name for name, replicas in told.replicas.items() if not replicas)
    gaps, failing = _ALL_SLOTS - told.slots_assigned, told.slots_assigned - told.slots_ok
    slots = [f"{told.slots_assigned} of {_ALL_SLOTS} slots assigned"]
    if failing:
        slots.append(f"{failing} on masters that do not answer")
    return [
        finding(
            "Redis",
            "cluster",
            None if told.state == "ok" else Verdict.FAIL,
            f"{told.state}, {len(told.replicas)} masters",
            "see CLUSTER INFO and CLUSTER NODES: a cluster that is not ok refuses commands, and workers wait",
        ),
        finding(
            "Redis",
            "slots",
            Verdict.FAIL if gaps or failing else None,
            ", ".join(slots),
            "start the masters that are down, or move their slots to others (redis-cli --cluster fix)",
        ),
        finding(
            "Redis",
            "replicas",
            Verdict.WARN if alone else None,
            f"none of {', '.join(alone)}" if alone else "each master has one or more",
            "add a replica for each master: if a master's slots are lost, the whole cluster refuses commands",
        ),
    ]


def of_all(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Merge the findings of several nodes: one if all are well, else those that are not."""
    every = [(name, each) for name, some in found.items() for each in some]
    together = []
    for what in dict.fromkeys(each.name for _, each in every):
        same = [(name, each) for name, each in every if each.name == what]
        bad = [(name, each) for name, each in same if each.verdict != Verdict.OK]
        if bad:
            together += [replace(each, name=f"{what} of {name}") for name, each in bad]
        else:
            said = sorted({each.found for _, each in same})
            together.append(replace(same[0][1], found=f"{', '.join(said)} ({len(same)} masters)"))
    return together
