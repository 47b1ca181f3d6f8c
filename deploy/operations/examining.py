"""Reads from the servers, and this machine, the data that `diagnosis` judges."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import psutil
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAuthorizationFailedError
from redis.exceptions import NoPermissionError, ResponseError

from deploy.operations import diagnosis, redis_diagnosis
from deploy.operations.cgroup import memory_limit
from deploy.operations.diagnosis import Finding, Table, Topic, Verdict, finding
from deploy.operations.redis_diagnosis import Shards
from deploy.operations.retention import retention
from sinks.clickhouse import schema_state
from sinks.clickhouse.client import connect as connect_clickhouse
from sinks.clickhouse.client import database_of
from sinks.clickhouse.cluster import Cluster
from sinks.clickhouse.migrator import checksums, migrations, retentions
from sinks.redis.client import address_of, at_node
from sinks.redis.client import connect as connect_redis
from streams.rights import lacking_for
from streams.settings import Settings
from streams.topic_ids import ask_for_rights
from streams.topics import MAX_RECORD_BYTES, source_topics

_COMPILED: Final = ("faust._cython.streams", "faust._cython.windows", "faust.transport._cython.conductor")
#: A key in a worker's memory, with its view's state.
_BYTES_OF_A_KEY: Final = 400
_PATIENCE: Final = 5.0


def here(settings: Settings) -> list[Finding]:
    """Examine this machine as a host of workers."""
    missing = [name for name in _COMPILED if find_spec(name) is None]
    version = platform.python_version()
    folder = _temporary_folder()
    disk = shutil.disk_usage(folder)
    # Fetched records and those in streams, by partition and by topic; buffered rows; keys.
    bound = settings.fetch_bytes * (4 * settings.topic_partitions + 4 * 6 * 2)
    bound += 2 * settings.buffer_bytes + settings.memory_keys * _BYTES_OF_A_KEY
    return [
        finding(
            "here",
            "Python",
            None if sys.version_info >= (3, 11) else Verdict.FAIL,
            version,
            "use Python 3.11 or newer",
        ),
        finding(
            "here",
            "Faust's compiled extensions",
            Verdict.WARN if missing or os.environ.get("NO_CYTHON") else None,
            f"missing: {', '.join(missing)}" if missing else "installed",
            "install faust-streaming where a C compiler is available: without them the worker is slower",
        ),
        diagnosis.memory(bound, psutil.virtual_memory().total, memory_limit()),
        diagnosis.room("here", folder, disk.free, disk.total),
    ]


def _temporary_folder() -> str:
    """Return the folder of temporary files, or the current one if no such folder can be written to."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return str(Path.cwd())


async def redis(settings: Settings) -> list[Finding]:
    """Examine Redis; of a cluster all of its masters."""
    address, clustered = address_of(settings.redis_url)
    if not clustered:
        return await _redis_node(address)
    try:
        shards, masters = await _shards(address)
    except Exception as error:
        return [diagnosis.unreachable("Redis", "REDIS_URL", error)]
    found = await asyncio.gather(*(_redis_node(each) for each in masters.values()))
    return [*redis_diagnosis.cluster(shards), *redis_diagnosis.of_all(dict(zip(masters, found, strict=True)))]


async def _redis_node(url: str) -> list[Finding]:
    client = connect_redis(url, connect_timeout=_PATIENCE, ping_seconds=0)
    try:
        before = time.time()
        seconds, micros = await client.time()
        skew = _skew(before, int(seconds) + int(micros) / 1e6)
        rights = await _redis_rights(client)
        return [rights, *redis_diagnosis.node(await client.info()), diagnosis.clock("Redis", skew)]
    except Exception as error:
        return [diagnosis.unreachable("Redis", "REDIS_URL", error)]
    finally:
        await client.aclose()


