"""The ledgers in Redis: one hash per partition, changed only by scripts that check the epoch."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from sinks.base import Block, Books, Ledger, Partition, Unexpected
from sinks.redis import keys
from sinks.redis.client import available
from sinks.redis.scripts import Script

#: Version of what workers write: ledgers, bundles, and the order of their writes. Raise it if older workers
#: must not take over partitions from this one: they refuse to claim ledgers with a higher format.
FORMAT: Final = 1
#: The stored fields of a `Ledger`. Its hash has books and others besides, and redis-py takes microseconds for
#: each.
_FIELDS: Final = tuple(name for name in Ledger.__dataclass_fields__ if name != "parts")
#: Ledgers that are read in one request, of all that there are.
_LEDGERS_AT_ONCE: Final = 500
_TAG: Final = re.compile(r"vc:\{(.+)/([^/]+)/(\d+)\}:ledger")


def ledger_key(partition: Partition) -> str:
    """Key of a partition's ledger."""
    return keys.ledger(keys.tag(partition.cluster, partition.topic, partition.number))


def ledger_of(fields: Mapping[str, str]) -> Ledger:
    """Return the ledger from the fields of its hash."""

    def number(name: str) -> int | None:
        return int(fields[name]) if name in fields else None

    return Ledger(
        epoch=int(fields.get("epoch", 0)),
        incarnation=number("incarnation") or 0,
        generation=number("generation") or 0,
        counted=number("counted"),
        counted_mark=fields.get("counted_mark", ""),
        block_from=number("block_from"),
        block_to=number("block_to"),
        from_mark=fields.get("from_mark", ""),
        to_mark=fields.get("to_mark", ""),
        done=fields.get("done", "1") == "1",
        landed=number("landed") or 0,
        shard=number("shard") or 0,
        topic_ids=tuple(fields.get("topic_ids", "").split()),
        bundle=fields.get("bundle", ""),
    )


def _cursors(ledger: Ledger) -> str:
    """Return the cursors as `rewrite.lua` compares them."""
    return " ".join("" if cursor is None else str(cursor) for cursor in ledger.cursors)


def _rebuilt(ledger: Ledger) -> str:
    """Return what `rebuild.lua` writes down with the last part of a generation; empty if it has no parts."""
    return f"{ledger.generation}:{ledger.parts}" if ledger.parts else ""


def _decoded(found: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in found.items()}


async def read_ledgers(redis: Any) -> dict[Partition, tuple[Ledger, Books]]:
    """Return all ledgers and their books (numbers of records), without claiming them."""
    found = {}
    with available():
        every = [key async for key in redis.scan_iter(match=keys.ledger("*"), count=1000)]
        named = [(key, match) for key in every if (match := _TAG.fullmatch(key.decode()))]
        for begin in range(0, len(named), _LEDGERS_AT_ONCE):
            some = named[begin : begin + _LEDGERS_AT_ONCE]
            pipeline = redis.pipeline(transaction=False)
            for key, _ in some:
                pipeline.hgetall(key)
            for (_, match), answer in zip(some, await pipeline.execute(), strict=True):
                fields = _decoded(answer)
                if "epoch" in fields:
                    fates = Books.__dataclass_fields__
                    books = Books(*(int(fields.get(f"books:{fate}", 0)) for fate in fates))
                    partition = Partition(match[1], match[2], int(match[3]))
                    found[partition] = (ledger_of(fields), books)
    return found


