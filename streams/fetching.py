"""How records come out of aiokafka: a fetch as a whole, and no oftener than is worth it."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from aiokafka.consumer import consumer as client
from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

#: Seconds from one fetch to the next: a broker answers as soon as it has a record, and an answer costs much
#: the same whatever is in it.
FETCH_PACE: Final = 0.02


class PlainRecords(PartitionRecords):  # type: ignore[misc]  # aiokafka is not typed here
    """Unpacks a fetch into aiokafka's own compiled records, which have all that `Record` asks for.

    Copying each into a `ConsumerRecord` of eleven fields is more than half of what reading costs, and going
    through two generators for each is half of the rest: a record batch is taken as a whole instead.
    """

    next_fetch_offset: int

    @property
    def is_exhausted(self) -> bool:
        """Say whether no record batch is left."""
        return not self._records.has_next()

    def all(self, most: int | None = None) -> list[Any]:
        """Return every record from the fetched position on, and move the position behind the last batch.

        It stops after a record batch with which the unpacked values are at least `most` bytes: a fetch is
        bounded as it travels, and compressed it may hold ten times as much.
        """
        # It was begun on this very object: with it, only the collector of garbage would ever free the fetch.
        self._records_iterator = None
        taken: list[Any] = []
        unpacked = 0
        while self._records.has_next() and (most is None or unpacked < most):
            batch = self._records.next_batch()
            if self._check_crcs and not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not (self._is_aborted(batch) or batch.is_control_batch):
                records = list(batch)
                # The broker sends whole batches: the first may begin before the position.
                if records and records[0].offset < self.next_fetch_offset:
                    records = [record for record in records if record.offset >= self.next_fetch_offset]
                if most is not None and getattr(batch, "compression_type", True):
                    unpacked += sum(len(record.value or b"") for record in records)
                taken += records
            self.next_fetch_offset = max(batch.next_offset, self.next_fetch_offset)
        return taken

    def _is_aborted(self, batch: Any) -> bool:
        """Say whether the transaction of a record batch was aborted; take note of the ends of transactions.

        What a producer aborted was never said. The broker tells which transactions of a fetch were, and none
        of those that are still open is fetched.
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
    """A fetch of one partition that is handed over at once, or about `most` bytes of it at a time."""

    most: ClassVar[int | None] = None
    _partition_records: PlainRecords | None

    def getall(self, max_records: int | None = None) -> list[Any]:
        """Return what is next of it, or `max_records` when there is such a limit."""
        if max_records is not None:
            return list(super().getall(max_records))
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        records = self._partition_records.all(self.most)
        self._update_position()
        if self._partition_records.is_exhausted:
            self._partition_records = None
        return records


class CalmFetcher(fetcher.Fetcher):  # type: ignore[misc]  # aiokafka is not typed here
    """Asks a broker some time after it asked last: where much comes, more is there by then.

    A question that waits at the broker is answered at once, so a record that comes alone is not late.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Prepare; arguments are aiokafka's."""
        super().__init__(*args, **kwargs)
        #: By the broker's number, on the loop's clock.
        self._asked_at: dict[int, float] = {}

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: Any) -> bool:
        loop = asyncio.get_running_loop()
        try:
            await asyncio.sleep(self._asked_at.get(node_id, 0.0) + FETCH_PACE - loop.time())
            self._asked_at[node_id] = loop.time()
            return bool(await super()._proc_fetch_request(assignment, node_id, request))
        except asyncio.CancelledError:
            # Nobody wants it any more. aiokafka's own ends so too, but not while it pauses after a broker was
            # away: its consumer would not close then, and Faust would wait a minute for it.
            return False


def fetch_whole(most: int) -> None:
    """Have aiokafka's consumers of this process fetch so, about `most` bytes of a partition at a time."""
    client.Fetcher = CalmFetcher
    fetcher.PartitionRecords, fetcher.FetchResult = PlainRecords, WholeResult
    WholeResult.most = most