async def _redis_rights(client: Any) -> Finding:
    """Try what workers and API do, on a key that nobody has."""
    lacks, key = [], "vc:{doctor}"
    for command in (("HGETALL", key), ("UNLINK", key), ("EXPIRE", key, 1), ("EVAL", "return 1", 1, key)):
        try:
            await client.execute_command(*command)
        except NoPermissionError as error:
            lacks.append(f"{command[0]} vc:*: {error}")
        except ResponseError:
            pass  # Rights come first: the slot is another node's, or this one takes no writes now.
    return finding(
        "Redis",
        "rights",
        Verdict.FAIL if lacks else None,
        "; ".join(lacks) or "enough for workers and the API",
        "docs/security.md has the rule for the user (Rights in Redis)",
    )


async def _shards(url: str) -> tuple[Shards, dict[str, str]]:
    """Return one node's report on its cluster, and the address of each master with slots.

    A single node is queried, because a cluster client fails when slots are missing.
    """
    client = connect_redis(url, connect_timeout=_PATIENCE, ping_seconds=0)
    try:
        info: dict[str, str] = await client.execute_command("CLUSTER INFO")
        nodes: dict[str, dict[str, Any]] = await client.execute_command("CLUSTER NODES")
    finally:
        await client.aclose()
    masters = {name: node for name, node in nodes.items() if "master" in node["flags"] and node["slots"]}
    replicas = Counter(node["master_id"] for node in nodes.values() if "fail" not in node["flags"])
    shards = Shards(
        info["cluster_state"],
        int(info["cluster_slots_assigned"]),
        int(info["cluster_slots_ok"]),
        {name: replicas[node["node_id"]] for name, node in masters.items()},
    )
    return shards, {name: at_node(url, name) for name in masters}


def _skew(before: float, theirs: float) -> float:
    """Return how far a clock is ahead, read between `before` and now."""
    now = time.time()
    return 0.0 if before <= theirs <= now else theirs - (now if theirs > now else before)


async def clickhouse(settings: Settings) -> list[Finding]:
    """Examine ClickHouse."""
    try:
        client = await connect_clickhouse(
            settings.clickhouse_url, connect_timeout=_PATIENCE, read_timeout=30.0
        )
    except Exception as error:
        return [diagnosis.unreachable("ClickHouse", "CLICKHOUSE_URL", error)]
    try:
        return await _clickhouse(client, settings)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        return [Finding("ClickHouse", "rights", Verdict.FAIL, text, "give the user SELECT on system.*")]
    finally:
        await client.close()


async def _clickhouse(client: Any, settings: Settings) -> list[Finding]:
    database = database_of(settings.clickhouse_url)
    before = time.time()
    told = (await client.query("SELECT version(), toUnixTimestamp64Milli(now64(3))")).result_rows[0]
    findings = [
        diagnosis.version("ClickHouse", told[0], diagnosis.OLDEST_CLICKHOUSE),
        diagnosis.clock("ClickHouse", _skew(before, told[1] / 1000)),
    ]
    findings.append(diagnosis.migrations(checksums(), await schema_state.applied(client)))
    rows = await client.query(
        "SELECT t.name, t.engine_full, max(p.n) FROM system.tables AS t LEFT JOIN"
        " (SELECT table, partition_id, count() AS n FROM system.parts WHERE database = {db:String} AND active"
        " GROUP BY table, partition_id) AS p ON p.table = t.name"
        " WHERE t.database = {db:String} AND t.name != 'schema_migrations' AND t.engine LIKE '%MergeTree'"
        " GROUP BY t.name, t.engine_full",
        parameters={"db": database},
    )
    tables = [Table(name, engine, int(count or 0)) for name, engine, count in rows.result_rows]
    cluster = Cluster(settings.clickhouse_cluster, database) if settings.clickhouse_cluster else None
    on = cluster.on if cluster else ""
    findings.append(diagnosis.deduplication(tables, settings.deduplication_window, on))
    days = {name: getattr(settings, name) for name in ("raw_retention_days", "rollup_retention_days")}
    findings += retention(tables, retentions(migrations()), days, on)
    findings.append(await _inserts(client))
    findings.append(diagnosis.parts(tables))
    rows = await client.query(
        "SELECT count() FROM system.databases WHERE name = {name:String}",
        parameters={"name": f"{database}_rebuild"},
    )
    left = bool(rows.result_rows[0][0])
    findings.append(
        finding(
            "ClickHouse",
            "rebuild",
            Verdict.WARN if left else None,
            f"{database}_rebuild exists" if left else "none running or interrupted",
            "wait for the rebuild; if it was interrupted, run `vca rebuild rollups` again, or DROP DATABASE"
            f" {database}_rebuild",
        )
    )
    rows = await client.query("SELECT name, free_space, total_space FROM system.disks")
    findings += [diagnosis.room("ClickHouse", name, free, total) for name, free, total in rows.result_rows]
    return findings


