"""A database that went back, while the topic and its readers did not: nothing mixes the two histories, and nothing is skipped."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

import msgspec
import psycopg
import pytest

from app.cli import relay as relay_process
from app.cli import restoring, webhooks
from app.process.failures import Failure
from consumers import checkpoints, common_history, database, stops
from consumers import kafka as clients
from consumers.kafka_settings import Kafka
from consumers.lost_history import LogWentBack
from consumers.message import Message
from consumers.republish import republish
from domain import event_store
from domain.epoch import Epoch
from tests.support.commands import Company, log
from tests.support.kafka import by_key, emptied, messages, records
from tests.support.restores import backup, change, company_on, configured, consume, relay, restored
from tests.support.webhooks import endpoint, execute

HOOK = "http://127.0.0.1:9/hooks"
LOST = 3


class Past(NamedTuple):
    """A log whose events are all on the topic, and a deal in it. ``url`` is of the backup, which ends at ``head`` and lacks the
    ``LOST`` events that were written since."""

    url: str
    live: str
    config: Kafka
    company: Company
    deal: UUID
    head: int

    def write(self, *names: str) -> None:
        with company_on(self.url, self.company) as company:
            change(company, self.deal, *names)

    def parting(self) -> common_history.Parting | None:
        with database.connect(self.url, "test") as connection, connection.cursor() as cursor:
            return common_history.find(cursor, event_store.epochs(cursor), self.config)


@pytest.fixture
def past(database_url: str, kafka: Kafka) -> Iterator[Past]:
    """What was written since the backup is published."""
    with company_on(database_url) as company:
        endpoint(company, HOOK)
        deal = company.deal()
        change(company, deal, "Good")
    relay(database_url, kafka)
    with backup(database_url) as url:
        with company_on(database_url, company) as again:
            change(again, deal, "Lost", "Lost too")
            again.deal("Never there")
        relay(database_url, kafka)
        yield Past(url, database_url, kafka, company, deal, log(url)[-1].position)


def test_relay_and_consumer_stop_before_they_mix_two_histories(past: Past) -> None:
    """Also where the same positions and versions, and so ids, have been given again, as many as were lost or more."""
    republish(past.live, past.config, past.config.topic, 0)  # hides nothing
    before = [(record.partition, record.offset) for record in records(past.config)]
    for names in ((), ("Another",), ("Others", "of them", "and more", "than were lost")):
        past.write(*names)
        with pytest.raises(LogWentBack) as raised:
            relay(past.url, past.config)
        assert "opportunities restored" in str(raised.value)
        assert "\n" not in str(raised.value)
    assert [(record.partition, record.offset) for record in records(past.config)] == before
    with pytest.raises(LogWentBack):
        consume(past.url, past.config, until=100)
    assert execute(past.url, "SELECT count(*) FROM webhook_deliveries") == [(0,)]
    settings = configured(past.url, past.config)
    with pytest.raises(Failure, match=r"The relay has stopped\. The log went back"):
        relay_process.check(settings)
    with pytest.raises(Failure, match=r"The consumer of webhooks has stopped\. The log went back"):
        webhooks.check(settings)
    assert execute(past.url, f"{stops.GAUGES} WHERE name = 'went_back' ORDER BY label") == [
        ("went_back", "consumer", 1.0),
        ("went_back", "relay", 1.0),
    ]


def test_once_told_the_topic_has_everything_and_no_id_is_of_two_events(past: Past) -> None:
    """Of what had been queued after the backup the database knows nothing, although the consumers' group is past it."""
    consume(past.live, past.config, until=2 + LOST)
    past.write("Between")
    seen = messages(past.config)
    parting = past.parting()
    epoch = restored(past.url, past.config)
    assert parting == common_history.Parting(epoch.last_good_position, LOST, past.head + LOST)
    assert past.head - 1 <= epoch.last_good_position <= past.head
    assert epoch.first_position > past.head + LOST + restoring.MARGIN
    past.write("After")
    relay(past.url, past.config)
    relay(past.url, past.config)
    told = messages(past.config)
    assert len({one.id for one in told}) == len({(one.id, one.recorded_at) for one in told}), "an id is of two events"
    old = {one.id for one in seen}  # read partition by partition, in whatever order these come
    new = {one.position for one in told if one.id not in old and one.type != "log.restored"}
    assert new | {epoch.first_position} >= {one.position for one in log(past.url) if one.position > past.head}
    assert names(past) == ["Annual 2026", "Good", "Lost", "Lost too", "Between", "After"]
    assert_told_first_on_every_partition(past, epoch)
    consume(past.url, past.config, until=4)
    queued = execute(past.url, "SELECT position > %s FROM webhook_deliveries ORDER BY position", epoch.last_good_position)
    assert queued == [(False,), (False,), (True,), (True,)]
    assert execute(past.url, f"{stops.GAUGES} WHERE value = 1") == []
    assert restoring.plan(configured(past.url, past.config), None, None).epoch is None, "there is nothing left to do"