class RedisLedgers:
    """`LedgerStore` on Redis."""

    def __init__(self, redis: Redis) -> None:
        """Use a client that returns bytes."""
        self._redis = redis
        self._claim = Script(redis, "claim")
        self._begin, self._finish, self._withdraw, self._rewrite, self._switch, self._write = (
            Script(redis, name, after=("owned",))
            for name in ("begin", "finish", "withdraw", "rewrite", "switch", "write")
        )

    async def claim(self, partition: Partition) -> Ledger:
        """Raise the epoch and return the ledger."""
        key = ledger_key(partition)
        flat = await self._claim(key, FORMAT)
        if flat[0] == b"NEWER":
            raise Unexpected(
                f"the ledger {key} was left by a newer version (format {flat[1].decode()}, and this one knows"
                f" {FORMAT}): run that one"
            )
        return ledger_of(_decoded(dict(zip(flat[::2], flat[1::2], strict=True))))

    async def begin(self, block: Block, epoch: int, from_mark: str, bundle: str = "") -> None:
        """Record that a block is about to be inserted, alone or in a bundle."""
        await self._begin.fenced(
            ledger_key(block.partition),
            *(
                epoch,
                block.start,
                block.end,
                from_mark,
                block.mark,
                block.shard,
                bundle,
                block.id.incarnation,
            ),
        )

    async def finish(self, block: Block, epoch: int) -> None:
        """Record that a block is inserted."""
        landed = block.landed if block.rows else ""
        await self._finish.fenced(
            ledger_key(block.partition), epoch, block.start, block.end, landed, block.id.incarnation
        )

    async def withdraw(self, partition: Partition, epoch: int, bundle: str) -> None:
        """Undo the beginning of the newest block, if it is in this bundle."""
        await self._withdraw.fenced(ledger_key(partition), epoch, bundle)

    async def read(self, partition: Partition) -> Ledger:
        """Return a ledger without claiming it."""
        with available():
            found: dict[Any, Any] = await self._redis.hgetall(ledger_key(partition))
        return ledger_of(_decoded(found))

    async def read_all(self, partitions: Collection[Partition]) -> dict[Partition, Ledger]:
        """Return ledgers without claiming them, by partition."""
        if not partitions:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for partition in partitions:
            pipeline.hmget(ledger_key(partition), _FIELDS)
        with available():
            answers = await pipeline.execute()
        ledgers = {}
        for partition, values in zip(partitions, answers, strict=True):
            found = zip(_FIELDS, values, strict=True)
            ledgers[partition] = ledger_of(
                {name: value.decode() for name, value in found if value is not None}
            )
        return ledgers

    async def rewrite(self, partition: Partition, ledger: Ledger, before: Ledger | None = None) -> None:
        """Replace the ledger, keeping its books."""
        ledger = ledger.with_zeros()
        await self._rewrite.fenced(
            ledger_key(partition),
            *(ledger.epoch, _cursors(before) if before else "", _cursors(ledger), _rebuilt(ledger)),
            *("incarnation", ledger.incarnation, "generation", ledger.generation),
            *("counted", ledger.counted, "counted_mark", ledger.counted_mark),
            *("block_from", ledger.block_from, "block_to", ledger.block_to),
            *("from_mark", ledger.from_mark, "to_mark", ledger.to_mark),
            *("done", int(ledger.done), "landed", ledger.landed, "topic_ids", " ".join(ledger.topic_ids)),
            *("bundle", ledger.bundle),
        )

    async def name_log(self, partition: Partition, epoch: int, topic_ids: Sequence[str]) -> None:
        """Store Kafka's ids of the topic."""
        await self._write.fenced(ledger_key(partition), epoch, "topic_ids", " ".join(topic_ids))

    async def requested_recounts(self, partitions: Collection[Partition]) -> dict[Partition, str]:
        """Return open requests to recount live windows."""
        if not partitions:
            return {}
        pipeline = self._redis.pipeline(transaction=False)
        for partition in partitions:
            pipeline.hmget(ledger_key(partition), ["recount", "recounted"])
        with available():
            answers = await pipeline.execute()
        return {
            partition: wanted.decode()
            for partition, (wanted, done) in zip(partitions, answers, strict=True)
            if wanted and wanted != done
        }

    async def finish_recount(self, partition: Partition, before: int, ledger: Ledger, request: str) -> None:
        """Switch readers from a generation to the ledger's, and mark the request as done."""
        await self._switch.fenced(
            ledger_key(partition),
            *(ledger.epoch, before, ledger.generation, request, _rebuilt(ledger), ledger.counted or 0),
        )


async def request_recount(redis: Any, partitions: Collection[Partition], request: str) -> None:
    """Request recounts of live windows from the partitions' owners, now or later."""
    with available():
        for partition in partitions:
            await redis.hset(ledger_key(partition), "recount", request)
