"""What emptying a topic of the embedded broker leaves as it was, which is all but the topic's records."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from app.dev.kafka import Broker
from app.dev.kafka_retention import empty
from consumers import kafka, topic
from consumers.kafka import Admin, Consumer, TopicPartition
from consumers.kafka_settings import Kafka
from tests.support.kafka import at, reading, records


@pytest.fixture
def config(embedded_broker: Broker) -> Kafka:
    return at(embedded_broker.bootstrap_servers, "events")


@pytest.fixture
def admin(config: Kafka) -> Iterator[Admin]:
    admin = kafka.admin(config)
    yield admin
    admin.close()


def fill(config: Kafka, number: int) -> None:
    """So many records to each partition."""
    producer = kafka.producer(config)
    for partition in range(config.partitions):
        for n in range(number):
            producer.send(config.topic, value=b"%d" % n, key=b"k", headers=[], partition=partition).get(10)
    producer.close()


def following(consumer: Consumer) -> list[int]:
    """The offsets of what comes next in the first partition."""
    return [one.offset for one in consumer.poll(timeout_ms=5_000).get(TopicPartition("events", 0), [])]


def test_the_records_of_the_topic_go_and_its_offsets_go_on(config: Kafka, admin: Admin) -> None:
    other = msgspec.structs.replace(config, topic="events2")
    made, _ = topic.ensure(admin, config, config.topic), topic.ensure(admin, other, other.topic)
    fill(config, 3)
    fill(other, 1)
    with reading(config) as consumer:
        consumer.assign([TopicPartition("events", 0)])
        consumer.seek(TopicPartition("events", 0), 0)
        assert following(consumer) == [0, 1, 2]
        empty(admin, made)
        assert topic.find(admin, "events") == made
        fill(config, 1)
        assert following(consumer) == [3]
    with reading(config) as newcomer:
        newcomer.assign([TopicPartition("events", 0)])
        newcomer.seek(TopicPartition("events", 0), 0)
        assert following(newcomer) == [3]
    assert len(records(other)) == other.partitions
    assert {described["name"] for described in admin.describe_topics()} == {"events", "events2"}


def test_a_topic_emptied_to_the_last_record_has_an_end_all_the_same(config: Kafka, admin: Admin) -> None:
    made = topic.ensure(admin, config, config.topic)
    fill(config, 3)
    empty(admin, made)
    with reading(config) as consumer:
        assert topic.ends(consumer, made) == {number: topic.End(None, 3) for number in range(made.partitions)}
        fill(config, 1)
        taken = [one.offset for some in consumer.poll(timeout_ms=5_000).values() for one in some]
        assert set(taken) == {3}


def test_what_a_group_has_committed_stays(config: Kafka, admin: Admin) -> None:
    made = topic.ensure(admin, config, config.topic)
    fill(config, 3)
    partition = TopicPartition("events", 0)
    member = kafka.consumer(config, "a group")
    member.assign([partition])
    assert len(following(member)) == 3
    member.commit()
    empty(admin, made)
    assert member.committed(partition) == 3
    kafka.leave(member)


def test_one_that_was_cut_off_in_the_middle_is_no_obstacle(config: Kafka, admin: Admin) -> None:
    made = topic.ensure(admin, config, config.topic)
    fill(config, 3)
    left_behind = {"num_partitions": 0, "replication_factor": 1}
    admin.create_topics({"events/partitions/0000000000/records": left_behind})
    empty(admin, made)
    assert [described["name"] for described in admin.describe_topics()] == ["events"]
    fill(config, 1)
    with reading(config) as consumer:
        consumer.assign([TopicPartition("events", 0)])
        consumer.seek(TopicPartition("events", 0), 0)
        assert following(consumer) == [3]
