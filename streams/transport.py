"""A Faust transport whose messages are batches: one event per fetched batch of one partition.

Stock Faust delivers one record at a time, at a cost of tens of microseconds each. Here a message's value is a
`Fetched`: the records of one partition as the broker sent them.

The transport also replaces Faust's own handling of offsets. Acknowledgements decide nothing: positions come
from the ledger (`PartitionKeeper.take_over`), and the offset that both stores have is committed to Kafka only
for tools that show lag.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar, Final, Protocol, TypeVar, cast

from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message
from mode.utils.futures import notify

from sinks.together import Together
from streams.assignment import Fetched, LogBounds
from streams.fetching import Portion, patch_aiokafka
from streams.loop_time import loop_time
from streams.topic_ids import ask_for_ids

T = TypeVar("T")

_FETCH_WAIT_MS: Final = 50
#: Timeout of calls to Kafka that are repeated anyway.
_CALL_SECONDS: Final = 5.0
#: How old topic ids may be when records are delivered (a topic is hardly deleted, created again and filled in
#: less), and how long records may wait for them.
_ID_MAX_AGE_SECONDS: Final = 0.1
_ID_TIMEOUT_SECONDS: Final = 0.5


class PartitionKeeper(Protocol):
    """Knows the offsets of partitions; the pipeline implements it."""

    async def take_over(self, tps: set[TP], seek: Callable[[Mapping[TP, int]], Awaitable[None]]) -> None:
        """Take assigned partitions over; call `seek` with the offset to read each from, once it is known."""

    def safe_offsets(self) -> Mapping[TP, int]:
        """Return by partition the offset before which both stores have every record."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the Kafka client: only it seeks and fetches, so the two cannot interleave."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start without positions."""
        super().__init__(*args, **kwargs)
        #: Offset from which the next batch is delivered: set by seeks, advanced by deliveries.
        self._next: dict[TP, int] = {}
        self._ids: Mapping[str, str] = {}
        self._refresh_ids_at = 0.0

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        patch_aiokafka(consumer._max_partition_fetch_bytes)
        # A broker gets one request at a time, for the partitions whose records were all delivered. While it
        # waits for records of idle partitions, busy ones cannot be fetched: Faust's fixed 1.5 s would limit
        # them all.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        # Events of aborted transactions must not count. Faust sets this only if it uses transactions itself.
        consumer._isolation_level = "read_committed"
        return consumer

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Seek partitions that are still assigned."""
        await self.call_thread(self._seek_to, dict(offsets))

    async def _seek_to(self, offsets: dict[TP, int]) -> None:
        consumer, assigned = self._ensure_consumer(), self.assignment()
        for tp, offset in offsets.items():
            if tp in assigned:
                place = driver.ensure_aiokafka_TP(tp)
                consumer.seek(place, offset)
                consumer.resume(place)
                self._next[tp] = offset

    def highwater(self, tp: TP) -> int:
        """Return the high watermark of the last fetch; None before the first one, as in aiokafka."""
        return self.end_offset(tp, lambda state: state.highwater)  # type: ignore[return-value]

    def end_offset(self, tp: TP, read_end: Callable[[Any], int | None]) -> int | None:
        """Return the end of a partition's readable records; None while it is unknown.

        `read_end` picks an end offset from aiokafka's state of the partition. The last offsets before it may
        be transaction markers and aborted records. When there is nothing else after the delivered records,
        the log counts as ending there, because nothing after them will ever be delivered.
        """
        subscription = self._ensure_consumer()._subscription.subscription
        place = driver.ensure_aiokafka_TP(tp)
        if subscription is None or place not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(place)
        end = read_end(state)
        if end is None or not state.has_valid_position or end > state.position:
            return end
        return self._next.get(tp, end)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit offsets; return False after a timeout.

        aiokafka repeats a commit for as long as Kafka is away, and a worker that stops would wait for it.
        """
        try:
            async with asyncio.timeout(_CALL_SECONDS):
                return bool(await super()._commit(offsets))
        except TimeoutError:
            return False

    async def call_client(self, request: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run a request with the thread's Kafka consumer; raises `TimeoutError`, `KafkaError`.

        It bypasses the thread's queue of calls, so that a request without an answer does not block a seek.
        """
        call = asyncio.run_coroutine_threadsafe(request(self._ensure_consumer()), self.thread_loop)
        async with asyncio.timeout(_CALL_SECONDS):
            return await asyncio.wrap_future(call)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the positions of revoked partitions."""
        for tp in revoked:
            self._next.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Fetch nothing before it is known from where on: others that are known are not held up."""
        consumer = self._ensure_consumer()
        for place in map(driver.ensure_aiokafka_TP, assigned):
            consumer.pause(place)
            consumer.seek(place, 0)
        await super().on_partitions_assigned(assigned, generation_id)

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        try:
            records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        except NoOffsetForPartitionError:
            return {}  # Just assigned: the seek to the ledger's position has yet to come.
        except OffsetOutOfRangeError as error:
            # Delivered as an empty batch, in order, so that batches fetched before are processed before.
            return {TP(tp.topic, tp.partition): Fetched(at, ()) for tp, at in error.args[0].items()}
        # No await in this loop: a seek must not come between the records and their start offset.
        batches: dict[TP, Fetched] = {}
        for raw, fetched in records.items():
            tp = TP(raw.topic, raw.partition)
            start = self._next.get(tp)
            if start is not None and fetched:
                end = self._next[tp] = fetched[-1].offset + 1
                backlog = max(0, (self.highwater(tp) or 0) - end)
                epochs = cast(Portion, fetched).leader_epochs
                batches[tp] = Fetched(start, fetched, backlog, leader_epochs=epochs)
        ids = await self._current_ids(consumer) if batches else {}
        return {tp: replace(batch, topic_id=ids.get(tp.topic, "")) for tp, batch in batches.items()}

    async def _current_ids(self, consumer: Any) -> Mapping[str, str]:
        """Return topic ids at most `_ID_MAX_AGE_SECONDS` old; none while brokers do not answer."""
        now = loop_time()
        if now >= self._refresh_ids_at:
            self._refresh_ids_at = now + _ID_MAX_AGE_SECONDS
            try:
                async with asyncio.timeout(_ID_TIMEOUT_SECONDS):
                    self._ids = await ask_for_ids(consumer._client, {tp.topic for tp in self._next})
            except (KafkaError, TimeoutError):
                self._ids, self._refresh_ids_at = {}, now + _CALL_SECONDS
        return self._ids


