"""A topic: created from the settings, recognized by its id, and read at its ends.

An existing topic is never changed: its partitions, replication and retention are up to its owner. But one that is compacted is not
used.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from consumers import kafka
from consumers.kafka import Admin, Consumer, Fetched, Kafka, TopicPartition, errors
from consumers.kafka_settings import MAX_MESSAGE_BYTES, BadTopic, retention_ms

UNKNOWN = frozenset({3, 100})
"""Error codes of a broker for a topic that it does not have, by name or by id."""
END_SECONDS = 15
SAFE_REPLICAS = 3
"""With so many an acknowledged record is on two brokers at least, and one of them may be away."""


class Topic(NamedTuple):
    """``id`` distinguishes it from an earlier topic of the same name; None if the brokers are too old to have ids."""

    name: str
    id: str | None
    partitions: int


class End(NamedTuple):
    """The last record of a partition, None if there is none any more, and the number there ever were."""

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
    """The topic of this name, created if it does not exist. Raises ``KafkaError``."""
    if found := find(admin, name):
        return found
    configs = {"retention.ms": str(retention_ms(config.retention_hours)), "max.message.bytes": str(MAX_MESSAGE_BYTES)}
    if config.replication >= SAFE_REPLICAS:
        configs["min.insync.replicas"] = "2"
    wanted = {"num_partitions": config.partitions, "replication_factor": config.replication or -1, "configs": configs}
    with suppress(errors.TopicAlreadyExistsError):
        admin.create_topics({name: wanted}, wait_for_metadata=True)
    if found := find(admin, name):
        return found
    raise errors.KafkaTimeoutError(f"topic {name} was created but does not exist")


def check(admin: Admin, topic: Topic) -> None:
    """Raises ``BadTopic`` if it is compacted: of each deal it would keep the last event alone."""
    policy = kafka.properties(admin, topic.name).get("cleanup.policy", "")
    if "compact" in policy:
        raise BadTopic(
            f"The topic {topic.name} has cleanup.policy={policy}, which removes all but the last event of each deal: set it to"
            " delete, or name another topic with OPPORTUNITIES_KAFKA_TOPIC."
        )


def check_replicas(admin: Admin, topic: Topic) -> None:
    """Raises ``KafkaError`` if a partition has no leader, or fewer replicas in sync than it must have to take a record.

    A producer retries both until it gives up, and then says only that time has passed.
    """
    least = int(kafka.properties(admin, topic.name).get("min.insync.replicas", 1))
    (described,) = admin.describe_topics([topic.name])
    for partition in described["partitions"]:
        if partition["leader_id"] < 0:
            raise errors.LeaderNotAvailableError(topic.name)
        if len(partition["isr_nodes"]) < least:
            raise errors.NotEnoughReplicasError(topic.name)


def is_there(admin: Admin, topic: Topic) -> bool:
    """Whether this very topic still exists. Asked by id, so that no broker creates one on being asked."""
    (described,) = admin.describe_topics([UUID(topic.id) if topic.id else topic.name])
    return described["error_code"] not in UNKNOWN


def ends(consumer: Consumer, topic: Topic, seconds: float = END_SECONDS) -> dict[int, End]:
    """The end of each partition. Leaves the consumer there, so that it goes on with what comes next.

    The end offset that a broker names only says where to begin reading: the embedded one names the last batch instead, and 0 for a
    partition that was emptied.
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
