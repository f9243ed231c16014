"""From the log over a real topic to the queue: what ought to be sent is queued, once, whatever is repeated or lost on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs

from app.process import children
from consumers import kafka, topic
from consumers.kafka_settings import Kafka
from consumers.relay import Relay
from consumers.republish import republish
from consumers.webhooks import fan_out, progress
from consumers.webhooks.fan_out import FanOut
from consumers.webhooks.sender import LISTEN
from domain import account, opportunity
from domain.webhook_endpoint import Update, WebhookFilters
from projections.rebuild import rebuild
from projections.registry import READ_MODELS
from tests.support.commands import Company, log
from tests.support.kafka import Broker, at
from tests.support.loops import Lines
from tests.support.proxy import proxied
from tests.support.webhooks import endpoint, execute

URL = "http://127.0.0.1:9/hooks"
KEEP = timedelta(days=30)
MESSAGE = (
    b'{"id":"evt_1","type":"opportunity.won","created_at":"2026-01-01T00:00:00Z","recorded_at":"2026-01-01T00:00:00Z",'
    b'"org_id":"0198a000-0000-7000-8000-000000000064","position":1,"version":1,"actor":null,"data":%b,"previous":{}}'
)
WON: dict[str, Any] = {"stage": "won", "actual_amount": Decimal(5), "actual_close_date": datetime(2026, 3, 1, tzinfo=UTC).date()}


@pytest.fixture
def stream(kafka: Kafka) -> Kafka:
    """A topic of this test's own."""
    return kafka


def relay(url: str, stream: Kafka) -> None:
    """Bring all of the log to the topic."""
    worker = Relay(url, stream, threading.Event())
    try:
        while worker.step():
            pass
    finally:
        worker.close()


class Consumer:
    """A consumer that is driven step by step. An error of a step is as good as a step without one: the next begins anew."""

    def __init__(self, url: str, stream: Kafka, **options: Any) -> None:
        self.url, self.stream = url, stream
        self.worker = FanOut(url, stream, threading.Event(), **{"keep": KEEP, **options})
        self.faults: list[str] = []

    def step(self) -> None:
        try:
            self.worker.step()
        except Exception as fault:  # noqa: BLE001
            self.faults.append(f"{type(fault).__name__}: {fault}")
            time.sleep(0.1)

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        def done() -> bool:
            self.step()
            return bool(condition())

        assert children.wait_until(done, seconds), self.faults

    def until_caught_up(self, seconds: float = 40) -> None:
        """Until every event about a deal was taken, from whichever partition it is on."""
        last: dict[str, int] = {}
        partitions = self.partitions()
        for one in log(self.url):
            if isinstance(one.event, opportunity.OpportunityEvent):
                last[f"{progress.CHECKPOINT}/{kafka.partition_of(str(one.stream_id).encode(), partitions)}"] = one.position

        def done() -> bool:
            found = dict(execute(self.url, "SELECT name, position FROM checkpoints WHERE name = ANY(%s)", list(last)))
            return all(found.get(name, 0) >= position for name, position in last.items())

        self.until(done, seconds)

    def partitions(self) -> int:
        """A topic that was lost may come again with another number."""
        admin = kafka.admin(self.stream)
        try:
            return topic.ensure(admin, self.stream, self.stream.topic).partitions
        finally:
            admin.close()


@pytest.fixture
def consumer(database_url: str, stream: Kafka) -> Iterator[Consumer]:
    consumer = Consumer(database_url, stream)
    yield consumer
    consumer.worker.close()


def types(url: str, endpoint_id: UUID) -> list[str]:
    """The types of what an endpoint is to hear, in the order of the log."""
    rows = execute(url, "SELECT type FROM webhook_deliveries WHERE endpoint_id = %s ORDER BY position", endpoint_id)
    return [type_.removeprefix("opportunity.") for (type_,) in rows]


