"""The embedded broker under a load that would make it grow for ever: it is emptied again and again, and nobody misses anything."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Self

import psycopg
import pytest

from app.dev.kafka import Broker
from app.dev.kafka_retention import LIMIT, LOOK_SECONDS, Retention, taken
from app.process.children import wait_until
from app.writing.committer import Committer
from consumers import checkpoints, kafka, message, topic
from consumers.kafka import TopicPartition
from consumers.kafka_settings import Kafka
from consumers.message import Message
from domain import activity, opportunity
from domain.webhook_endpoint import Create
from tests.support.commands import Company, log, outcome
from tests.support.dev import Dev
from tests.support.kafka import at, firsts, published, settings
from tests.support.receiver import receiving
from tests.support.webhooks import LOCAL, SETTINGS
from tests.support.worker import Worker

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="a limit that small is for one system's memory"),
]

MIB = 1024 * 1024
SMALL = 28 * MIB
MARGIN = 24 * MIB
"""What a second's writes add before the relay has paused."""
SECONDS = 60


class Reader:
    """Somebody who reads the topic from its beginning, with or without a group, and never stops."""

    def __init__(self, config: Kafka, group: str | None = None) -> None:
        self._consumer = kafka.consumer(config, group)
        if group is None:
            self._consumer.assign([TopicPartition(config.topic, number) for number in range(config.partitions)])
        else:
            self._consumer.subscribe([config.topic])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.told: defaultdict[bytes, list[Message]] = defaultdict(list)
        self.last = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        kafka.leave(self._consumer)

    def _read(self) -> None:
        while not self._stop.is_set():
            for record in (one for some in self._consumer.poll(timeout_ms=100).values() for one in some):
                told = message.decode(record.value or b"")
                self.told[record.key or b""].append(told)
                self.last = max(self.last, told.position)

    def positions(self) -> list[int]:
        """Of what it was told, in order; as often as it was told."""
        assert all(firsts(told) == sorted(firsts(told)) for told in self.told.values()), "out of order"
        return sorted(one.position for told in self.told.values() for one in told)


class Stack:
    """The part of the development stack that fills the broker, empties it and reads it."""

    def __init__(self, url: str, broker: Broker, stack: ExitStack) -> None:
        self.url = url
        self.broker = broker
        self.config = at(broker.bootstrap_servers, "opportunities.events")
        self.receiver = stack.enter_context(receiving())
        self.company = Company(stack.enter_context(closing(Committer(url))))
        self.company.do(Create(url=self.receiver.url("/hooks"), events=("opportunity.won",), rules=LOCAL))
        env = {"DATABASE_URL": url, **settings(self.config), **SETTINGS}
        self.relay, self.webhooks = (Worker(verb, env=env) for verb in ("relay", "webhooks"))
        for worker in (self.relay, self.webhooks):
            worker.start()
            stack.callback(worker.kill)
        self.retention = self.looked_after(self.relay.stop)
        self.most = self.emptied = 0

    def looked_after(self, pause: Callable[[], object]) -> Retention:
        return Retention(self.broker, self.config, pause, self.relay.start, limit=SMALL)

    def reading(self, group: str | None = None) -> Reader:
        """Once the relay has made the topic."""
        assert wait_until(self.topic_is_there, SECONDS)
        return Reader(self.config, group)

    def topic_is_there(self) -> bool:
        admin = kafka.admin(self.config)
        try:
            return self.config.topic in [described["name"] for described in admin.describe_topics()]
        finally:
            admin.close()

    def anything_to_take(self) -> bool:
        """Whether the webhooks have records to process. A broker may be full while it takes its first ones, and have none."""
        admin = kafka.admin(self.config)
        try:
            found = topic.find(admin, self.config.topic)
            return found is not None and not taken(self.config, found)
        finally:
            admin.close()

    def look(self) -> None:
        """As the supervisor does."""
        before = self.retention.paused
        self.retention.look()
        self.emptied += before and not self.retention.paused
        self.most = max(self.most, self.broker.memory())

    def write(self) -> None:
        write(self.company)

    def until(self, condition: Callable[[], object], writing: bool = False) -> bool:
        def looked() -> bool:
            if writing:
                self.write()
            self.look()
            return bool(condition())

        return wait_until(looked, SECONDS)

    def complete(self) -> None:
        """Every deal won has arrived, once."""
        wanted = sorted(message.event_id(one) for one in log(self.url) if isinstance(one.event, opportunity.Won))
        assert wanted
        assert self.until(lambda: len(self.receiver.received) >= len(wanted)), (len(self.receiver.received), len(wanted))
        assert sorted(one.id for one in self.receiver.received) == wanted


