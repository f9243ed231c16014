"""What the outside is told of an event, and what not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event
from msgspec import structs

from consumers import message
from consumers.message import Record
from domain import activity, catalog, log, opportunity, token, user
from domain.epoch import Epoch
from domain.event import Event, Recorded
from domain.fold import change as changed
from tests.support.domain import EPOCH, NOW, STREAM, created, fold, recorded, uuid, won

DEAL = b'{"id":"x","name":"Annual 2026"}'


def told(event: Event, *past: Event, shown: bytes = DEAL, actor: bytes | None = None) -> Record:
    change = changed(fold(past), recorded(event, len(past) + 1))
    return message.record(change, shown, actor, EPOCH)


def test_the_id_of_an_event_follows_from_its_stream_and_version_alone() -> None:
    ids = {message.event_id(recorded(created(), version, stream=stream)) for version in (1, 2) for stream in (uuid(1), uuid(2))}
    assert len(ids) == 4
    assert message.event_id(recorded(created())) == "evt_ad5855e8161353cc8aa9c2df7119ae33"


def test_of_another_epoch_the_same_version_has_another_id() -> None:
    """A receiver that ignores ids it has seen must not ignore what took the place of a lost event."""
    epochs = [EPOCH, *(Epoch(uuid(1001 + n), 1_000_001 * n, 8, 8) for n in (1, 2))]
    assert message.event_id(recorded(created()), EPOCH) == message.event_id(recorded(created()))
    assert len({message.event_id(recorded(created()), epoch) for epoch in epochs}) == 3


def test_the_id_of_an_event_is_what_its_version_is_called_in_its_stream() -> None:
    for version in range(1, 41):
        assert message.event_id(recorded(created(), version)) == f"evt_{uuid5(STREAM, str(version)).hex}"


def test_secrets_and_people_are_not_published() -> None:
    assert not message.is_published(recorded(user.Created(email="a@b.example", name="A", role="rep")))
    assert not message.is_published(recorded(token.Revoked()))
    assert set(catalog.AGGREGATES) - catalog.PUBLISHED == {"user", "token", "webhook_endpoint"}


def test_a_change_tells_the_record_who_did_it_and_what_it_was() -> None:
    record = told(won(), created(), actor=b'{"id":"00000000-0000-0000-0000-0000000000c9","email":"ada@acme.example","name":"Ada"}')
    found = msgspec.json.decode(record.value)
    assert list(found) == ["id", "type", "created_at", "recorded_at", "org_id", "position", "version", "actor", "data", "previous"]
    assert (found["type"], found["version"]) == ("opportunity.won", 2)
    assert found["data"] == {"opportunity": msgspec.json.decode(DEAL)}
    assert found["actor"] == {"id": "00000000-0000-0000-0000-0000000000c9", "email": "ada@acme.example"}
    assert found["previous"]["stage"] == "discovery"
    assert found["previous"]["actual_amount"] is None
    assert "name" not in found["previous"]


@pytest.mark.parametrize(
    ("webhooks", "said"), [(True, {"import_id": str(uuid(6))}), (False, {"import_id": str(uuid(6)), "webhooks": False})]
)
def test_an_imported_event_says_so_and_whether_endpoints_are_told(said: dict[str, Any], *, webhooks: bool) -> None:
    imported = recorded(created())
    imported = structs.replace(imported, meta=structs.replace(imported.meta, import_id=uuid(6), webhooks=webhooks))
    found = msgspec.json.decode(message.record(changed(None, imported), DEAL, None, EPOCH).value)
    assert {name: found[name] for name in ("import_id", "webhooks") if name in found} == said


def test_the_event_that_begins_an_epoch_says_which_and_has_an_id_of_that_one() -> None:
    epoch = Epoch(uuid(5), 2_000_001, 8, 8)
    restored = recorded(log.Restored(epoch=epoch.id, last_good_position=8, first_position=2_000_001))
    record = message.record(changed(None, restored), b"{}", None, epoch)
    assert record.begins == epoch.id
    assert message.decode(record.value).id == message.event_id(restored, epoch) != message.event_id(restored)
    assert told(created()).begins is None


def test_previous_money_is_a_decimal_in_a_string() -> None:
    cut = opportunity.Updated(changes=opportunity.Changes(amount=Decimal("5.00")))
    assert msgspec.json.decode(told(cut, created()).value)["previous"] == {"amount": "24000.00"}


def test_a_creation_has_nothing_previous_and_the_operator_is_nobody() -> None:
    found = msgspec.json.decode(told(created()).value)
    assert (found["previous"], found["actor"]) == ({}, None)


def test_a_deleted_record_is_told_as_it_was_and_marked() -> None:
    found = msgspec.json.decode(told(opportunity.Deleted(), created()).value)
    assert found["data"]["opportunity"] == {"id": "x", "name": "Annual 2026", "deleted": True}


def test_the_key_of_an_activity_is_its_opportunity() -> None:
    logged = activity.Logged(opportunity_id=uuid(7), type="call", subject="Hi", occurred_at=NOW)
    assert told(logged).key == str(uuid(7)).encode()
    assert msgspec.json.decode(told(logged).value)["data"] == {"activity": msgspec.json.decode(DEAL)}
    assert told(created()).key == str(STREAM).encode()


@pytest.mark.parametrize("second", [0, 59])
def test_the_headers_are_cloudevents(second: int) -> None:
    """By the judgement of the project's own package."""
    happened = Recorded(STREAM, 1, created(), recorded(created(), at=datetime(2026, 3, 1, 10, 0, second, tzinfo=UTC)).meta, 42)
    record = message.record(changed(None, happened), DEAL, None, EPOCH)
    assert record.position == 42
    assert [name for name, _ in record.headers] == [name.lower() for name, _ in record.headers]
    headers: dict[str, bytes] = dict(record.headers)
    event: Any = from_binary_event(KafkaMessage(headers=headers, key=record.key, value=record.value))
    assert event.get_id() == message.event_id(happened)
    assert event.get_type() == "opportunity.created"
    assert event.get_source() == f"urn:opportunities:org:{happened.meta.org_id}"
    assert event.get_subject() == f"opportunity/{STREAM}"
    assert event.get_time() == happened.meta.occurred_at
    assert event.get_datacontenttype() == "application/json"
    assert event.get_extension("sequence") == "42"
    assert event.get_extension("epoch") == str(EPOCH.id)
    assert event.get_data()["id"] == event.get_id()
    assert all(isinstance(value, bytes) for value in headers.values())


def test_a_message_is_read_back_as_it_was_written() -> None:
    record = told(created())
    again = message.decode(record.value)
    assert message.encode(again) == record.value
    assert isinstance(again.org_id, UUID)
