"""Kafka topics: their names, their configuration, and how they are created."""

from __future__ import annotations

from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from streams.settings import Settings

#: Largest accepted record: it must still fit into a dead letter.
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024


def source_topics(settings: Settings) -> tuple[str, ...]:
    """Return the names of the topics that the worker reads."""
    return (
        settings.topic_playback,
        settings.topic_users,
        settings.topic_systems,
        settings.topic_catalog,
    )


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing, and return their names.

    The catalog is compacted. Dead letters keep a record's bytes, so they may be as large as records.
    """
    admin = AIOKafkaAdminClient(**settings.brokers())
    await admin.start()
    try:
        wanted = [
            NewTopic(
                name=name,
                num_partitions=settings.topic_partitions,
                replication_factor=settings.topic_replication,
                topic_configs=_config(name, settings),
            )
            for name in (*source_topics(settings), settings.topic_deadletter)
        ]
        present = set(await admin.list_topics())
        missing = [topic for topic in wanted if topic.name not in present]
        if not missing:
            return []
        response = await admin.create_topics(missing)
        created = []
        for name, code, *_ in response.topic_errors:
            error = for_code(code)
            if code and error is not TopicAlreadyExistsError:
                raise error(f"topic {name} could not be created")
            if not code:
                created.append(name)
        return created
    finally:
        await admin.close()


def _config(name: str, settings: Settings) -> dict[str, str]:
    if name == settings.topic_catalog:
        return {"cleanup.policy": "compact"}
    if name == settings.topic_deadletter:
        return {"max.message.bytes": str(MAX_RECORD_BYTES + 65_536)}
    return {}


async def cluster_id(settings: Settings) -> str:
    """Return the Kafka cluster's id; a partition of another cluster is another log."""
    admin = AIOKafkaAdminClient(**settings.brokers())
    await admin.start()
    try:
        answer = await admin.describe_cluster()
        return str(answer.get("cluster_id") or "unknown")
    finally:
        await admin.close()
