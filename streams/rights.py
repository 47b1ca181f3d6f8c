"""What the worker's user may do in Kafka, asked before it begins.

Without these rights the Kafka client waits for ever, and says little or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request

from streams.settings import Settings
from streams.topic_ids import ask_for_rights
from streams.topics import source_topics

#: Bits of Kafka's `AclOperation`, by the names that its tools use.
OPERATIONS: Final = {"Read": 1 << 3, "Write": 1 << 4, "DescribeConfigs": 1 << 10}


def needed(settings: Settings) -> dict[str, str]:
    """Return by topic the operation that a worker needs."""
    return {**dict.fromkeys(source_topics(settings), "Read"), settings.topic_deadletter: "Write"}


async def lacking(settings: Settings) -> list[str]:
    """Return the rights that a worker needs and does not have, such as `Read on topic user.events`.

    Brokers that do not say what a client may do count as allowing it. Raises `KafkaError` when none answers.
    """
    admin = AIOKafkaAdminClient(**settings.brokers())
    try:
        await admin.start()
        return await lacking_for(admin, settings, await ask_for_rights(admin._client, needed(settings)))
    finally:
        await admin.close()


async def lacking_for(admin: Any, settings: Settings, allowed: Mapping[str, int | None]) -> list[str]:
    """Return the same, asked by a started admin client; `allowed` is that of `ask_for_rights`."""
    if None in allowed.values():
        return []  # Such a broker does not say it of groups either; the stand-in logs an error when asked.
    found = [
        f"{operation} on topic {topic}"
        for topic, operation in needed(settings).items()
        if not (allowed.get(topic, -1) or 0) & OPERATIONS[operation]
    ]
    if not await _may_read(admin, settings.consumer_group):
        found.append(f"Read on group {settings.consumer_group}")
    return found


class _GroupRequestStruct(DescribeGroupsRequest_v3):  # type: ignore[misc]  # aiokafka is not typed here
    #: aiokafka decodes the answer as one of version 2, without what the client may do.
    RESPONSE_TYPE = DescribeGroupsResponse_v3


class _GroupRequest(Request[_GroupRequestStruct]):  # type: ignore[misc]
    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_GroupRequestStruct]) -> _GroupRequestStruct:
        return request_struct_class([self._group], True)


async def _may_read(admin: Any, group: str) -> bool:
    try:
        coordinator = await admin.find_coordinator(group)
        answer = await admin._client.send(coordinator, _GroupRequest(group))
    except GroupAuthorizationFailedError:
        return False
    except (KafkaError, NotImplementedError):
        return True  # A coordinator that is starting, or a broker that knows no such request.
    error, *_, operations = answer.groups[0]
    # A negative number means that the broker does not say; another error is not about rights.
    return bool(error or operations < 0 or operations & OPERATIONS["Read"])


def explain_lacking(user: str | None, rights: Sequence[str]) -> str:
    """Return a line that names the user and the rights."""
    return f"user {user or 'of this client'} lacks {', '.join(rights)}"
