"""A database that version 0.1 wrote: it migrates, verifies, answers as it did, and what was pending then is delivered."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import pytest

from app import migrations
from consumers import kafka as clients
from consumers import message
from consumers.kafka import Fetched
from consumers.kafka_settings import Kafka
from consumers.lost_history import LogWentBack
from consumers.message import Record
from consumers.publisher import Publisher
from projections import rebuild
from tests.support import postgres
from tests.support.commands import log
from tests.support.kafka import delete, messages, published, records
from tests.support.receiver import receiving
from tests.support.restores import company_on, relay, restored
from tests.support.scenarios import OPPORTUNITIES, Json, made
from tests.support.server import Client, Server, serving
from tests.support.webhooks import SETTINGS, execute, sending, until_attempted
from tests.upgrade.record import HERE, HOST

VERSIONS = sorted(path.name.removesuffix(".sql.gz") for path in HERE.glob("*.sql.gz"))
CHANGED: dict[str, set[str]] = {
    # The event of an exchange rate tells of the day it is for, no longer of all the days before; the opportunities behind a
    # waterfall come with ``expand=opportunities``.
    "0.1": {
        "/api/events/ .results[].changes.rates[].2026-01-01",
        "/api/opportunities/forecast/changes/ .months[].opportunities",
        "/api/opportunities/forecast/changes/ .unscheduled.opportunities",
    },
}
"""What is answered otherwise than by that version, as the changelog says: the path asked, and the place in the answer."""


class Recorded(msgspec.Struct):
    """What a version left behind beside its database."""

    tokens: dict[str, str]
    endpoints: dict[str, dict[str, str]]
    answers: dict[str, Any]


class Upgraded(NamedTuple):
    version: str
    url: str
    recorded: Recorded
    server: Server
    admin: Client


def restore(url: str, dump: Path) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(gzip.decompress(dump.read_bytes()))


@pytest.fixture(scope="module", params=VERSIONS)
def upgraded(request: pytest.FixtureRequest, template_database: str) -> Iterator[Upgraded]:
    """The database of a version after ``migrate``, and the API on it. The template is there for the cluster's roles."""
    assert template_database
    recorded = msgspec.json.decode((HERE / f"{request.param}.json").read_bytes(), type=Recorded)
    with ExitStack() as stack:
        url = stack.enter_context(postgres.database())
        restore(url, HERE / f"{request.param}.sql.gz")
        migrations.migrate(url)
        server = stack.enter_context(serving(url, workers=1, **SETTINGS))
        yield Upgraded(request.param, url, recorded, server, stack.enter_context(server.client(recorded.tokens["admin"])))


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where the new answer lacks or contradicts the old one. Further keys are no contradiction."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            yield from differences(value, new[key], f"{place}.{key}") if key in new else [f"{place}.{key}"]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for before, after in zip(old, new, strict=True):
            yield from differences(before, after, f"{place}[]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield place


def test_it_migrates_once_and_verifies(upgraded: Upgraded) -> None:
    assert migrations.migrate(upgraded.url) == []
    migrations.check(upgraded.url)
    assert rebuild.verify(upgraded.url) == []


def test_it_answers_as_it_did(upgraded: Upgraded) -> None:
    found: set[str] = set()
    for path, answer in upgraded.recorded.answers.items():
        new = made(upgraded.admin.get(path, Host=HOST), 200)
        found |= {f"{path.partition('?')[0]} {place}" for place in differences(answer, new)}
    assert found == CHANGED[upgraded.version]


def test_tokens_of_every_role_work_as_before(upgraded: Upgraded) -> None:
    roles = {}
    for name, token in upgraded.recorded.tokens.items():
        with upgraded.server.client(token) as client:
            reply = client.get("/api/users/me/")
            roles[name] = reply.json()["role"] if reply.status == 200 else reply.status
    assert roles == {"admin": "admin", "rep": "rep", "manager": 401, "read_only": "read_only"}, "the manager was deactivated"


def test_a_deal_of_then_goes_on(upgraded: Upgraded) -> None:
    deals: list[Json] = upgraded.recorded.answers[f"{OPPORTUNITIES}?stage=proposal"]["results"]
    for deal in deals:
        path = f"{OPPORTUNITIES}{deal['id']}/"
        stale = upgraded.admin.patch(path, {"name": "Too late"}, If_Match=f'"{deal["version"] + 1}"')
        assert stale.status == 412
        body = {"stage": "won", "actual_amount": "10", "actual_close_date": "2026-11-01"}
        won = made(upgraded.admin.post(f"{path}transition/", body, If_Match=f'"{deal["version"]}"'), 200)
        assert (won["status"], won["version"], won["custom_fields"]) == ("won", deal["version"] + 1, deal["custom_fields"])
    assert rebuild.verify(upgraded.url) == []


def test_a_webhook_that_was_pending_is_delivered(upgraded: Upgraded) -> None:
    """To where its endpoint is by now, with the id it had and signed with the secret that was shown then."""
    failing = upgraded.recorded.endpoints["/status/500"]
    path = f"/api/webhooks/{failing['id']}/"
    (pending,) = upgraded.recorded.answers[f"{path}deliveries/"]["results"]
    with receiving() as receiver:
        made(upgraded.admin.patch(path, {"url": receiver.url("/moved")}), 200)
        execute(upgraded.url, "UPDATE webhook_deliveries SET due_at = clock_timestamp() WHERE status = 'pending'")
        with sending(upgraded.url):
            (received,) = receiver.wait(1, "/moved")
            until_attempted(upgraded.url, UUID(failing["id"]), len(pending["attempts"]) + 1)
        assert received.id == pending["event_id"]
        assert received.verify(failing["secret"])["type"] == "opportunity.lost"


def test_restored_from_such_a_backup_it_is_not_mixed_with_what_was_published_since(upgraded: Upgraded, kafka: Kafka) -> None:
    """The database went on after the backup, under this version; the topic has what both versions published of it."""
    config = msgspec.structs.replace(kafka, retention_hours=0)
    with postgres.database() as live:
        restore(live, HERE / f"{upgraded.version}.sql.gz")
        migrations.migrate(live)
        backed_up = log(live)[-1].position
        with company_on(live) as company:
            lost = company.deal()
        relay(live, config)
    with as_published_by(upgraded.version, config, backed_up) as config:
        with pytest.raises(LogWentBack):
            relay(upgraded.url, config)
        epoch = restored(upgraded.url, config)
        assert epoch.last_good_position <= backed_up
        relay(upgraded.url, config)
        assert rebuild.verify(upgraded.url) == []
        told = messages(config)
    assert len({one.id for one in told}) == len({(one.id, one.recorded_at) for one in told}), "an id is of two events"
    assert {one.position for one in told} >= set(published(upgraded.url))
    assert sum(one.type == "log.restored" for one in told) == config.partitions
    page = made(upgraded.admin.get(f"/api/events/?after={epoch.last_good_position}&limit=200"), 200)
    (begun,) = [one for one in page["results"] if one["type"] == "log.restored"]
    assert begun["changes"]["last_good_position"] == [None, epoch.last_good_position]
    assert upgraded.admin.get(f"{OPPORTUNITIES}{lost}/").status == 404


@contextmanager
def as_published_by(version: str, config: Kafka, until: int) -> Iterator[Kafka]:
    """A topic with the same records, but up to a position as a version wrote them: 0.1 knew no epochs."""
    copy = msgspec.structs.replace(config, topic=f"{config.topic}-{version}")
    with Publisher(copy, copy.topic):
        producer = clients.producer(copy)
    try:
        for one in records(config):
            headers = [(name, value) for name, value in one.headers if name != "ce_epoch" or _position(one) > until]
            sent = Record(0, one.key or b"", one.value or b"", headers)
            producer.send_all(copy.topic, {one.partition: [sent]})[0].get(10)
        yield copy
    finally:
        producer.close()
        delete(copy)


def _position(record: Fetched) -> int:
    return message.decode(record.value or b"").position
