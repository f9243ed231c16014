"""A producer that takes the records of a partition together, as batches that it sends, retries and splits like its own.

The library's ``send`` makes an estimate, a future and takes several locks for each record, which cost the relay more than all it
does besides. ``tests/rules/test_dependencies.py`` names the insides that this stands on.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from kafka import KafkaProducer, TopicPartition, errors
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecordsBuilder

from consumers import record_encoding
from consumers.message import Headers

FORMAT, UNCOMPRESSED = 2, 0
FRAME = DefaultRecordBatchBuilder.header_size_in_bytes()


class Outgoing(Protocol):
    """What is sent of a record."""

    @property
    def key(self) -> bytes: ...

    @property
    def value(self) -> bytes: ...

    @property
    def headers(self) -> Headers: ...


class Sent:
    """Records of one partition on their way; once their batch was split, in several."""

    def __init__(self, partition: int, slots: Sequence[_Slot]) -> None:
        self.partition = partition
        self._slots = slots

    @property
    def is_done(self) -> bool:
        return all(slot.future.is_done for slot in self._slots)

    def get(self, timeout: float) -> int:
        """Wait until all have arrived; the offset after the last. Raises ``KafkaError``; if not ``is_done``, the wait ended."""
        deadline = time.monotonic() + timeout
        while waiting := [future for future in self._futures() if not future.is_done]:
            if not waiting[0].wait(max(0.0, deadline - time.monotonic())):
                raise errors.KafkaTimeoutError(f"not delivered within {timeout} s")
        return max(_end(future, number) for future, number in self._futures().items())

    def _futures(self) -> Counter[Any]:
        """Of their batches, with how many records are in each."""
        return Counter(slot.future for slot in self._slots)


class _Slot:
    """What the library takes for the future of a record: when it splits a batch, it gives each record another one."""

    __slots__ = ("future",)

    def __init__(self, future: Any) -> None:
        self.future = future

    def rebind(self, future: Any, index: int) -> None:
        before, self.future = self.future, future
        getattr(before, "_latch").set()  # noqa: B009  nothing else will wake who waits for it


class BatchProducer(KafkaProducer):  # type: ignore[misc]  # the library has no types
    def send_all(self, topic: str, records: Mapping[int, Sequence[Outgoing]]) -> list[Sent]:
        """Start sending records, those of each partition in order. Raises ``KafkaError`` for one that is too large, or where nobody
        knows the topic."""
        self.partitions_for(topic)
        now = int(time.time() * 1000)
        sent = [
            self._give(TopicPartition(topic, partition), encoded, now)
            for partition, some in records.items()
            for encoded in self._encoded(some)
        ]
        self._sender.wakeup()
        return sent

    def _encoded(self, records: Sequence[Outgoing]) -> Iterator[list[bytes]]:
        """The records of each batch. One that is larger than a batch has one alone."""
        batch: list[bytes] = []
        size = FRAME
        for record in records:
            encoded = record_encoding.record(len(batch), record.key, record.value, record.headers)
            self._ensure_valid_record_size(FRAME + len(encoded))
            if batch and size + len(encoded) > self.config["batch_size"]:
                yield batch
                batch, size = [], FRAME
                encoded = record_encoding.record(0, record.key, record.value, record.headers)
            batch.append(encoded)
            size += len(encoded)
        if batch:
            yield batch

    def _give(self, place: TopicPartition, encoded: Sequence[bytes], now: int) -> Sent:
        accumulator = self._accumulator
        batch = ProducerBatch(place, _Full(encoded, now))
        slots = [_Slot(batch.produce_future) for _ in encoded]
        getattr(batch, "_record_futures").extend(slots)  # noqa: B009
        with getattr(accumulator, "_tp_lock")(place):  # noqa: B009
            getattr(accumulator, "_batches")[place].append(batch)  # noqa: B009
            getattr(accumulator, "_incomplete").add(batch)  # noqa: B009
        return Sent(place.partition, slots)


class _Full(MemoryRecordsBuilder):  # type: ignore[misc]
    """Records that are encoded already, and room for no other."""

    def __init__(self, encoded: Sequence[bytes], now: int) -> None:
        super().__init__(FORMAT, UNCOMPRESSED, 0)
        self._builder = _Builder(encoded, now)
        self._next_offset = len(encoded)


class _Builder(DefaultRecordBatchBuilder):  # type: ignore[misc]
    def __init__(self, encoded: Sequence[bytes], now: int) -> None:
        super().__init__(FORMAT, UNCOMPRESSED, False, -1, -1, -1, 0)
        self._buffer += b"".join(encoded)
        self._first_timestamp = self._max_timestamp = now
        self._num_records, self._last_offset = len(encoded), len(encoded) - 1


def _end(future: Any, number: int) -> int:
    """The offset after so many records of a batch that is done. Raises what became of it."""
    offset, _, problem = future.value
    if problem is not None:
        raise problem(0)
    return int(offset) + number