async def _inserts(client: Any) -> Finding:
    """Return whether workers may change the settings that make inserts idempotent."""
    wanted = {
        "async_insert": 0,
        "insert_deduplicate": 1,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
    }
    problem = ""
    try:
        rows = await client.query(
            "SELECT name, value FROM system.settings WHERE name IN"
            " ('async_insert', 'insert_deduplicate', 'deduplicate_blocks_in_dependent_materialized_views')",
            settings=wanted,
        )
        wrong = [name for name, value in rows.result_rows if str(wanted[name]) != str(value)]
        problem = f"refused: {', '.join(wrong)}" if wrong else ""
    except Exception as error:
        problem = " ".join(str(error).split())[:200]
    return finding(
        "ClickHouse",
        "settings of inserts",
        Verdict.FAIL if problem else None,
        problem or "async_insert=0 and deduplication are accepted",
        "remove readonly or constraints on these settings from the workers' profile",
    )


async def kafka(settings: Settings) -> list[Finding]:
    """Examine Kafka: brokers, topics, and the workers' group."""
    admin = AIOKafkaAdminClient(**settings.brokers(), request_timeout_ms=int(_PATIENCE * 1000))
    try:
        await admin.start()
    except Exception as error:
        await admin.close()
        return [diagnosis.no_kafka(error)]
    try:
        cluster = await admin.describe_cluster()
        brokers = len(cluster["brokers"])
        names = (*source_topics(settings), settings.topic_deadletter)
        allowed = await ask_for_rights(admin._client, names)
        lacks = await lacking_for(admin, settings, allowed)
        existing = set(await admin.list_topics())
        found = await _topics(admin, [name for name in names if name in existing])
        partitions = sum(topic.partitions for topic in found if topic.name != settings.topic_deadletter)
        return [
            finding("Kafka", "reachable", None, f"cluster {cluster['cluster_id']}, {brokers} brokers"),
            diagnosis.rights(settings.kafka_sasl_username, lacks),
            *diagnosis.topics(
                found,
                source_topics(settings),
                settings.topic_catalog,
                settings.topic_deadletter,
                brokers,
                MAX_RECORD_BYTES,
                {name for name, operations in allowed.items() if operations == 0},
            ),
            await _group(admin, settings.consumer_group, partitions),
        ]
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        return [
            Finding("Kafka", "rights", Verdict.FAIL, text, "let the user describe cluster, topics and groups")
        ]
    finally:
        await admin.close()


async def _topics(admin: Any, names: list[str]) -> list[Topic]:
    if not names:
        return []
    described = await admin.describe_topics(names)
    configs: dict[str, dict[str, str] | None] = {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    for answer in await admin.describe_configs(resources):
        for error, _, _, name, entries in answer.resources:
            hidden = error == TopicAuthorizationFailedError.errno
            configs[name] = None if hidden else {entry[0]: entry[1] for entry in entries}
    return [
        Topic(
            each["topic"],
            len(each["partitions"]),
            min((len(part["replicas"]) for part in each["partitions"]), default=0),
            sum(part["leader"] < 0 for part in each["partitions"]),
            configs.get(each["topic"], {}),
            sum(len(part["isr"]) < len(part["replicas"]) for part in each["partitions"]),
        )
        for each in described
    ]


async def _group(admin: Any, name: str, partitions: int) -> Finding:
    try:
        (answer,) = await admin.describe_consumer_groups([name])
        described = answer.groups[0]
        return diagnosis.group(described[2], len(described[5]), partitions)
    except Exception as error:
        return Finding(
            "Kafka", "workers", Verdict.WARN, f"group {name}: {str(error) or type(error).__name__}"
        )
