"""A cluster of three that loses brokers one at a time: relay and webhooks lose nothing, keep the order and queue once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from kafka.admin import ConfigResource
from msgspec.structs import replace

from app.process.children import wait_until
from consumers import kafka as clients
from consumers import topic
from consumers.kafka_settings import Kafka
from tests.apache.relaying import SECONDS, Flow, flowing
from tests.support.apache_kafka import Cluster
from tests.support.kafka import at

pytestmark = [pytest.mark.apache, pytest.mark.timeout(400)]


@pytest.fixture
def config(cluster: Cluster) -> Kafka:
    """A topic of its own on all three, made by the relay."""
    return replace(at(cluster.bootstrap_servers, f"test-{uuid4().hex}"), replication=3, partitions=3, request_timeout_ms=4_000)


@pytest.fixture
def admin(config: Kafka) -> Iterator[Any]:
    admin = clients.admin(config)
    yield admin
    admin.close()


def partitions(config: Kafka) -> list[dict[str, Any]]:
    admin = clients.admin(config)
    try:
        (described,) = admin.describe_topics([config.topic])
    finally:
        admin.close()
    found: list[dict[str, Any]] = described["partitions"]
    return found


def in_sync(config: Kafka) -> bool:
    return all(len(partition["isr_nodes"]) == 3 for partition in partitions(config))


def healed(config: Kafka) -> None:
    assert wait_until(lambda: in_sync(config), SECONDS)


def leaders(config: Kafka) -> set[int]:
    return {partition["leader_id"] for partition in partitions(config)}


def test_the_topic_has_three_replicas_of_which_one_may_be_away(config: Kafka, admin: Any) -> None:
    topic.ensure(admin, config, config.topic)
    assert {len(partition["replica_nodes"]) for partition in partitions(config)} == {3}
    assert clients.properties(admin, config.topic)["min.insync.replicas"] == "2"


def test_a_broker_killed_a_broker_paused_and_a_rolling_restart_lose_nothing(
    database_url: str, cluster: Cluster, config: Kafka
) -> None:
    with flowing(database_url, config, consumers=1) as flow:
        with flow.load():
            flow.goes_on()
            victim = cluster.node(min(leaders(config)))
            victim.kill()
            flow.goes_on(30)
            victim.restart()
            healed(config)
            silent = cluster.node(max(leaders(config)))
            silent.pause()
            flow.goes_on(30)
            silent.resume()
            healed(config)
            for node in cluster.nodes:
                node.stop()
                flow.goes_on(10)
                node.run()
                healed(config)
        end(flow)


def end(flow: Flow) -> None:
    flow.settle(twice=True)
    flow.all_queued()
    print(len(flow.queued()), "events", flow.said())


def test_leaders_that_change_in_the_middle_of_a_chunk_lose_nothing(database_url: str, cluster: Cluster, config: Kafka) -> None:
    with flowing(database_url, config, consumers=1) as flow:
        flow.write(1)
        flow.caught_up()
        for _ in range(3):
            flow.write(60)
            victim = cluster.node(min(leaders(config)))
            victim.stop()
            flow.caught_up()
            victim.run()
            healed(config)
        end(flow)


def test_with_too_few_replicas_the_relay_waits_and_says_why(database_url: str, cluster: Cluster, config: Kafka, admin: Any) -> None:
    topic.ensure(admin, config, config.topic)
    admin.alter_configs([ConfigResource("topic", config.topic, {"min.insync.replicas": "3"})])
    with flowing(database_url, config) as flow:
        flow.write(2)
        flow.settle()
        before = flow.relayed()
        cluster.node(3).kill()
        flow.write(2)
        assert "min.insync.replicas" in flow.until_said("replicas")
        assert flow.relayed() == before
        cluster.node(3).restart()
        flow.settle(twice=True)
