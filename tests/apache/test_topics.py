"""Topics as their owners have them: what cannot work is one line that names the setting, and what can loses nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka.admin import ConfigResource
from msgspec.structs import replace

from app.cli.explanations import describe
from app.process.children import wait_until
from app.writing.committer import Committer
from consumers import kafka as clients
from consumers import topic
from consumers.kafka import KafkaError, TopicPartition
from consumers.kafka_settings import BadTopic, Kafka
from consumers.publisher import Publisher
from tests.apache.relaying import flowing
from tests.support.commands import Company
from tests.support.kafka import VERSION, delete, messages, published, reading

pytestmark = [
    pytest.mark.apache,
    pytest.mark.skipif(VERSION not in os.environ, reason="the run's Kafka is another one: make test-kafka"),
]


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Any]:
    admin = clients.admin(kafka)
    yield admin
    admin.close()


def has(admin: Any, config: Kafka, **properties: str) -> None:
    """The topic as its owner made or changed it."""
    named = {name.replace("_", "."): value for name, value in properties.items()}
    if topic.find(admin, config.topic) is None:
        topic.ensure(admin, config, config.topic)
    admin.alter_configs([ConfigResource("topic", config.topic, named)])
    assert wait_until(lambda: named.items() <= clients.properties(admin, config.topic).items(), 10)


def test_it_has_the_properties_of_the_settings(kafka: Kafka, admin: Any) -> None:
    topic.ensure(admin, replace(kafka, partitions=4, retention_hours=24), kafka.topic)
    (described,) = admin.describe_topics([kafka.topic])
    assert len(described["partitions"]) == 4
    found = clients.properties(admin, kafka.topic)
    assert (found["retention.ms"], found["max.message.bytes"]) == ("86400000", "8388608")
    assert (found["cleanup.policy"], found["min.insync.replicas"]) == ("delete", "1")


def test_one_that_is_compacted_is_not_used(kafka: Kafka, admin: Any) -> None:
    for policy in ("compact", "compact,delete"):
        has(admin, kafka, cleanup_policy=policy)
        with pytest.raises(BadTopic) as raised:
            Publisher(kafka, kafka.topic)
        line = describe(raised.value)
        assert f"cleanup.policy={policy}" in line
        assert "OPPORTUNITIES_KAFKA_TOPIC" in line
        assert "\n" not in line
    has(admin, kafka, cleanup_policy="delete")
    Publisher(kafka, kafka.topic).close()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"replication": 3}, "OPPORTUNITIES_KAFKA_REPLICATION"), ({"topic": "of all deals"}, "OPPORTUNITIES_KAFKA_TOPIC")],
    ids=["replication", "name"],
)
def test_one_that_cannot_be_made_names_the_setting(kafka: Kafka, wrong: dict[str, Any], named: str) -> None:
    config = replace(kafka, **wrong)
    with pytest.raises(KafkaError) as raised:
        Publisher(config, config.topic)
    assert named in describe(raised.value)
    assert "\n" not in describe(raised.value)


def test_a_record_that_is_too_large_is_told_and_waits_for_the_topic_to_take_it(database_url: str, kafka: Kafka, admin: Any) -> None:
    has(admin, kafka, max_message_bytes="900")
    with flowing(database_url, kafka) as flow:
        flow.write(3)
        assert "max.message.bytes to 8388608" in flow.until_said("MessageSizeTooLarge")
        assert all(told.type == "organization.created" for told in messages(kafka)), "more than the smallest was taken"
        has(admin, kafka, max_message_bytes="8388608")
        flow.settle()


def test_batches_that_are_too_large_for_the_topic_are_split(database_url: str, kafka: Kafka, admin: Any) -> None:
    has(admin, replace(kafka, partitions=1), max_message_bytes="6000")
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        for n in range(40):
            company.deal(f"Deal {n}")
    with flowing(database_url, kafka) as flow:
        flow.settle()
        assert flow.said() == []


def test_more_partitions_move_nothing_and_lose_nothing(database_url: str, kafka: Kafka, admin: Any) -> None:
    config = replace(kafka, partitions=2)
    with flowing(database_url, config, consumers=1) as flow:
        with flow.load():
            flow.goes_on()
            admin.create_partitions({kafka.topic: 5})
            flow.goes_on(60)
        flow.settle()
        flow.all_queued()
    with flowing(database_url, config, consumers=1) as again:
        again.write()
        again.settle()


def test_one_that_is_deleted_and_made_again_under_load_is_filled_again(database_url: str, kafka: Kafka, admin: Any) -> None:
    with flowing(database_url, kafka, consumers=1) as flow:
        with flow.load():
            for _ in range(2):
                flow.goes_on(20)
                delete(kafka)
                assert wait_until(lambda: topic.find(admin, kafka.topic) is not None, 30)
            flow.goes_on(20)
        flow.settle()
        flow.all_queued()


def test_what_retention_removed_is_not_sent_again(database_url: str, kafka: Kafka, admin: Any) -> None:
    with flowing(database_url, kafka) as flow:
        flow.write()
        flow.settle()
        before = flow.relayed()
    has(admin, kafka, retention_ms="1000")

    def emptied() -> bool:
        with reading(kafka) as consumer:
            partitions = [TopicPartition(kafka.topic, number) for number in range(kafka.partitions)]
            return consumer.beginning_offsets(partitions) == consumer.end_offsets(partitions)

    assert wait_until(emptied, 60)
    has(admin, kafka, retention_ms="604800000")
    with flowing(database_url, kafka) as flow:
        flow.write(2)
        flow.caught_up()
    after = [position for position in published(database_url) if position > before]
    assert sorted(told.position for told in messages(kafka)) == after
