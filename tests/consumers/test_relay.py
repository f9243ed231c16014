"""The relay: every event on the topic, in order for each key, whatever ends it or the topic in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from app.process.children import wait_until
from app.writing.committer import Committer
from consumers import checkpoints, database, loop, message
from consumers import kafka as clients
from consumers.event_reader import EventReader, position_before
from consumers.kafka_settings import Kafka
from consumers.publisher import Publisher, TopicLost
from consumers.relay import Relay
from consumers.republish import republish
from domain import account, contact, opportunity, organization
from tests.support.commands import Company, log
from tests.support.kafka import Broker, at, by_key, delete, messages, published, records, shown, whole


@pytest.fixture
def company(database_url: str) -> Iterator[Company]:
    with closing(Committer(database_url)) as committer:
        yield Company(committer)


@contextmanager
def relaying(url: str, config: Kafka, **more: Any) -> Iterator[Relay]:
    relay = Relay(url, config, threading.Event(), **more)
    try:
        yield relay
    finally:
        relay.close()


def drain(url: str, config: Kafka, **more: Any) -> None:
    """Relay all there is."""
    with relaying(url, config, **more) as relay:
        while relay.step():
            pass


def checkpoint(url: str) -> tuple[int, dict[str, Any]]:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        return checkpoints.load(cursor, checkpoints.RELAY)


def set_back(url: str, position: int) -> None:
    """As if the relay had died before it saved its last chunks."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        checkpoints.save(cursor, checkpoints.RELAY, position)


def deals(company: Company, number: int = 10, changes: int = 4) -> None:
    """Deals with some changes each, one after the other, so that their events are mixed."""
    ids = [company.deal(f"Deal {n}") for n in range(number)]
    for change in range(changes):
        for id_ in ids:
            company.do(opportunity.Update(amount=Decimal(100 + change)), id_)


def doubled(config: Kafka) -> int:
    ids = [told.id for told in messages(config)]
    return len(ids) - len(set(ids))


def test_every_published_event_is_on_the_topic_in_order_for_each_key(database_url: str, company: Company, kafka: Kafka) -> None:
    deals(company)
    drain(database_url, kafka, chunk=7)
    whole(database_url, kafka)
    assert doubled(kafka) == 0
    assert checkpoint(database_url)[0] == log(database_url)[-1].position


def test_a_record_is_told_as_it_stood_then(database_url: str, company: Company, kafka: Kafka) -> None:
    """Names too, though they were changed before it was told."""
    contact_id = company.do(contact.Create(first_name="Jane", last_name="Doe")).stream_id
    deal = company.deal(stakeholder_ids=(contact_id,))
    company.do(account.Update(name="Renamed"), company.account_id)
    company.do(opportunity.Update(name="Annual 2027"), deal)
    company.do(contact.Update(first_name="June"), contact_id)
    company.do(opportunity.Delete(), deal)
    drain(database_url, kafka)
    created, updated, deleted = [shown(told) for told in by_key(kafka)[str(deal).encode()]]
    assert (created["account"], updated["account"]) == (
        {"id": str(company.account_id), "name": "Acme Corp"},
        {"id": str(company.account_id), "name": "Renamed"},
    )
    assert created["stakeholders"] == [{"id": str(contact_id), "first_name": "Jane", "last_name": "Doe"}]
    assert deleted["stakeholders"] == [{"id": str(contact_id), "first_name": "June", "last_name": "Doe"}]
    assert (created["name"], updated["name"], deleted["name"]) == ("Annual 2026", "Annual 2027", "Annual 2027")
    assert (deleted.get("deleted"), "deleted" in updated) == (True, False)
    assert [created["version"], updated["version"], deleted["version"]] == [1, 2, 3]


def test_a_message_is_the_same_whenever_it_is_rendered(database_url: str, company: Company) -> None:
    def rendered() -> list[bytes]:
        with database.connect(database_url, "test") as connection, connection.cursor() as cursor:
            chunk = EventReader().read(cursor, 0, 1_000)
        assert chunk is not None
        return [record.value for record in chunk.records]

    deals(company, 2, 2)
    early = rendered()
    company.do(account.Update(name="Renamed"), company.account_id)
    company.do(organization.Update(name="Renamed"), organization.stream_id(company.id))
    assert rendered()[: len(early)] == early