def test_each_change_is_told_once_and_under_its_own_name(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    hooks = endpoint(company, URL)
    deal = company.deal(amount=Decimal(24_000))
    company.do(opportunity.Update(amount=Decimal(26_000)), deal)
    company.do(opportunity.Update(amount=Decimal(26_000)), deal)
    company.do(opportunity.Update(amount=Decimal(26_500)), deal, webhooks=False)  # as imports do, unless asked not to
    company.do(opportunity.ChangeStage(stage="proposal", amount=Decimal(27_000)), deal)
    company.do(opportunity.Update(stage="negotiation", name="Renamed", tags=("hot",)), deal)
    company.do(opportunity.ChangeStage(**WON), deal)
    company.do(opportunity.ChangeStage(stage="discovery"), deal)
    company.do(opportunity.ChangeStage(stage="lost", lost_reason="price"), deal)
    company.do(opportunity.Delete(), deal)
    company.do(opportunity.Restore(), deal)
    company.do(opportunity.Create(name="Born won", account_id=company.account_id, **WON))
    company.do(account.Update(name="Acme Inc"), company.account_id)
    relay(database_url, stream)
    consumer.until_caught_up()
    assert types(database_url, hooks) == [
        "created", "updated", "stage_changed", "stage_changed", "won", "reopened", "lost", "deleted", "restored", "created", "won",
    ]  # fmt: skip


def test_a_body_shows_the_deal_as_it_was_and_what_it_had_been(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    hooks = endpoint(company, URL)
    deal = company.deal(amount=Decimal(24_000))
    company.do(opportunity.ChangeStage(**WON), deal)
    company.do(opportunity.Delete(), deal)
    company.do(account.Update(name="Acme Inc"), company.account_id)
    relay(database_url, stream)
    consumer.until_caught_up()
    rows = execute(database_url, "SELECT event_id, body FROM webhook_deliveries WHERE endpoint_id = %s ORDER BY position", hooks)
    created, won, deleted = (msgspec.json.decode(body) for _, body in rows)
    assert [list(body) for body in (created, won, deleted)] == [["id", "type", "created_at", "org_id", "data"]] * 3
    assert [body["id"] for body in (created, won, deleted)] == [event_id for event_id, _ in rows]
    assert won["type"] == "opportunity.won"
    assert won["org_id"] == str(company.id)
    assert won["created_at"].endswith("Z")
    assert (won["data"]["opportunity"]["status"], won["data"]["opportunity"]["actual_amount"]) == ("won", "5.00")
    assert won["data"]["opportunity"]["account"]["name"] == "Acme Corp"
    assert won["data"]["previous"]["stage"] == "discovery"
    assert created["data"]["previous"] == {}
    assert deleted["data"]["opportunity"]["deleted"] is True


def test_each_endpoint_hears_what_it_subscribes_to_and_passes_its_filters(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    won = endpoint(company, URL, events=("opportunity.won",))
    large = endpoint(company, URL, filters=WebhookFilters(amount__gte=Decimal(50_000)))
    for amount in (Decimal(10_000), Decimal(60_000)):
        company.do(opportunity.ChangeStage(**WON), company.deal(amount=amount))
    relay(database_url, stream)
    consumer.until_caught_up()
    assert types(database_url, won) == ["won", "won"]
    assert types(database_url, large) == ["created", "won"]


def test_another_org_hears_nothing(database_url: str, company: Company, stream: Kafka, consumer: Consumer) -> None:
    other = Company(company.committer, "Other")
    hooks = endpoint(other, URL)
    company.deal()
    relay(database_url, stream)
    consumer.until_caught_up()
    assert types(database_url, hooks) == []


def test_an_endpoint_hears_of_nothing_before_its_time_though_it_is_told_again(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    early = endpoint(company, URL, events=("opportunity.created",))
    company.deal()
    paused = endpoint(company, URL, active=False)
    company.deal()
    late = endpoint(company, URL)
    company.do(Update(active=True), paused)
    company.do(Update(events=("opportunity.won",)), early)
    company.deal()
    relay(database_url, stream)
    consumer.until_caught_up()
    for _ in range(2):
        republish(database_url, stream, stream.topic, 0)
    for _ in range(4):
        consumer.step()
    assert types(database_url, early) == ["created", "created"]
    assert types(database_url, paused) == types(database_url, late) == ["created"]


def test_repeats_change_nothing(database_url: str, company: Company, stream: Kafka, consumer: Consumer) -> None:
    hooks = endpoint(company, URL)
    for _ in range(20):
        company.deal()
    relay(database_url, stream)
    consumer.until_caught_up()
    before = execute(database_url, "SELECT * FROM webhook_deliveries ORDER BY id")
    again = at(stream.bootstrap_servers, f"{stream.topic}-again")
    republish(database_url, again, again.topic, 0)
    other = Consumer(database_url, again)
    execute(database_url, "DELETE FROM checkpoints WHERE name LIKE 'webhooks/%'")
    try:
        other.until_caught_up()
    finally:
        other.worker.close()
    assert execute(database_url, "SELECT * FROM webhook_deliveries ORDER BY id") == before
    assert len(types(database_url, hooks)) == 20


def test_senders_of_other_processes_are_told_of_what_is_queued(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    endpoint(company, URL)
    company.deal()
    relay(database_url, stream)
    with psycopg.connect(database_url, autocommit=True) as sender:
        sender.execute(LISTEN)
        consumer.until_caught_up()
        assert list(sender.notifies(timeout=10, stop_after=1))


def test_what_is_older_than_deliveries_are_kept_is_not_sent(database_url: str, company: Company, stream: Kafka) -> None:
    hooks = endpoint(company, URL)
    company.deal()
    relay(database_url, stream)
    late = Consumer(database_url, stream, now=lambda cursor: datetime.now(UTC) + KEEP)
    try:
        late.until_caught_up()
    finally:
        late.worker.close()
    assert types(database_url, hooks) == []


def test_rebuilds_and_relays_of_the_whole_log_queue_nothing(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    endpoint(company, URL)
    company.deal()
    relay(database_url, stream)
    consumer.until_caught_up()
    before = execute(database_url, "SELECT * FROM webhook_deliveries ORDER BY id")
    rebuild(database_url, [model.name for model in READ_MODELS])
    execute(database_url, "DELETE FROM checkpoints")
    relay(database_url, stream)
    consumer.until_caught_up()
    assert execute(database_url, "SELECT * FROM webhook_deliveries ORDER BY id") == before


UNTAKEABLE = [
    b"",
    b"\xff\xfe",
    b"not JSON",
    b"[]",
    b'{"type":"opportunity.won"}',
    MESSAGE % b"{}",
    MESSAGE % b'{"opportunity":{"id":1}}',
]


def test_records_that_cannot_be_taken_are_dead_letters_and_the_partition_moves_on(
    database_url: str, company: Company, stream: Kafka, consumer: Consumer
) -> None:
    hooks = endpoint(company, URL)
    one = Kafka(bootstrap_servers=stream.bootstrap_servers, topic=stream.topic, partitions=1)
    admin = kafka.admin(one)
    topic.ensure(admin, one, one.topic)
    admin.close()
    producer = kafka.producer(one)
    for value in UNTAKEABLE:
        producer.send(one.topic, value=value, key=b"k", headers=[("ce_type", b"\xff\0")], partition=0).get(10)
    producer.close()
    company.deal()
    relay(database_url, one)
    consumer.until_caught_up()
    assert types(database_url, hooks) == ["created"]
    letters = execute(database_url, 'SELECT topic, partition, "offset", key, value FROM dead_letters ORDER BY "offset"')
    kept = [(name, partition, offset, bytes(key), bytes(value or b"")) for name, partition, offset, key, value in letters]
    assert kept == [(stream.topic, 0, offset, b"k", value) for offset, value in enumerate(UNTAKEABLE)]
    assert execute(database_url, "SELECT count(*) FROM dead_letters WHERE error = ''") == [(0,)]


def test_a_database_that_goes_away_is_waited_for_and_nothing_is_lost(database_url: str, company: Company, stream: Kafka) -> None:
    hooks = endpoint(company, URL)
    with proxied(database_url) as proxy:
        consumer = Consumer(proxy.url, stream)
        consumer.url = database_url
        try:
            company.deal()
            relay(database_url, stream)
            consumer.until_caught_up()
            for at_commit in ("cut before", "cut after", "cut the answer"):
                company.deal()
                relay(database_url, stream)
                proxy.at_commit.append(at_commit)
                consumer.until_caught_up()
            proxy.away()
            company.deal()
            relay(database_url, stream)
            for _ in range(3):
                consumer.step()
            proxy.back()
            consumer.until_caught_up()
            assert consumer.faults
        finally:
            consumer.worker.close()
    assert types(database_url, hooks) == ["created"] * 5


def test_a_topic_that_was_lost_and_filled_again_sends_nothing_twice_and_nothing_is_missed(
    database_url: str, company: Company, broker: Broker
) -> None:
    """The embedded broker forgets everything when it dies, the group's offsets too; Apache Kafka nothing."""
    stream = at(broker.bootstrap_servers, "opportunities.events")
    hooks = endpoint(company, URL)
    consumer = Consumer(database_url, stream)
    stop = threading.Event()
    worker = Relay(database_url, stream, stop)

    def relayed() -> bool:
        try:
            return not worker.step()
        except Exception:  # noqa: BLE001  the broker is not back yet
            time.sleep(0.2)
            return False

    try:
        for _ in range(10):
            company.deal()
        assert children.wait_until(relayed, 30)
        consumer.until_caught_up()
        for round_ in range(2):
            broker.kill()
            company.deal(f"While it was away {round_}")
            broker.restart()
            assert children.wait_until(relayed, 60)
            company.deal(f"After {round_}")
            assert children.wait_until(relayed, 60)
            consumer.until_caught_up()
    finally:
        consumer.worker.close()
        worker.close()
    assert types(database_url, hooks) == ["created"] * 14


def test_partitions_that_nobody_reads_make_it_join_the_group_again(
    database_url: str, company: Company, stream: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fan_out, "UNREAD_SECONDS", 4)
    monkeypatch.setattr(fan_out, "HEARTBEAT_SECONDS", 0.5)
    hooks = endpoint(company, URL)
    for _ in range(20):
        company.deal()
    relay(database_url, stream)
    consumer = Consumer(database_url, stream)
    with deaf_member(stream) as lets_go, capture_logs() as lines:
        try:
            consumer.until(lambda: consumer.faults and len(assigned(lines)) > 1)
            lets_go.set()
            consumer.until(lambda: assigned(lines)[-1] == [0, 1, 2, 3, 4, 5] and len(types(database_url, hooks)) == 20)
        finally:
            consumer.worker.close()
    assert consumer.faults[0].startswith("Unread: Nobody reads partition ")
    assert [len(some) for some in assigned(lines)[:2]] == [3, 3]
    assert types(database_url, hooks) == ["created"] * 20


def assigned(lines: Lines) -> list[list[int]]:
    """The partitions that a consumer has had, one after the other."""
    return [line["partitions"] for line in lines if line["event"] == "consumer.assigned" and line["partitions"]]


@contextmanager
def deaf_member(stream: Kafka) -> Iterator[threading.Event]:
    """A member of the group that has partitions and does nothing with them, until the event is set."""
    lets_go = threading.Event()
    admin = kafka.admin(stream)
    found = topic.ensure(admin, stream, stream.topic)
    admin.close()
    member = kafka.consumer(stream, fan_out.group(found))
    member.subscribe([stream.topic])

    def hold() -> None:
        while not lets_go.is_set():
            member.poll(timeout_ms=100)
        kafka.leave(member)

    while not member.assignment():
        member.poll(timeout_ms=100)
    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield lets_go
    finally:
        lets_go.set()
        thread.join()


def test_who_cannot_reach_the_database_leaves_its_partitions_to_others(database_url: str, company: Company, stream: Kafka) -> None:
    hooks = endpoint(company, URL)
    for _ in range(20):
        company.deal()
    relay(database_url, stream)
    with proxied(database_url) as proxy:
        cut_off, other = Consumer(proxy.url, stream), Consumer(database_url, stream)
        cut_off.url = database_url
        try:
            cut_off.until_caught_up()
            proxy.away()
            cut_off.until(lambda: len(cut_off.faults) > 1)
            for _ in range(20):
                company.deal()
            relay(database_url, stream)
            other.until(lambda: len(types(database_url, hooks)) == 40)
        finally:
            cut_off.worker.close()
            other.worker.close()
    assert types(database_url, hooks) == ["created"] * 40


def test_two_consumers_share_the_partitions_and_queue_nothing_twice(database_url: str, company: Company, stream: Kafka) -> None:
    hooks = endpoint(company, URL)
    for _ in range(30):
        company.deal()
    relay(database_url, stream)
    consumers = [Consumer(database_url, stream) for _ in range(2)]
    stop = threading.Event()

    def work(consumer: Consumer) -> None:
        while not stop.is_set():
            consumer.step()
        consumer.worker.close()

    threads = [threading.Thread(target=work, args=(consumer,)) for consumer in consumers]
    for thread in threads:
        thread.start()
    try:
        assert children.wait_until(lambda: len(types(database_url, hooks)) == 30, 40)
        for _ in range(30):
            company.deal()
        relay(database_url, stream)
        assert children.wait_until(lambda: len(types(database_url, hooks)) == 60, 40)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert types(database_url, hooks) == ["created"] * 60
