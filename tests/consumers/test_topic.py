"""Topics: how they are made, and where they end, whatever the broker says."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from app.process.children import wait_until
from consumers import kafka as clients
from consumers import topic
from consumers.kafka import Admin
from consumers.kafka_settings import Kafka
from tests.support.kafka import reading


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Admin]:
    admin = clients.admin(kafka)
    yield admin
    admin.close()


def fill(config: Kafka, *batches: int) -> None:
    """Batches of so many records to the first partition."""
    producer = clients.producer(config)
    for batch in batches:
        sent = [
            producer.send(config.topic, value=b"%d" % n, key=b"k", headers=[("n", b"%d" % n)], partition=0) for n in range(batch)
        ]
        for one in sent:
            one.get(10)
    producer.close()


def test_it_is_made_once_as_the_settings_say(kafka: Kafka, admin: Admin) -> None:
    config = msgspec.structs.replace(kafka, partitions=3)
    made = topic.ensure(admin, config, kafka.topic)
    assert (made.name, made.partitions) == (kafka.topic, 3)
    assert topic.ensure(admin, kafka, kafka.topic) == made
    assert topic.is_there(admin, made)


def test_one_of_the_same_name_is_another(kafka: Kafka, admin: Admin) -> None:
    first = topic.ensure(admin, kafka, kafka.topic)
    admin.delete_topics([kafka.topic])
    assert wait_until(lambda: topic.find(admin, kafka.topic) is None, 10), "a moment after the answer, on Apache Kafka"
    second = topic.ensure(admin, kafka, kafka.topic)
    assert first.id != second.id
    assert not topic.is_there(admin, first)
    assert topic.find(admin, kafka.topic) == second


def test_to_ask_for_a_topic_does_not_make_it(kafka: Kafka, admin: Admin) -> None:
    assert topic.find(admin, kafka.topic) is None
    assert topic.find(admin, kafka.topic) is None


def test_its_end_is_the_last_record_of_each_partition(kafka: Kafka, admin: Admin) -> None:
    """After a batch of many too, of which the embedded broker names the first as the end."""
    made = topic.ensure(admin, kafka, kafka.topic)
    fill(kafka, 100, 50)
    with reading(kafka) as consumer:
        ends = topic.ends(consumer, made)
        assert (ends[0].highwater, ends[0].record and ends[0].record.value) == (150, b"49")
        assert [(end.highwater, end.record) for number, end in ends.items() if number] == [(0, None)] * 5
        fill(kafka, 1)
        (later,) = (record for some in consumer.poll(timeout_ms=5_000).values() for record in some)
        assert later.offset == 150