def write(company: Company) -> None:
    """A deal won after long talks."""
    deal = company.deal()
    talks = [company.envelope(activity.Log(deal, "note", "They said", "x" * 10_000)) for _ in range(50)]
    for result in company.committer.run(talks):
        outcome(result)
    company.do(opportunity.ChangeStage(stage="won", actual_amount=Decimal(90), actual_close_date=date(2026, 5, 5)), deal)


@pytest.fixture
def stack(database_url: str, embedded_broker: Broker) -> Iterator[Stack]:
    with ExitStack() as stack:
        yield Stack(database_url, embedded_broker, stack)


@pytest.mark.slow
def test_it_stays_small_however_much_goes_through_it_and_who_reads_on_misses_nothing(stack: Stack) -> None:
    with stack.reading() as alone, stack.reading("a group") as member:
        assert stack.until(lambda: stack.emptied >= 2, writing=True)
        assert stack.broker.memory() < SMALL
        stack.write()
        last = max(published(stack.url))
        assert stack.until(lambda: alone.last == member.last == last)
    print(stack.most / MIB, stack.emptied, len(published(stack.url)))
    assert stack.most < SMALL + MARGIN
    assert alone.positions() == published(stack.url)
    assert member.positions() == published(stack.url)
    stack.complete()


def test_nothing_goes_before_the_webhooks_have_taken_it(stack: Stack) -> None:
    stack.webhooks.kill()
    assert stack.until(lambda: stack.retention.paused and stack.anything_to_take(), writing=True)
    held, emptied = stack.broker.memory(), stack.emptied
    began = time.monotonic()
    assert stack.until(lambda: time.monotonic() > began + 3 * LOOK_SECONDS)
    assert stack.retention.paused
    assert stack.broker.memory() > held - MIB
    stack.webhooks.start()
    assert stack.until(lambda: stack.emptied > emptied)
    stack.complete()


@pytest.mark.slow
def test_kill_9_in_the_middle_of_it_loses_nothing(stack: Stack) -> None:
    for victim in ("webhooks", "broker", "relay"):
        if victim == "relay":  # it does not live to be stopped
            stack.retention = stack.looked_after(pause=stack.relay.kill)
        assert stack.until(lambda: stack.retention.paused, writing=True), victim
        stack.write()
        if victim == "webhooks":
            stack.webhooks.kill()
            stack.webhooks.start()
        if victim == "broker":
            stack.broker.kill()
            stack.broker.restart()
        assert stack.until(lambda: not stack.retention.paused), victim
    stack.write()
    stack.complete()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_development_stack_holds_its_own_bound(tmp_path: Path) -> None:
    dev = Dev(tmp_path / "data", "--no-demo")
    try:
        ready = dev.start()
        (pid,) = dev.brokers()
        most = 0
        with closing(Committer(ready.database_url)) as committer:
            company = Company(committer, "Much Ltd")
            while dev.printed().count("broker.emptied") < 2:
                write(company)
                most = max(most, memory(pid))
            last = max(published(ready.database_url))
        assert wait_until(lambda: relayed(ready.database_url) >= last, SECONDS)
        assert (LIMIT < most < 256 * MIB, dev.brokers()) == (True, [pid])
        assert dev.stop() == 0
    finally:
        dev.end()


def relayed(url: str) -> int:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        return checkpoints.load(cursor, checkpoints.RELAY)[0]


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
