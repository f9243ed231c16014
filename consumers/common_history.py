"""Where the topic and a log that went back part: the last position that both have, and the highest that was published."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from psycopg import Cursor

from consumers import kafka, lost_history, topic
from consumers.kafka import Consumer, Fetched, Kafka, TopicPartition, errors
from consumers.message import REPUBLISHED
from domain.epoch import Epochs

BLOCK = 500
"""Records that are read at once, from a partition's end backwards."""
SECONDS = 30
"""How long a block may take."""


class Parting(NamedTuple):
    """``common`` is the last position that topic and log both have, None if there is none any more; ``lost`` the number of records
    of which the log knows nothing; ``highest`` the last position on the topic, 0 for an empty one."""

    common: int | None
    lost: int
    highest: int


def find(cursor: Cursor[Any], epochs: Epochs, config: Kafka) -> Parting | None:
    """None if there is no such topic. Raises ``KafkaError``."""
    admin = kafka.admin(config)
    try:
        found = topic.find(admin, config.topic)
    finally:
        admin.close()
    if found is None:
        return None
    reader = kafka.consumer(config)
    try:
        ends = topic.ends(reader, found)
        common, lost, strange = [], 0, []
        highest = 0
        for number, end in ends.items():
            if end.record is None:  # the embedded broker says that what it was emptied of is still there
                continue
            for records in _backwards(reader, TopicPartition(found.name, number), end.highwater):
                seen = [(record, one) for record in records if (one := lost_history.seen(record)) is not None]
                verdicts = lost_history.verdicts(cursor, epochs, [one for _, one in seen])
                both = list(zip(seen, verdicts, strict=True))
                highest = max([highest, *(one.position for _, one in seen)])
                strange += [one.position for (_, one), verdict in both if verdict == "strange"]
                ours = [one.position for (record, one), verdict in both if verdict == "ours" and not _proves_nothing(record)]
                if ours:
                    common.append(max(ours))
                    break
        lost = len(strange)
    finally:
        reader.close()
    return Parting(min([max(common), *(position - 1 for position in strange)]) if common else None, lost, highest)


def _proves_nothing(record: Fetched) -> bool:
    return REPUBLISHED in dict(record.headers)


def _backwards(reader: Consumer, partition: TopicPartition, end: int) -> Iterator[list[Fetched]]:
    """The records of a partition in blocks, the last block first."""
    reader.assign([partition])
    begin = reader.beginning_offsets([partition])[partition]
    while end > begin:
        start = max(begin, end - BLOCK)
        yield _block(reader, partition, start, end)
        end = start


def _block(reader: Consumer, partition: TopicPartition, start: int, end: int) -> list[Fetched]:
    reader.seek(partition, start)
    records: list[Fetched] = []
    deadline = time.monotonic() + SECONDS
    while reader.position(partition) < end:
        for some in reader.poll(timeout_ms=200, max_records=BLOCK).values():
            records += [record for record in some if record.offset < end]
        if time.monotonic() > deadline:
            raise errors.KafkaTimeoutError(f"the topic {partition.topic} could not be read in {SECONDS} s")
    return records