class _NoReadOffsets(dict[TP, int | None]):
    """Keeps none of the offsets up to which Faust drops messages as already read.

    Faust notes a message's offset after a stream has processed it. If the stream seeks back meanwhile, for
    example to the start of another log, the note comes later than the seek, and every record that is fetched
    again would be dropped silently. The pipeline itself checks which offset comes next.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Ignore an offset."""

    def update(self, *_: Any, **__: Any) -> None:
        """Ignore offsets."""


class _NoAcknowledgements(dict[TP, "_NoAcknowledgements"]):
    """Keeps none of the offsets that Faust's streams acknowledge; it is also what each partition has of them.

    Only Faust's own commit would remove them, and `force_commit` takes its place. They would be a list and a
    set that grow with each batch, for as long as the partition stays. Faust's compiled streams write to them
    without calling `ack`.
    """

    def __missing__(self, tp: TP) -> _NoAcknowledgements:
        return self

    def __contains__(self, _: object) -> bool:
        return False

    def add(self, offset: int) -> None:
        """Ignore an offset."""

    append = add


class BatchConsumer(driver.Consumer):
    """A Faust consumer that yields batches and keeps no offsets of its own."""

    keeper: ClassVar[PartitionKeeper]
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; arguments are Faust's."""
        super().__init__(*args, **kwargs)
        self._read_offset = _NoReadOffsets()
        none: Any = _NoAcknowledgements()
        self._acked = self._acked_index = none
        self._bounds = Together(self._ask_bounds)
        self._taking_over: asyncio.Future[None] | None = None

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield the fetched batches, one message per partition."""
        batches, _ = await self._wait_next_records(timeout)
        if not batches or self.should_stop:
            return
        for tp, batch in batches.items():
            if not self.flow_active:
                # The rest is dropped with the stream's buffers; the pipeline will seek back to it.
                return
            yield tp, self._message(tp, batch)

    def _message(self, tp: TP, batch: Any) -> Message:
        last = batch.records[-1] if batch.records else None
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset if last else 0,
            last.timestamp / 1000.0 if last else 0.0,
            0,
            [],
            None,
            batch,
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Begin to take assigned partitions over: each is read once that is done, and waits for no other."""
        if self._taking_over is not None:
            self._taking_over.cancel()
        self._taking_over = self.add_future(self._take_over())

    async def _take_over(self) -> None:
        with suppress(asyncio.CancelledError):  # By the next rebalance.
            await self.keeper.take_over(set(self.assignment()), self.seek_to)

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Seek partitions that are still assigned."""
        await self._thread.seek_to(offsets)

    async def log_bounds(self, tp: TP) -> LogBounds:
        """Refresh metadata and ask the leader for the log's bounds; raises `TimeoutError`, `KafkaError`.

        Calls at the same time share requests: after a takeover, all partitions are compared at once.
        """
        found = await self._bounds([tp])
        return found[tp] if tp in found else (await self._request_bounds([tp]))[tp]

    async def _ask_bounds(self, tps: Collection[TP]) -> dict[TP, LogBounds]:
        try:
            return await self._request_bounds(tps)
        except (KafkaError, TimeoutError):
            if len(tps) == 1:
                raise
            # One of them may have no leader, and must not keep the others from an answer: each asks alone.
            return {}

    async def _request_bounds(self, tps: Collection[TP]) -> dict[TP, LogBounds]:
        places = {tp: driver.ensure_aiokafka_TP(tp) for tp in tps}

        async def request(consumer: Any) -> dict[TP, LogBounds]:
            ids = await ask_for_ids(consumer._client, sorted({tp.topic for tp in places}))
            await consumer._client.force_metadata_update()
            starts = await consumer.beginning_offsets(list(places.values()))
            ends = await consumer.end_offsets(list(places.values()))
            return {
                tp: LogBounds(ids.get(tp.topic, ""), int(starts[place]), int(ends[place]))
                for tp, place in places.items()
            }

        return await self._thread.call_client(request)

    async def end_offsets(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return the logs' end offsets, as the brokers give them now; raises `TimeoutError`, `KafkaError`."""
        places = {driver.ensure_aiokafka_TP(tp): tp for tp in tps}

        async def request(consumer: Any) -> Mapping[Any, int]:
            return cast(Mapping[Any, int], await consumer.end_offsets(list(places)))

        found = await self._thread.call_client(request) if places else {}
        return {places[place]: int(end) for place, end in found.items()}

    def end_offset(self, tp: TP, broker_end: int | None) -> int | None:
        """Return a log's end offset: `broker_end`, or that of a later fetch; None while it is unknown."""

        def read_end(state: Any) -> int | None:
            return max((end for end in (broker_end, state.highwater) if end is not None), default=None)

        return self._thread.end_offset(tp, read_end)

    def readable_end(self, tp: TP, broker_end: int | None = None) -> int | None:
        """Return how far a log can be read, which is not beyond an open transaction; None while unknown.

        That is the last stable offset of the last fetch, or `broker_end` (from `end_offsets`).
        """

        def read_end(state: Any) -> int | None:
            read = state.position if state.has_valid_position else 0
            # A last stable offset below the position comes from a broker without transactions.
            known = state.lso is not None and state.lso >= read
            fetched = state.lso if known else state.highwater
            return max((end for end in (broker_end, fetched) if end is not None), default=None)

        return self._thread.end_offset(tp, read_end)

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return Kafka's id of each existing topic; raises `TimeoutError`, `KafkaError`."""
        return await self._thread.call_client(lambda consumer: ask_for_ids(consumer._client, topics))

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: the fetcher waits for room itself, and Faust would try again only a second later."""

    def ack(self, message: Message) -> bool:
        """Mark a message as processed; no offset depends on it."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def force_commit(
        self, topics: Iterable[Any] | None = None, start_new_transaction: bool = True
    ) -> bool:
        """Commit the offsets that both stores have, so that tools show the right lag."""
        assigned = self.assignment()
        offsets = {
            tp: offset
            for tp, offset in self.keeper.safe_offsets().items()
            if tp in assigned and offset != self._committed_offset[tp]
        }
        if not offsets or not await self._commit(offsets):
            return False
        self._committed_offset.update(offsets)
        return True

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing, because `streams.watchdog` does this.

        Faust would take a partition for stuck, and advise a setting, that moved here or was idle and has new
        records at that moment, or that waits for a store.
        """

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Ignore gaps: they matter only where Faust decides what to commit."""


class BatchTransport(driver.Transport):
    """Faust's aiokafka transport, with batches as messages."""

    Consumer: ClassVar[type[BatchConsumer]]


def batch_transport(keeper: PartitionKeeper) -> type[BatchTransport]:
    """Return a transport class whose consumers ask `keeper` for the offsets of partitions."""
    consumer = type("Consumer", (BatchConsumer,), {"keeper": keeper})
    return type("Transport", (BatchTransport,), {"Consumer": consumer})
