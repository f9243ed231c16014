"""Time as brokers see it: a week in which nothing happens, offsets that have expired, and clocks that are an hour off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.process.children import wait_until
from consumers import kafka as clients
from consumers import topic
from consumers.kafka_settings import Kafka
from consumers.webhooks import fan_out
from tests.apache.relaying import consuming, flowing
from tests.support import apache_kafka_programs
from tests.support.apache_kafka import Node
from tests.support.kafka import at

pytestmark = [pytest.mark.apache, pytest.mark.long, pytest.mark.timeout(400)]

FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
A_WEEK = {
    "connections.max.idle.ms": "1000",
    "producer.id.expiration.ms": "1000",
    "producer.id.expiration.check.interval.ms": "500",
    "offsets.retention.minutes": "1",
    "offsets.retention.check.interval.ms": "1000",
}
"""What a week does, in a minute."""


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory, apache_version: str) -> Iterator[Node]:
    node = Node.start(tmp_path_factory.mktemp("forgetful"), apache_version, A_WEEK)
    yield node
    node.stop()


@pytest.fixture
def config(forgetful: Node) -> Kafka:
    return at(forgetful.bootstrap_servers, f"test-{uuid4().hex}")


def test_after_an_idle_week_relay_and_webhooks_go_on_and_send_nothing_twice(database_url: str, config: Kafka) -> None:
    with flowing(database_url, config, consumers=1) as flow:
        flow.write()
        flow.all_queued()
        idle_since = time.monotonic()
        assert wait_until(lambda: time.monotonic() - idle_since > 15, 60)
        flow.write()
        flow.settle()
        flow.all_queued()


def test_offsets_that_have_expired_queue_nothing_twice(database_url: str, config: Kafka) -> None:
    with flowing(database_url, config) as flow:
        flow.write()
        with consuming(database_url, config):
            flow.all_queued()
        admin: Any = clients.admin(config)
        found = topic.find(admin, config.topic)
        assert found is not None
        group = fan_out.group(found)
        assert wait_until(lambda: not admin.list_group_offsets({group: None}).get(group), 200)
        admin.close()
        flow.write()
        with consuming(database_url, config):
            flow.all_queued()


@pytest.mark.parametrize("off", ["+3590", "-3590"])
def test_a_broker_whose_clock_is_an_hour_off_gets_everything(
    database_url: str, tmp_path: Path, apache_version: str, off: str
) -> None:
    """A little less: Apache Kafka refuses what is more than an hour ahead of it, as the next test shows."""
    node = with_a_clock(tmp_path, apache_version, off)
    try:
        config = at(node.bootstrap_servers, "opportunities.events")
        with flowing(database_url, config, consumers=1) as flow:
            flow.write(20)
            flow.settle()
            flow.all_queued()
    finally:
        node.stop()


def test_a_broker_more_than_an_hour_behind_is_told_in_a_line(database_url: str, tmp_path: Path, apache_version: str) -> None:
    node = with_a_clock(tmp_path, apache_version, "-4000")
    try:
        config = at(node.bootstrap_servers, "opportunities.events")
        with flowing(database_url, config) as flow:
            flow.write(2)
            assert "clock" in flow.until_said("clock")
            node.stop()
            node.environ = {}
            node.run()
            flow.settle(twice=True)
    finally:
        node.stop()


def with_a_clock(folder: Path, version: str, off: str) -> Node:
    if not FAKETIME:
        pytest.skip("libfaketime is missing (Debian: apt-get install libfaketime)")
    node = Node(folder / "node", apache_kafka_programs.find(version))
    node.environ = {
        "LD_PRELOAD": str(FAKETIME[0]),
        "FAKETIME": off,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    node.run()
    return node