def names(past: Past) -> list[str]:
    """Of the deal, as the topic tells them."""
    return [msgspec.json.decode(one.data["opportunity"])["name"] for one in by_key(past.config)[str(past.deal).encode()]]


def assert_told_first_on_every_partition(past: Past, epoch: Epoch) -> None:
    partitions = defaultdict[int, list[dict[str, bytes]]](list)
    told: list[Message] = [one for one in messages(past.config) if one.type == "log.restored"]
    for record in records(past.config):
        partitions[record.partition].append(dict(record.headers))
    assert len(partitions) == len(told) == past.config.partitions
    for headers in partitions.values():
        new = [one["ce_epoch"] == str(epoch.id).encode() for one in headers]
        assert headers[new.index(True)]["ce_type"] == b"log.restored"
        assert all(new[new.index(True) :]), "of an earlier epoch after it"
    (data,) = {bytes(one.data["log"]): msgspec.json.decode(one.data["log"]) for one in told}.values()
    assert (data["epoch"], data["last_good_position"], data["first_position"]) == (
        str(epoch.id),
        epoch.last_good_position,
        epoch.first_position,
    )


def test_restored_again_from_the_same_backup(past: Past) -> None:
    with backup(past.url) as again:
        first = restored(past.url, past.config)
        relay(past.url, past.config)
        with pytest.raises(LogWentBack):
            relay(again, past.config)
        second = restored(again, past.config)
        assert second.first_position > first.first_position
        relay(again, past.config)
        with pytest.raises(LogWentBack):
            relay(past.url, past.config)


def test_where_the_topic_is_gone_the_position_is_given_by_hand(past: Past) -> None:
    gone = msgspec.structs.replace(past.config, topic=f"{past.config.topic}-gone")
    with pytest.raises(Failure, match="--above"):
        restoring.plan(configured(past.url, gone), None, None)
    with pytest.raises(Failure, match="--good 99999 is beyond"):
        restoring.plan(configured(past.url, gone), 100_000, 99_999)
    epoch = restored(past.url, gone, above=5_000_000)
    assert (epoch.first_position, epoch.last_good_position) == (7_000_001, past.head)
    relay(past.url, gone)
    assert [one.type for one in messages(gone)].count("log.restored") == gone.partitions


def test_a_topic_that_was_emptied_hides_nothing(past: Past) -> None:
    """Its records were counted. What was written since the restore, however much, is not what they were."""
    execute(past.url, "UPDATE checkpoints SET updated_at = updated_at - interval '1 hour'")
    emptied(past.config)
    for names in ((), ("Others", "of them", "and more", "than were lost")):
        past.write(*names)
        with pytest.raises(LogWentBack, match=r"has had \d records of which the checkpoint does not know, and holds none"):
            relay(past.url, past.config)
    assert records(past.config) == []
    planned = restoring.plan(configured(past.url, past.config), None, None)
    assert planned.epoch is None
    assert "--above" in planned.said
    restored(past.url, past.config, above=past.head + LOST)
    for _ in range(2):
        relay(past.url, past.config)
        republish(past.url, past.config, past.config.topic, 0)
        emptied(past.config)
    relay(past.url, past.config)


def test_a_relay_that_died_before_the_topic_was_emptied_goes_on(past: Past) -> None:
    """What it had sent and not written down is in the log, and is sent again."""
    with psycopg.connect(past.url) as one, psycopg.connect(past.live) as other:
        before = checkpoints.load(one.cursor(), checkpoints.RELAY)
        checkpoints.save(other.cursor(), checkpoints.RELAY, *before)
    emptied(past.config)
    relay(past.live, past.config)
    assert sorted(one.position for one in messages(past.config)) == [past.head + n + 1 for n in range(LOST)]


def test_another_topic_of_the_name_is_compared_too(past: Past) -> None:
    """The backup knows nothing of it."""
    execute(past.url, "UPDATE checkpoints SET detail = detail || jsonb_build_object('topic_id', gen_random_uuid())")
    with pytest.raises(LogWentBack):
        relay(past.url, past.config)


def test_a_record_of_somebody_else_stops_nobody(database_url: str, kafka: Kafka) -> None:
    with company_on(database_url):
        relay(database_url, kafka)
    producer = clients.producer(kafka)
    producer.send(kafka.topic, value=b"{}", key=b"k", headers=[("ce_sequence", b"99")], partition=0).get(10)
    producer.close()
    relay(database_url, kafka)
    assert restoring.plan(configured(database_url, kafka), None, None).epoch is None
