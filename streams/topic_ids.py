"""Kafka's topic ids (KIP-516), and what a client may do with a topic (KIP-430).

A topic that is deleted and created again gets another id. The Kafka client only knows versions of the
metadata request without ids and rights. This module adds version 10, which has both.
"""

from __future__ import annotations

import random
from base64 import urlsafe_b64encode
from collections.abc import Collection
from io import BytesIO
from typing import Any, Final

from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_ID = bytes(16)
#: The smallest Int32: the broker does not say what the client may do.
_NOT_TOLD: Final = -(2**31)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka is not typed here
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Collection[str], rights: bool = False) -> None:
        self._topics, self._rights = topics, rights

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        named: list[tuple[Any, ...]] = [(_NO_ID, name, {}) for name in self._topics]
        return request_struct_class(named, False, False, self._rights, {})


async def ask_for_ids(client: Any, topics: Collection[str]) -> dict[str, str]:
    """Return the id of each existing topic, in the encoding of Kafka's own tools.

    Returns nothing for brokers older than 2.8, which have no ids. Raises `KafkaError` when no broker answers.

    Args:
        client: aiokafka's client; call this in its event loop.
        topics: names of topics.
    """
    return {
        name: urlsafe_b64encode(uuid).decode().rstrip("=")
        for error, name, uuid, *_ in await _ask(client, _MetadataRequest(topics))
        if not error and uuid != _NO_ID
    }


async def ask_for_rights(client: Any, topics: Collection[str]) -> dict[str, int | None]:
    """Return by topic the operations that the client may do, as bits numbered like Kafka's `AclOperation`.

    A topic that the client may not even see has none (0), whether it exists or not. Other topics that do not
    exist are left out. None for a topic about which the broker says nothing. Brokers older than 2.8 return
    nothing at all.
    Arguments and errors are those of `ask_for_ids`.
    """
    found: dict[str, int | None] = {}
    for error, name, *_, operations, _tags in await _ask(client, _MetadataRequest(topics, rights=True)):
        if error == TopicAuthorizationFailedError.errno:
            found[name] = 0
        elif not error:
            found[name] = None if operations == _NOT_TOLD else operations
    return found


async def _ask(client: Any, request: _MetadataRequest) -> list[Any]:
    """Return the topics of the first answer of any broker."""
    failed: KafkaError = KafkaConnectionError("no broker is known")
    brokers = [broker.nodeId for broker in client.cluster.brokers()]
    for broker in random.sample(brokers, len(brokers)):
        try:
            answer = await client.send(broker, request)
        except NotImplementedError:
            return []
        except KafkaError as error:
            failed = error
        else:
            return list(answer.topics)
    raise failed
