"""A Faust transport whose messages are batches: one event per fetched stretch of one partition.

Stock Faust hands over one record at a time, at a cost of tens of microseconds each. Here a message's
value is a `Fetched`: the records of one partition as the broker sent them.

It also takes Faust's own bookkeeping of offsets out of the way. What was acknowledged decides nothing:
positions come from the ledger (`PartitionKeeper.take_over`) and what is committed to Kafka, for lag
displays alone, is what both stores have.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Final, Protocol, TypeVar, cast

from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message
from mode.utils.futures import notify

from streams.assignment import Fetched, LogSeen
from streams.fetching import fetch_whole
from streams.topic_ids import ask_for_ids

T = TypeVar("T")

_FETCH_WAIT_MS: Final = 50
#: How long to wait for what is asked again anyway.
_ANSWER_SECONDS: Final = 5.0
#: How old the ids of topics may be when records are handed over: hardly a topic is deleted, made again and
#: filled in less. And how long records may wait for them.
_ID_SECONDS: Final = 0.1
_ID_PATIENCE: Final = 0.5


class PartitionKeeper(Protocol):
    """Who knows where partitions stand; the pipeline."""

    async def take_over(self, tps: set[TP]) -> Mapping[TP, int]:
        """Return the offset to read each newly assigned partition from."""

    def safe_offsets(self) -> Mapping[TP, int]:
        """Return the offset before which both stores have all, by partition."""


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread that owns the Kafka client: it alone seeks and fetches, so neither can overtake."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Start without positions."""
        super().__init__(*args, **kwargs)
        #: Where the next record handed over must follow on: set by seeks, moved by deliveries.
        self._next: dict[TP, int] = {}
        self._ids: Mapping[str, str] = {}
        self._ask_again_at = 0.0

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        fetch_whole(consumer._max_partition_fetch_bytes)
        # One request at a time goes to a broker, for the partitions whose records were all handed over.
        # While it waits for the silent ones, the busy ones cannot ask: Faust's fixed 1.5 s would be
        # the pace of everything.
        consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
        # Events of transactions that were aborted do not count. Faust would have it so only with transactions
        # of its own.
        consumer._isolation_level = "read_committed"
        return consumer

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Seek partitions that are still assigned."""
        await self.call_thread(self._seek_to, dict(offsets))

    async def _seek_to(self, offsets: dict[TP, int]) -> None:
        consumer, assigned = self._ensure_consumer(), self.assignment()
        for tp, offset in offsets.items():
            if tp in assigned:
                consumer.seek(driver.ensure_aiokafka_TP(tp), offset)
                self._next[tp] = offset

    def highwater(self, tp: TP) -> int:
        """Return the end of a log as the last fetch told; None before the first, as aiokafka does."""
        return self.end(tp, lambda state: state.highwater)  # type: ignore[return-value]

    def end(self, tp: TP, told: Callable[[Any], int | None]) -> int | None:
        """Return an end of a log, as the consumer's state of it tells: None while it is not known.

        The last offsets of a log may be no records, but markers of transactions and what was aborted. When
        nothing else is behind what was handed over, it ends there: nobody will ever take what follows.
        """
        subscription = self._ensure_consumer()._subscription.subscription
        place = driver.ensure_aiokafka_TP(tp)
        if subscription is None or place not in subscription.assignment.tps:
            return None
        state = subscription.assignment.state_value(place)
        end = told(state)
        if end is None or not state.has_valid_position or end > state.position:
            return end
        return self._next.get(tp, end)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit offsets, or leave it to the next time: aiokafka repeats it for as long as Kafka is away.

        A worker that is told to end would wait for that.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return bool(await super()._commit(offsets))
        except TimeoutError:
            return False

    async def ask(self, question: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Put a question to the thread's Kafka consumer; raises `TimeoutError`, `KafkaError`.

        Beside the thread's queue of calls: a question that nobody answers must not hold up a seek.
        """
        asked = asyncio.run_coroutine_threadsafe(question(self._ensure_consumer()), self.thread_loop)
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await asyncio.wrap_future(asked)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget the positions of partitions that leave."""
        for tp in revoked:
            self._next.pop(tp, None)
        await super().on_partitions_revoked(revoked)

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
            return {}  # Assigned a moment ago: the ledger's position is on its way.
        except OffsetOutOfRangeError as error:
            # Told in the order of the stream, so that what was fetched before is taken before.
            return {TP(tp.topic, tp.partition): Fetched(at, ()) for tp, at in error.args[0].items()}
        # No await until they are labelled: a seek cannot come between the records and where they follow on.
        batches: dict[TP, Fetched] = {}
        for raw, fetched in records.items():
            tp = TP(raw.topic, raw.partition)
            start = self._next.get(tp)
            if start is not None and fetched:
                end = self._next[tp] = fetched[-1].offset + 1
                batches[tp] = Fetched(start, fetched, max(0, (self.highwater(tp) or 0) - end))
        ids = await self._current_ids(consumer) if batches else {}
        return {tp: replace(batch, topic_id=ids.get(tp.topic, "")) for tp, batch in batches.items()}

    async def _current_ids(self, consumer: Any) -> Mapping[str, str]:
        """Return the topics' ids as they were a moment ago; none while brokers do not tell them."""
        now = asyncio.get_running_loop().time()
        if now >= self._ask_again_at:
            self._ask_again_at = now + _ID_SECONDS
            try:
                async with asyncio.timeout(_ID_PATIENCE):
                    self._ids = await ask_for_ids(consumer._client, {tp.topic for tp in self._next})
            except (KafkaError, TimeoutError):
                self._ids, self._ask_again_at = {}, now + _ANSWER_SECONDS
        return self._ids


