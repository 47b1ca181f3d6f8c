"""The worker's settings: read from the environment once, at the root, and passed in from there."""

from __future__ import annotations

from typing import Any

from pydantic import Field, SecretStr

from sinks.kafka.access import KafkaAccess
from streams.domain.log_output import LogLevel


class Settings(KafkaAccess):
    """Environment variables of the worker; every field is documented in docs/configuration.md."""

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092", description="Kafka brokers to start from, `host:port`, comma-separated."
    )
    redis_url: str = Field("redis://127.0.0.1:6379/0", description="Redis: ledgers and the live window.")
    clickhouse_url: str = Field(
        "http://127.0.0.1:8123/videocloud",
        description="ClickHouse over HTTP; the path is the database. A request without a response for a "
        "minute is retried; `?send_receive_timeout=180` makes it three minutes.",
    )

    clickhouse_cluster: str = Field(
        "",
        pattern=r"^([A-Za-z_][\w.-]{0,63})?$",
        description="ClickHouse cluster (a name in `remote_servers`) over which `vca migrate` spreads the "
        "tables, and to whose shards workers write; empty for one server.",
    )

    topic_playback: str = Field("playback.events", description="Topic of playback events.")
    topic_users: str = Field("user.events", description="Topic of user events.")
    topic_systems: str = Field("system.events", description="Topic of system events.")
    topic_catalog: str = Field("video.catalog", description="Topic of the video catalog (compacted).")
    topic_deadletter: str = Field(
        "events.deadletter", description="Topic of dead letters (rejected records)."
    )
    consumer_group: str = Field("videocloud-analytics", description="Kafka consumer group of the workers.")
    topic_partitions: int = Field(
        12, ge=1, le=1024, description="Partitions of each topic that `vca topics` creates."
    )
    topic_replication: int = Field(
        1, ge=1, le=9, description="Replicas of each topic that `vca topics` creates."
    )

    session_timeout: float = Field(
        10.0, gt=0, description="Seconds without a heartbeat after which a worker counts as dead."
    )
    rebalance_timeout: float = Field(
        10.0, gt=0, description="Seconds that workers have to rejoin the group in a rebalance."
    )
    fetch_bytes: int = Field(
        2_000_000, ge=65_536, description="Bytes fetched from a partition at once: the size of a batch."
    )

    block_rows: int = Field(
        50_000, ge=1, le=1_000_000, description="Rows at which a ClickHouse block is full."
    )
    block_seconds: float = Field(
        1.0,
        gt=0,
        le=60,
        description=(
            "Longest time that a row is buffered before its block is inserted, in seconds; four times that "
            "while many records wait in Kafka."
        ),
    )
    inserts_per_second: float = Field(
        14.0,
        gt=0,
        description=(
            "Most ClickHouse inserts per second of a worker, over all partitions, unless rows would wait "
            "for longer than BLOCK_SECONDS. A quarter of that for inserts of fewer than 50 rows."
        ),
    )
    buffer_bytes: int = Field(
        256_000_000,
        ge=1_000_000,
        description=(
            "Bytes of rows that a worker buffers for ClickHouse, over all partitions, before reading stops."
        ),
    )
    raw_retention_days: int = Field(
        180,
        ge=3,
        description="Days that raw events are kept; `vca migrate` sets it when it creates a table. Workers "
        "reject older events.",
    )
    rollup_retention_days: int = Field(
        1100, ge=3, description="Days that roll-ups are kept; `vca migrate` sets it when it creates a table."
    )
    deduplication_window: int = Field(
        100_000,
        ge=1_000,
        description="Deduplication tokens of blocks that ClickHouse keeps per table; read by `vca migrate`.",
    )
    analyst_password: SecretStr | None = Field(
        None,
        description="If set, `vca migrate` maintains a read-only ClickHouse user `analyst` with a quota.",
    )
    dead_letter_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description=(
            "Share of a topic's last records that may be dead letters; above it the worker stops with exit"
            " status 65, after which a supervisor should not restart it. 0 for no limit."
        ),
    )
    dead_letter_window: int = Field(
        1_000,
        ge=10,
        le=1_000_000,
        description="Number of a topic's last records to which DEAD_LETTER_SHARE applies.",
    )
    memory_keys: int = Field(
        2_000_000, ge=10_000, description="Most views and event ids that a worker holds in memory."
    )
    memory_seconds: float = Field(
        120.0, gt=0, description="Seconds without an event after which a view may be evicted from memory."
    )
    stall_seconds: float = Field(
        120.0, gt=0, description="Seconds after which a worker exits if records wait and it processes none."
    )
    log_level: LogLevel = "INFO"
    worker_metrics_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port of the worker's /metrics, /healthz and /readyz; 0 for none. The workers of "
        "`vca up --workers N` have this port and the next ones.",
    )
    worker_metrics_host: str = Field(
        "127.0.0.1", description="Address to which that port is bound; `0.0.0.0` for all, `::` with IPv6."
    )

    def brokers(self) -> dict[str, Any]:
        """Return the arguments with which aiokafka's clients reach Kafka, TLS and password included."""
        return self.kafka(self.kafka_bootstrap_servers)
