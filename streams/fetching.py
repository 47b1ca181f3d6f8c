"""Changes to aiokafka's fetcher: whole fetches instead of single records, at a limited rate."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from aiokafka.consumer import consumer as client
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from streams.unpacking import KeptRecords, limit_decompression, unpack

#: Seconds between two fetches from a broker: it answers as soon as it has one record, and an answer costs
#: nearly the same whatever its size.
FETCH_INTERVAL: Final = 0.02


class Portion(list[Any]):
    """Records, with the epochs of the leaders that wrote their first and their last batch (-1: unknown)."""

    leader_epochs: tuple[int, int] = (-1, -1)


class PlainRecords(PartitionRecords):  # type: ignore[misc]  # aiokafka is not typed here
    """Unpacks a fetch into aiokafka's own compiled records, which satisfy the protocol `Record`.

    Copying each record into a `ConsumerRecord` of eleven fields is more than half of the cost of reading, and
    two generators for each record are half of the rest: here a record batch is unpacked as a whole.
    """

    next_fetch_offset: int

    @property
    def is_exhausted(self) -> bool:
        """Whether no record batch is left."""
        return not self._records.has_next()

    def all(self, max_bytes: int | None = None) -> Portion:
        """Return every record from the fetched position on, and move the position behind the last batch.

        Stops after the record batch with which the unpacked values reach `max_bytes` bytes. Kafka limits the
        size of a fetch on the wire only, and a compressed one may hold ten times as much.
        """
        # aiokafka's iterator refers to this object: such a cycle only the garbage collector would free.
        self._records_iterator = None
        taken, first_epoch = Portion(), -1
        unpacked = 0
        while self._records.has_next() and (max_bytes is None or unpacked < max_bytes):
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not (self._is_aborted(batch) or batch.is_control_batch):
                records = unpack(batch, self._records)
                # The broker sends whole batches: the first one may begin before the position.
                if records and records[0].offset < self.next_fetch_offset:
                    records = [record for record in records if record.offset >= self.next_fetch_offset]
                if max_bytes is not None and getattr(batch, "compression_type", True):
                    unpacked += sum(len(record.value or b"") for record in records)
                if records and not taken:
                    first_epoch = self._records.leader_epoch
                taken += records
            self.next_fetch_offset = max(batch.next_offset, self.next_fetch_offset)
        if taken:
            taken.leader_epochs = (first_epoch, self._records.leader_epoch)
        return taken

    def _is_aborted(self, batch: Any) -> bool:
        """Say whether a record batch belongs to an aborted transaction; keep track of where those end.

        The broker sends the list of aborted transactions with a fetch, and no records of open ones.
        """
        if self._isolation_level != READ_COMMITTED or batch.producer_id is None:
            return False
        self._consume_aborted_up_to(batch.base_offset)
        if batch.is_control_batch and self._contains_abort_marker(batch):
            self._aborted_producers.discard(batch.producer_id)
        return bool(batch.is_transactional) and batch.producer_id in self._aborted_producers

    def _consumer_record(self, tp: Any, record: Any) -> Any:
        return record


class WholeResult(FetchResult):  # type: ignore[misc]  # aiokafka is not typed here
    """A fetch of one partition that is returned at once, or in portions of about `max_bytes` bytes."""

    max_bytes: ClassVar[int | None] = None
    _partition_records: PlainRecords | None

    def getall(self, max_records: int | None = None) -> list[Any]:
        """Return the next portion, or `max_records` records when that is given."""
        if max_records is not None:
            return list(super().getall(max_records))
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        records = self._partition_records.all(self.max_bytes)
        self._update_position()
        if self._partition_records.is_exhausted:
            self._partition_records = None
        return records


class PacedFetcher(fetcher.Fetcher):  # type: ignore[misc]  # aiokafka is not typed here
    """Leaves `FETCH_INTERVAL` between requests to one broker: on busy topics more records are there by then.

    A request that already waits at the broker is answered at once, so a single record is not delayed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; arguments are aiokafka's."""
        super().__init__(*args, **kwargs)
        #: Time of the last request by node id, on the loop's clock.
        self._requested_at: dict[int, float] = {}

    def _get_actions_per_node(self, assignment: Any) -> Any:
        """Wait for no paused partition: one that is read again is sought, too, and that wakes the fetcher.

        While hundreds are taken over, all of them would be waited for each time.
        """
        return (*super()._get_actions_per_node(assignment)[:-1], [])

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._requested_at.get(node_id, 0.0) + FETCH_INTERVAL - loop.time())
            self._requested_at[node_id] = loop.time()
            return bool(await super()._proc_fetch_request(assignment, node_id, request))
        except asyncio.CancelledError:
            # The fetcher is closing. aiokafka's own method returns False, too, but not if it is cancelled
            # during its back-off: then the consumer would not close, and Faust would wait a minute for it.
            return False


def patch_aiokafka(max_bytes: int) -> None:
    """Make aiokafka's consumers of this process use these classes; `max_bytes` is per portion."""
    client.Fetcher = PacedFetcher
    fetcher.MemoryRecords = KeptRecords
    fetcher.PartitionRecords, fetcher.FetchResult = PlainRecords, WholeResult
    WholeResult.max_bytes = max_bytes
    limit_decompression()
