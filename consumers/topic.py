"""A topic: made as the settings say, told from another one of its name, and read at its ends.

Refuses to change a topic that is there: its partitions, replication and retention are its owner's from then on.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from consumers.kafka import Admin, Consumer, Fetched, Kafka, TopicPartition, errors
from consumers.kafka_settings import MAX_MESSAGE_BYTES, retention_ms

UNKNOWN = frozenset({3, 100})
"""What a broker answers of a topic that it does not have, by name or by id."""
END_SECONDS = 15


class Topic(NamedTuple):
    """``id`` tells a topic from one that had its name before; None where the brokers are too old to say."""

    name: str
    id: str | None
    partitions: int


class End(NamedTuple):
    """The last record of a partition, None where there is none any more, and how many there ever were."""

    record: Fetched | None
    highwater: int


def find(admin: Admin, name: str) -> Topic | None:
    (described,) = admin.describe_topics([name])
    if described["error_code"] in UNKNOWN:
        return None
    if described["error_code"]:
        raise errors.for_code(described["error_code"])(name)
    id_ = described.get("topic_id")
    return Topic(name, str(id_) if id_ and UUID(str(id_)).int else None, len(described["partitions"]))


def ensure(admin: Admin, config: Kafka, name: str) -> Topic:
    """The topic of this name, made where there is none. Raises ``KafkaError``."""
    if found := find(admin, name):
        return found
    wanted = {
        "num_partitions": config.partitions,
        "replication_factor": config.replication or -1,
        "configs": {"retention.ms": str(retention_ms(config.retention_hours)), "max.message.bytes": str(MAX_MESSAGE_BYTES)},
    }
    with suppress(errors.TopicAlreadyExistsError):
        admin.create_topics({name: wanted}, wait_for_metadata=True)
    if found := find(admin, name):
        return found
    raise errors.KafkaTimeoutError(f"topic {name} was made but is not there")


def is_there(admin: Admin, topic: Topic) -> bool:
    """Whether it is this very topic that is there. Asked by its id, so that no broker makes one because it was asked."""
    (described,) = admin.describe_topics([UUID(topic.id) if topic.id else topic.name])
    return described["error_code"] not in UNKNOWN


def ends(consumer: Consumer, topic: Topic, seconds: float = END_SECONDS) -> dict[int, End]:
    """The end of each partition. The consumer is left there, so that it goes on with what comes next.

    The end that a broker names is only where to begin to read: the embedded one names the last batch instead, and 0 of a
    partition that was emptied, to whose end nothing leads.
    """
    partitions = [TopicPartition(topic.name, number) for number in range(topic.partitions)]
    consumer.assign(partitions)
    begin, named = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.seek(partition, max(begin[partition], named[partition] - 1))
    empty = {partition for partition in partitions if begin[partition] == named[partition]}
    last: dict[TopicPartition, Fetched] = {}
    nothing_came = False
    deadline = time.monotonic() + seconds
    while not all(_at_end(consumer, partition, nothing_came and partition in empty) for partition in partitions):
        if time.monotonic() > deadline:
            raise errors.KafkaTimeoutError(f"the end of topic {topic.name} could not be read in {seconds} s")
        polled = consumer.poll(timeout_ms=200)
        last |= {partition: records[-1] for partition, records in polled.items()}
        nothing_came = not polled
    return {p.partition: End(last.get(p), consumer.highwater(p) or 0) for p in partitions}


def _at_end(consumer: Consumer, partition: TopicPartition, empty: bool) -> bool:
    highwater = consumer.highwater(partition)
    return highwater is not None and (empty or consumer.position(partition) >= highwater)