def test_who_dies_before_saving_doubles_nothing(database_url: str, company: Company, kafka: Kafka) -> None:
    """The end of each partition proves what has arrived."""
    deals(company)
    half = published(database_url)[20]
    drain(database_url, kafka)
    set_back(database_url, half)
    company.deal("Later")
    drain(database_url, kafka)
    whole(database_url, kafka)
    assert doubled(kafka) == 0


def test_who_dies_with_half_a_chunk_sent_loses_nothing(database_url: str, company: Company, kafka: Kafka) -> None:
    """Some partitions have what others have not: going on from the latest of all would lose it."""
    deals(company)
    with database.connect(database_url, "test") as connection, connection.cursor() as cursor:
        chunk = EventReader().read(cursor, 0, 1_000)
    assert chunk is not None
    with relaying(database_url, kafka, chunk=1) as relay:
        relay.step()  # the first event: the topic is known
    with Publisher(kafka, kafka.topic) as publisher:
        some = {publisher.partition(chunk.records[n]) for n in (-1, -2)}
        early = [record for record in chunk.records[1:] if publisher.partition(record) in some]
        publisher.settle(publisher.send(early))
    assert len(early) < len(chunk.records)
    drain(database_url, kafka)
    whole(database_url, kafka)
    assert doubled(kafka) == 0


def test_an_end_that_another_log_wrote_proves_nothing(database_url: str, company: Company, kafka: Kafka) -> None:
    deals(company, 3, 2)
    foreign = [("ce_id", b"evt_of_somebody_else"), ("ce_sequence", b"999999")]
    known = [("ce_id", b"evt_of_somebody_else"), ("ce_sequence", str(published(database_url)[-1]).encode())]
    with Publisher(kafka, kafka.topic) as publisher:
        partitions = publisher.partitions
    producer = clients.producer(kafka)
    for partition in range(partitions):
        for headers in (foreign, known):
            producer.send(kafka.topic, value=b"{}", key=b"k", headers=headers, partition=partition).get(10)
    producer.close()
    drain(database_url, kafka)
    ours = [record for record in records(kafka) if record.value != b"{}"]
    assert sorted(message.decode(record.value or b"").position for record in ours) == published(database_url)


def test_a_lost_topic_is_filled_again(database_url: str, company: Company, broker: Broker) -> None:
    config = at(broker.bootstrap_servers, "events")
    deals(company, 3, 2)
    drain(database_url, config)
    broker.kill()
    broker.restart()
    company.deal("Later")
    drain(database_url, config)
    whole(database_url, config)
    assert doubled(config) == 0


def test_a_topic_lost_while_there_is_nothing_to_send_is_noticed(
    database_url: str, company: Company, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.publisher.CHECK_SECONDS", 0)
    deals(company, 3, 1)
    with relaying(database_url, kafka) as relay:
        while relay.step():
            pass
        delete(kafka)
        with pytest.raises(TopicLost):
            relay.step()
        while relay.step():
            pass
    whole(database_url, kafka)


def test_a_lost_topic_is_filled_with_what_it_would_have_kept(database_url: str, company: Company, kafka: Kafka) -> None:
    deals(company, 2, 1)
    drain(database_url, kafka)
    before = log(database_url)[-1]
    deals(company, 2, 1)
    delete(kafka)
    young = before.meta.recorded_at + timedelta(hours=kafka.retention_hours, microseconds=1)
    set_back(database_url, log(database_url)[-1].position)
    drain(database_url, kafka, now=lambda cursor: young)
    assert sorted(told.position for told in messages(kafka)) == [p for p in published(database_url) if p > before.position]


def test_the_beginning_of_a_time_is_found_in_the_log(database_url: str, company: Company) -> None:
    deals(company, 5, 3)
    events = log(database_url)
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        for recorded in events[::7]:
            first = min(one.position for one in events if one.meta.recorded_at >= recorded.meta.recorded_at)
            assert position_before(cursor, recorded.meta.recorded_at) == first - 1
        assert position_before(cursor, datetime.now(UTC)) == events[-1].position
        assert position_before(cursor, datetime(2020, 1, 1, tzinfo=UTC)) == 0


def test_one_relay_works_and_another_takes_over(database_url: str, company: Company, kafka: Kafka) -> None:
    deals(company, 2, 1)
    with relaying(database_url, kafka) as first, relaying(database_url, kafka) as second:
        assert first.step()
        assert not second.step()
        first.close()
        company.deal("Later")
        while not second.step():
            pass
    whole(database_url, kafka)
    assert doubled(kafka) == 0


def test_a_relay_whose_connection_broke_sends_nothing_twice(database_url: str, company: Company, kafka: Kafka) -> None:
    with relaying(database_url, kafka) as relay:
        while relay.step():
            pass
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'opportunities relay'"
                " AND datname = current_database()"
            )
        company.deal("Later")
        with pytest.raises(psycopg.OperationalError):
            relay.step()
        while relay.step():
            pass
    whole(database_url, kafka)
    assert doubled(kafka) == 0


