"""Holds on the inserts of many partitions take little time, and few connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sinks.base import Partition
from sinks.redis.client import CONNECTIONS
from sinks.redis.holds import HeldByAnother, HoldLost, Holds

PARTITIONS = [Partition("c", "playback.events", number) for number in range(100)]


class _Redis:
    """A Redis that answers a script by its key, after a turn of the event loop; else with OK."""

    def __init__(self, **verdicts: tuple[bytes, bytes]) -> None:
        self.running = self.most = self.calls = self.turns = 0
        self._verdicts = {
            f"vc:{{c/playback.events/{name[1:]}}}:ledger": said for name, said in verdicts.items()
        }

    def register_script(self, _: str) -> Any:
        return self._run

    async def _run(self, keys: list[str], args: Any) -> tuple[bytes, bytes]:
        self.calls += 1
        self.turns += not self.running
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        return self._verdicts.get(keys[0], (b"OK", b""))


async def test_partitions_are_held_some_at_a_time() -> None:
    redis: Any = _Redis()
    await Holds(redis, "me").take(PARTITIONS)
    assert redis.calls == len(PARTITIONS)
    assert redis.most <= CONNECTIONS // 2
    assert redis.turns <= len(PARTITIONS) / 10


async def test_whoever_holds_one_of_many_is_named_and_so_is_each_hold_that_was_lost() -> None:
    busy: Any = _Redis(n60=(b"BUSY", b"you"))
    with pytest.raises(HeldByAnother, match=r"you already holds .*playback\.events/60"):
        await Holds(busy, "me").take(PARTITIONS)
    lost: Any = _Redis(n3=(b"LOST", b""), n70=(b"LOST", b""))
    with pytest.raises(HoldLost, match=r"playback\.events/3, .*playback\.events/70 was lost"):
        await Holds(lost, "me").keep(PARTITIONS)
    assert lost.calls == len(PARTITIONS)
