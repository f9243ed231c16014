"""The database falls silent under those who follow the log: they say so in time and go on, with nothing lost or doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from app.process.children import wait_until
from app.writing.committer import Committer
from consumers import loop
from consumers.kafka_settings import Kafka
from consumers.relay import Relay
from consumers.webhooks.fan_out import FanOut
from tests.support.commands import Company, log
from tests.support.kafka import messages, whole
from tests.support.loops import Lines, failures, looping
from tests.support.proxy import Proxy, proxied
from tests.support.webhooks import endpoint, execute

TIMEOUT_MS = 1_000
SECONDS = 2 * TIMEOUT_MS / 1000 + loop.IDLE_SECONDS + 1.5
"""How long it may take to notice: twice the timeout, after a wait with nothing to do, and what a busy machine takes."""


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as proxy:
        yield proxy


def notices(proxy: Proxy, lines: Lines) -> None:
    """Let it be silent, and wait until that is in the log."""
    before = len(failures(lines, "error"))
    proxy.silent = True
    began = monotonic()
    assert wait_until(lambda: len(failures(lines, "error")) > before, 60)
    assert monotonic() - began < SECONDS
    assert failures(lines, "error")[before] == "Silent"


def test_a_relay_notices_a_silent_database_and_goes_on(database_url: str, proxy: Proxy, company: Company, kafka: Kafka) -> None:
    stop = threading.Event()
    relay = Relay(proxy.url, kafka, stop, statement_timeout_ms=TIMEOUT_MS)

    def caught_up() -> bool:
        last = log(database_url)[-1].position
        return execute(database_url, "SELECT position FROM checkpoints WHERE name = 'relay'") == [(last,)]

    with looping(relay, stop) as lines:
        for _ in range(2):
            company.deal()
            assert wait_until(caught_up, 20)
            notices(proxy, lines)
            company.deal()
            proxy.silent = False
            assert wait_until(caught_up, 20)
    whole(database_url, kafka)
    ids = [told.id for told in messages(kafka)]
    assert len(ids) == len(set(ids))


def test_a_consumer_notices_a_silent_database_and_goes_on(database_url: str, proxy: Proxy, company: Company, kafka: Kafka) -> None:
    hooks = endpoint(company, "http://127.0.0.1:9/hooks")
    stop = threading.Event()
    consumer = FanOut(proxy.url, kafka, stop, keep=timedelta(days=30), statement_timeout_ms=TIMEOUT_MS)
    relay = Relay(database_url, kafka, threading.Event())

    def deal() -> None:
        company.deal()
        while relay.step():
            pass

    def queued() -> int:
        return int(execute(database_url, "SELECT count(*) FROM webhook_deliveries WHERE endpoint_id = %s", hooks)[0][0])

    with closing(relay), looping(consumer, stop) as lines:
        for number in (0, 2):
            deal()
            assert wait_until(lambda: queued() == number + 1, 20)  # noqa: B023
            notices(proxy, lines)
            deal()
            proxy.silent = False
            assert wait_until(lambda: queued() == number + 2, 20)  # noqa: B023


@pytest.mark.parametrize("at_commit", ["silence", "hang after"], ids=["before", "done"])
def test_a_consumer_whose_commit_met_silence_queues_once(
    database_url: str, proxy: Proxy, company: Company, kafka: Kafka, at_commit: Any
) -> None:
    hooks = endpoint(company, "http://127.0.0.1:9/hooks")
    company.deal()
    relay = Relay(database_url, kafka, threading.Event())
    with closing(relay):
        while relay.step():
            pass
    stop = threading.Event()
    consumer = FanOut(proxy.url, kafka, stop, keep=timedelta(days=30), statement_timeout_ms=TIMEOUT_MS)
    proxy.at_commit.append(at_commit)
    with looping(consumer, stop) as lines:
        assert wait_until(lambda: "Silent" in failures(lines, "error"), 20)
        proxy.silent = False
        company.deal()
        relay = Relay(database_url, kafka, threading.Event())
        with closing(relay):
            while relay.step():
                pass
        count = "SELECT count(*), count(DISTINCT event_id) FROM webhook_deliveries WHERE endpoint_id = %s"
        assert wait_until(lambda: execute(database_url, count, hooks) == [(2, 2)], 20)