class _Unread(dict[TP, int | None]):
    """What Faust notes of how far it has read, and drops everything before: nothing.

    It notes a message once a stream has taken it. If what the stream does with it is to go back, to the start
    of another log for example, the note comes after that, and all that is asked for again would be dropped
    without a word. What must come next is the pipeline's to know.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Forget it."""

    def update(self, *_: Any, **__: Any) -> None:
        """Forget them."""


class BatchConsumer(driver.Consumer):
    """A Faust consumer that yields batches and keeps no offsets of its own."""

    keeper: ClassVar[PartitionKeeper]
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; arguments are Faust's."""
        super().__init__(*args, **kwargs)
        self._read_offset = _Unread()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield what was fetched, a message a partition."""
        batches, _ = await self._wait_next_records(timeout)
        if not batches or self.should_stop:
            return
        for tp, batch in batches.items():
            if not self.flow_active:
                # The rest is dropped with the stream's buffers; the pipeline seeks back to it.
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
        """Seek every assigned partition to where its ledger says."""
        await self.seek_to(await self.keeper.take_over(set(self.assignment())))

    async def seek_to(self, offsets: Mapping[TP, int]) -> None:
        """Seek partitions that are still assigned."""
        await self._thread.seek_to(offsets)

    async def look(self, tp: TP) -> LogSeen:
        """Ask who leads a partition, and the leader for its log; raises `TimeoutError`, `KafkaError`."""
        where = driver.ensure_aiokafka_TP(tp)

        async def question(consumer: Any) -> LogSeen:
            ids = await ask_for_ids(consumer._client, [tp.topic])
            await consumer._client.force_metadata_update()
            start, end = await consumer.beginning_offsets([where]), await consumer.end_offsets([where])
            return LogSeen(ids.get(tp.topic, ""), int(start[where]), int(end[where]))

        return await self._thread.ask(question)

    async def ends(self, tps: Collection[TP]) -> dict[TP, int]:
        """Return where logs end, as the brokers say now; raises `TimeoutError`, `KafkaError`."""
        places = {driver.ensure_aiokafka_TP(tp): tp for tp in tps}

        async def question(consumer: Any) -> Mapping[Any, int]:
            return cast(Mapping[Any, int], await consumer.end_offsets(list(places)))

        found = await self._thread.ask(question) if places else {}
        return {places[place]: int(end) for place, end in found.items()}

    def end(self, tp: TP, asked: int | None) -> int | None:
        """Return where the records of a log end: what the brokers were `asked` for, or a fetch told since."""

        def told(state: Any) -> int | None:
            return max((end for end in (asked, state.highwater) if end is not None), default=None)

        return self._thread.end(tp, told)

    def readable_end(self, tp: TP, asked: int | None = None) -> int | None:
        """Return how far a log could be read: not beyond a transaction that is open.

        That is as far as the last fetch told, or what the brokers were `asked` for (`ends`).
        """

        def told(state: Any) -> int | None:
            read = state.position if state.has_valid_position else 0
            # A broker that says less than was read knows of no transactions.
            known = state.lso is not None and state.lso >= read
            fetched = state.lso if known else state.highwater
            return max((end for end in (asked, fetched) if end is not None), default=None)

        return self._thread.end(tp, told)

    async def topic_ids(self, topics: Collection[str]) -> dict[str, str]:
        """Return Kafka's id of each topic that there is; raises `TimeoutError`, `KafkaError`."""
        return await self._thread.ask(lambda consumer: ask_for_ids(consumer._client, topics))

    def on_buffer_full(self, tp: TP) -> None:
        """Let the fetcher wait for room instead: Faust would look again only a second later."""

    def ack(self, message: Message) -> bool:
        """Take note that a stream is done with a message; it decides nothing."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def force_commit(
        self, topics: Iterable[Any] | None = None, start_new_transaction: bool = True
    ) -> bool:
        """Tell Kafka what both stores have, so that lag displays are right."""
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

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Leave holes alone: they are Faust's business only while it decides what to commit."""


class BatchTransport(driver.Transport):
    """The aiokafka transport with batches for messages."""

    Consumer: ClassVar[type[BatchConsumer]]


def batch_transport(keeper: PartitionKeeper) -> type[BatchTransport]:
    """Return a transport class whose consumers ask `keeper` where partitions stand."""
    consumer = type("Consumer", (BatchConsumer,), {"keeper": keeper})
    return type("Transport", (BatchTransport,), {"Consumer": consumer})
