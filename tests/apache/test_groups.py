"""The group of the webhooks: members come and go under load, and offsets are lost; every event is queued, once."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import chain
from typing import Any

import pytest

from app.process.children import wait_until
from consumers import kafka as clients
from consumers import topic
from consumers.kafka_settings import Kafka
from consumers.webhooks import fan_out
from tests.apache.relaying import SECONDS, Flow, consuming, flowing
from tests.support.kafka import VERSION

pytestmark = [
    pytest.mark.apache,
    pytest.mark.skipif(VERSION not in os.environ, reason="the run's Kafka is another one: make test-kafka"),
]


def shared_by(flow: Flow, members: int) -> bool:
    """Whether the last that so many members were told is that they share the six partitions evenly."""
    told = [line["partitions"] for line in flow.lines if line["event"] == "consumer.assigned"][-members:]
    return len(told) == members and sorted(chain(*told)) == list(range(6)) and {len(one) for one in told} == {6 // members}


def test_consumers_that_come_and_go_under_load_queue_everything_once(database_url: str, kafka: Kafka) -> None:
    with flowing(database_url, kafka, consumers=1) as flow, flow.load(), ExitStack() as others:
        flow.goes_on()
        assert wait_until(lambda: shared_by(flow, 1), SECONDS)
        with consuming(database_url, kafka):
            others.enter_context(consuming(database_url, kafka))
            assert wait_until(lambda: shared_by(flow, 3), SECONDS)
            flow.goes_on(30)
        assert wait_until(lambda: shared_by(flow, 2), SECONDS)
        flow.goes_on(30)
        flow.stopping.set()
        flow.settle()
        flow.all_queued()


def test_offsets_that_are_gone_queue_nothing_twice(database_url: str, kafka: Kafka) -> None:
    with flowing(database_url, kafka) as flow:
        flow.write()
        with consuming(database_url, kafka):
            flow.all_queued()
        admin: Any = clients.admin(kafka)
        found = topic.find(admin, kafka.topic)
        assert found is not None
        admin.delete_groups([fan_out.group(found)])
        admin.close()
        flow.write()
        with consuming(database_url, kafka):
            flow.all_queued()
