"""A broker that takes what is sent and says nothing: relay and consumer say so in time, are not called at work, and go on by
themselves with nothing lost or doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import msgspec
import pytest

from app.process.children import wait_until
from app.writing.committer import Committer
from consumers.kafka_settings import Kafka
from consumers.relay import Relay
from consumers.webhooks.fan_out import FanOut
from tests.support.commands import Company, log
from tests.support.kafka import at, messages, prepared, whole
from tests.support.loops import Lines, failures, looping
from tests.support.proxy import Proxy, proxied
from tests.support.webhooks import endpoint, execute

pytestmark = pytest.mark.kafka

REQUEST_MS = 2_000
SECONDS = 3 * REQUEST_MS / 1000 + 5
"""How long it may take to notice: until records would be given up, and to look again, and what a busy machine takes."""
HOOK = "http://127.0.0.1:9/hooks"


class Way(NamedTuple):
    """A broker whose only address is the proxy's."""

    proxy: Proxy
    config: Kafka


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    broker = prepared(tmp_path)
    with proxied(f"kafka://{broker.bootstrap_servers}") as proxy:
        broker.advertised = proxy.address
        assert broker.run() is not False
        yield Way(proxy, msgspec.structs.replace(at(proxy.address, "events"), request_timeout_ms=REQUEST_MS))
        broker.stop()


def notices(lines: Lines, before: int) -> None:
    """Wait until a silence that begins now is in the log."""
    began = monotonic()
    assert wait_until(lambda: len(failures(lines, "reason")) > before, 60)
    assert monotonic() - began < SECONDS
    assert "Kafka" in failures(lines, "reason")[before]


def seen(url: str, name: str) -> Any:
    """When somebody was last seen at work."""
    return execute(url, "SELECT max(updated_at) FROM checkpoints WHERE name LIKE %s", f"{name}%")[0][0]


def caught_up(url: str) -> bool:
    return execute(url, "SELECT position FROM checkpoints WHERE name = 'relay'") == [(log(url)[-1].position,)]


def relayed(url: str, config: Kafka) -> None:
    relay = Relay(url, config, threading.Event())
    with closing(relay):
        while relay.step():
            pass


def test_a_relay_notices_a_silent_broker_and_goes_on(
    database_url: str, company: Company, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.relay.HEARTBEAT_SECONDS", 0)
    stop = threading.Event()
    with looping(Relay(database_url, way.config, stop), stop) as lines:
        company.deal()
        assert wait_until(lambda: caught_up(database_url), 20)
        for idle in (True, False):
            before = len(failures(lines, "reason"))
            way.proxy.silent = True
            if not idle:
                company.deal()
            notices(lines, before)
            last = seen(database_url, "relay")
            company.deal()
            assert wait_until(lambda: len(failures(lines, "reason")) > before + 1, 60)  # noqa: B023
            assert seen(database_url, "relay") == last, "it is not at work, and shows that"
            way.proxy.silent = False
            assert wait_until(lambda: caught_up(database_url), 30)
    whole(database_url, way.config)
    ids = [told.id for told in messages(way.config)]
    assert len(ids) == len(set(ids))


def test_a_consumer_notices_a_silent_broker_and_goes_on(
    database_url: str, company: Company, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.webhooks.fan_out.HEARTBEAT_SECONDS", 0)
    hooks = endpoint(company, HOOK)
    count = "SELECT count(*), count(DISTINCT event_id) FROM webhook_deliveries WHERE endpoint_id = %s"
    stop = threading.Event()
    with looping(FanOut(database_url, way.config, stop, keep=timedelta(days=30)), stop) as lines:
        company.deal()
        relayed(database_url, way.config)
        assert wait_until(lambda: execute(database_url, count, hooks) == [(1, 1)], 20)
        way.proxy.silent = True
        notices(lines, 0)
        last = seen(database_url, "webhooks")
        assert wait_until(lambda: len(failures(lines, "reason")) > 1, 60)
        assert seen(database_url, "webhooks") == last, "it is not at work, and shows that"
        way.proxy.silent = False
        company.deal()
        relayed(database_url, way.config)
        assert wait_until(lambda: execute(database_url, count, hooks) == [(2, 2)], 30)
        assert wait_until(lambda: seen(database_url, "webhooks") > last, 30)


def test_a_consumer_whose_offsets_met_silence_queues_once(database_url: str, company: Company, way: Way) -> None:
    hooks = endpoint(company, HOOK)
    company.deal()
    relayed(database_url, way.config)
    stop = threading.Event()
    consumer = FanOut(database_url, way.config, stop, keep=timedelta(days=30))
    consumer.wake = lambda: setattr(way.proxy, "silent", True)
    with looping(consumer, stop) as lines:
        assert wait_until(lambda: way.proxy.silent, 20)
        notices(lines, 0)
        consumer.wake = lambda: None
        way.proxy.silent = False
        company.deal()
        relayed(database_url, way.config)
        count = "SELECT count(*), count(DISTINCT event_id) FROM webhook_deliveries WHERE endpoint_id = %s"
        assert wait_until(lambda: execute(database_url, count, hooks) == [(2, 2)], 30)