def test_more_partitions_do_not_move_a_records_events(database_url: str, company: Company, kafka: Kafka) -> None:
    deal = company.deal()
    drain(database_url, kafka)
    with psycopg.connect(database_url) as connection:
        connection.execute("""UPDATE checkpoints SET detail = detail || '{"partitions": 2}'""")
    company.do(opportunity.Update(amount=Decimal(1)), deal)
    many = [company.deal(f"Deal {n}") for n in range(8)]
    drain(database_url, kafka)
    keys = {str(id_).encode() for id_ in many}
    assert {record.partition for record in records(kafka) if record.key in keys} <= {0, 1}


def test_what_is_appended_wakes_the_relay(database_url: str, company: Company, kafka: Kafka) -> None:
    with relaying(database_url, kafka) as relay:
        while relay.step():
            pass
        relay.wait(0)
        appended = threading.Timer(0.2, lambda: company.deal("Later"))
        appended.start()
        relay.wait(60)  # the test's time limit would end a wait of this length
        appended.join()
        assert relay.step()
    whole(database_url, kafka)


def test_with_no_broker_the_relay_waits_and_then_catches_up(database_url: str, company: Company, broker: Broker) -> None:
    config = at(broker.bootstrap_servers, "events")
    broker.kill()
    stop = threading.Event()
    relay = Relay(database_url, config, stop)
    said: list[Exception] = []
    failed = threading.Event()

    def describe(error: Exception) -> str:
        said.append(error)
        failed.set()
        return str(error)

    thread = threading.Thread(target=lambda: loop.run(relay, stop, describe=describe))
    thread.start()
    try:
        assert failed.wait(30)
        deals(company, 2, 1)
        broker.restart()
        last = log(database_url)[-1].position
        assert wait_until(lambda: checkpoint(database_url)[0] == last, 60)
    finally:
        stop.set()
        thread.join()
        relay.close()
    assert isinstance(said[0], clients.KafkaError)
    whole(database_url, config)


def test_a_range_is_sent_again_to_another_topic_with_the_same_ids(database_url: str, company: Company, kafka: Kafka) -> None:
    deals(company, 3, 2)
    drain(database_url, kafka)
    middle = published(database_url)[10]
    other = at(kafka.bootstrap_servers, f"{kafka.topic}-again")
    try:
        sent = republish(database_url, kafka, other.topic, middle)
        expected = {told.id: told for told in messages(kafka) if told.position > middle}
        assert {told.id: told for told in messages(other)} == expected
        assert (sent.messages, sent.position) == (len(expected), log(database_url)[-1].position)
    finally:
        delete(other)


def test_a_range_sent_again_to_the_relays_topic_proves_nothing_and_is_never_ahead(
    database_url: str, company: Company, kafka: Kafka
) -> None:
    """Otherwise a relay that starts after it would believe that all before had arrived."""
    deals(company)
    with relaying(database_url, kafka, chunk=20) as relay:
        relay.step()
    saved = checkpoint(database_url)[0]
    sent = republish(database_url, kafka, kafka.topic, 0)
    assert sent.position == saved
    assert {dict(record.headers).get("ce_republished") for record in records(kafka)} == {None, b"true"}
    drain(database_url, kafka)
    whole(database_url, kafka)
