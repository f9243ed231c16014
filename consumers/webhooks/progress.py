"""How far a consumer is in each partition: the position of the last event and the offset of the next record.

Both are kept in the transaction of the deliveries. Where the group's offset, which is Kafka's, is beyond the one that is kept, the
database went back, and what it lacks is read again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from psycopg import Cursor

from consumers import checkpoints
from consumers.kafka import Consumer, Fetched, TopicPartition
from consumers.topic import Topic

CHECKPOINT = "webhooks"

log = structlog.get_logger("webhooks")


class Progress:
    """Of the partitions of a topic that are assigned to a consumer. ``restored`` says whether the database ever was."""

    def __init__(self, topic: Topic, *, restored: bool) -> None:
        self._topic = topic
        self._restored = restored
        self._positions: dict[int, int] = {}
        self._offsets: dict[int, int] = {}

    def follow(self, cursor: Cursor[Any], consumer: Consumer) -> list[int]:
        """Forget partitions that have gone, and begin with new ones where the database is. Returns those that were set back."""
        assigned = {partition.partition for partition in consumer.assignment()}
        self._offsets = {number: offset for number, offset in self._offsets.items() if number in assigned}
        return [number for number in sorted(assigned - self._offsets.keys()) if self._begin(cursor, consumer, number)]

    def _begin(self, cursor: Cursor[Any], consumer: Consumer, number: int) -> bool:
        position, detail = checkpoints.load(cursor, f"{CHECKPOINT}/{number}")
        partition = TopicPartition(self._topic.name, number)
        committed = consumer.committed(partition) or 0
        kept = self._kept(detail, committed)
        went_back = committed > kept
        if went_back:
            consumer.seek(partition, kept)
            log.warning("consumer.went_back", partition=number, offset=kept, committed=committed)
        self._positions[number], self._offsets[number] = position, kept
        return went_back

    def _kept(self, detail: dict[str, Any], committed: int) -> int:
        if "offset" in detail:
            return int(detail["offset"]) if detail["topic_id"] == self._topic.id else committed
        # No consumer has worked on this database yet, or none that keeps its offset, as none of version 0.1 does.
        return 0 if self._restored or not detail else committed

    def reached(self, partition: int, position: int) -> None:
        """The partition's last event that endpoints can be told of is that at the position."""
        self._positions[partition] = position

    def save(self, cursor: Cursor[Any], consumer: Consumer, processed: Sequence[Fetched] = ()) -> None:
        """Save positions and offsets, after these records, and how many of each partition are still to come."""
        self._offsets |= {record.partition: record.offset + 1 for record in processed}
        states = {
            f"{CHECKPOINT}/{number}": (self._positions[number], self._detail(number, lag))
            for number in self._offsets
            if (lag := _lag(consumer, TopicPartition(self._topic.name, number))) is not None
        }
        checkpoints.save_all(cursor, states)

    def _detail(self, number: int, lag: int) -> dict[str, Any]:
        return {"lag": lag, "offset": self._offsets[number], "topic_id": self._topic.id}


def _lag(consumer: Consumer, partition: TopicPartition) -> int | None:
    """Records still to be polled; None for a partition that was never polled, whose end is unknown."""
    highwater = consumer.highwater(partition) if partition in consumer.assignment() else None
    return None if highwater is None else max(0, highwater - consumer.position(partition))


def names(topic: Topic) -> Sequence[str]:
    """The names of the checkpoints of a topic's partitions."""
    return [f"{CHECKPOINT}/{partition}" for partition in range(topic.partitions)]
