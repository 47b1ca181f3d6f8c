"""Turns accepted events into raw rows, and inserts them with the product's sink in blocks of random sizes."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from sinks.base import Block, Partition
from sinks.clickhouse.client import connect
from sinks.clickhouse.sink import ClickHouseBlocks
from streams.domain.rows import PlaybackRow, Row, SystemRow, UserRow
from tests.oracle.log import PLAYBACK, USERS, Accepted, user_of
from tests.oracle.users import device_of

_TABLES: dict[type[Row], str] = {
    PlaybackRow: "playback_events",
    UserRow: "user_events",
    SystemRow: "system_events",
}
_PLAYBACK: dict[str, Any] = dict.fromkeys(PlaybackRow.__struct_fields__, 0) | {
    "signed_in": True,
    "country": "US",
    "platform": "web",
    "code": "",
    "fatal": False,
    "reason": "",
    "new_parts": (),
}
_SYSTEM: dict[str, Any] = {
    "endpoint": "",
    "method": "GET",
    "status": 0,
    "duration_ms": 0.0,
    "job_type": "",
    "job_id": "",
    "state": "",
    "op": "",
    "ok": True,
    "bytes": 0,
    "host": "",
    "cpu": 0.0,
    "load": (0.0, 0.0, 0.0),
    "memory_used_bytes": 0,
    "memory_total_bytes": 0,
    "storage_used_bytes": 0,
    "storage_total_bytes": 0,
}


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def row(accepted: Accepted, offset: int) -> Row:
    """Return the raw row of an event."""
    event = accepted.event
    fields: dict[str, Any] = {
        "log": "test",
        "topic": accepted.topic,
        "partition": 0,
        "offset": offset,
        "event_id": event["eventId"],
        "type": event["type"],
        "occurred_at": accepted.at,
        "received_at": accepted.at,
        "ahead_at": 0,
    }
    if accepted.topic not in (PLAYBACK, USERS):
        own = {_snake(name): value for name, value in event.items()}
        own = {name: value for name, value in own.items() if name in SystemRow.__struct_fields__}
        return SystemRow(**(_SYSTEM | own | fields))
    fields |= {"session_id": event["sessionId"], "user_id": user_of(event), "device": device_of(event)}
    if accepted.topic == PLAYBACK:
        return PlaybackRow(
            **(_PLAYBACK | {"video_id": event["videoId"], "view_id": event["viewId"]} | fields)
        )
    rest: dict[str, Any] = {"signed_in": True, "country": "US", "platform": "web"}
    told = {"video_id": "", "path": event.get("path", ""), "source": event.get("source", "")}
    return UserRow(**(rest | told | fields))


async def land(
    url: str, accepted: Iterable[Accepted], rng: Random, largest: int = 400, first: int = 0
) -> None:
    """Insert events in blocks of random sizes; some blocks are sent twice, as after a crash.

    `first` is the offset of the first event: ClickHouse would take two blocks of the same offsets for one.
    """
    rows = [row(each, offset) for offset, each in enumerate(accepted, first)]
    client = await connect(url)
    try:
        sink = ClickHouseBlocks(client)
        for kind, table in _TABLES.items():
            some = [each for each in rows if type(each) is kind]
            begin = 0
            while begin < len(some):
                end = min(begin + rng.randrange(1, largest), len(some))
                partition = Partition("test", some[0].topic, 0)
                part = some[begin:end]
                start, stop = first + begin, first + end
                block = Block(
                    partition,
                    "test",
                    table,
                    kind,
                    start,
                    stop,
                    "",
                    len(part),
                    stop,
                    [sink.encode(kind, part)],
                )
                await sink.write(block)
                if rng.random() < 0.2:
                    await sink.write(block)
                begin = end
    finally:
        await client.close()
