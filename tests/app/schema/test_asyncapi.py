"""The AsyncAPI document is true: every message on the topic is as it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from app.dev import demo
from app.schema import asyncapi
from app.settings import Settings
from app.writing.committer import Committer
from consumers import database
from consumers.event_reader import EventReader
from consumers.message import Record
from domain import account, activity, catalog, contact, custom_field, exchange_rate, opportunity, organization, pipeline
from domain.log import Restore, stream_id
from tests.support.commands import Company
from tests.support.domain import EPOCH, NOW
from tests.support.scenarios import Org, made

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    return asyncapi.document(Settings(database_url="postgresql://nowhere/none", kafka_topic="acme.deals", kafka_partitions=3))


def resolved(document: Json, ref: str) -> Json:
    node: Any = document
    for part in ref.removeprefix("#/").split("/"):
        node = node[part]
    found: Json = node
    return found


def rendered(url: str) -> Iterator[Record]:
    log, position = EventReader(), 0
    with database.connect(url, "test") as connection, connection.cursor() as cursor:
        while chunk := log.read(cursor, position, 500):
            position = chunk.position
            yield from chunk.records


def test_every_message_is_as_it_says(document: Json, database_url: str) -> None:
    demo.create(database_url)
    with closing(Committer(database_url)) as committer:
        company = Company(committer)
        contact_id = company.do(contact.Create(first_name="Jane", last_name="Doe")).stream_id
        company.do(contact.Update(title="CFO"), contact_id)
        spare = company.do(account.Create(name="Spare")).stream_id
        company.do(account.Update(name="Spared"), spare)
        company.do(account.Delete(), spare)
        deal = company.deal(amount=Decimal(5), stakeholder_ids=(contact_id,))
        company.do(activity.Log(opportunity_id=deal, type="call", subject="Hi", occurred_at=NOW))
        fields = custom_field.stream_id(company.id)
        company.do(custom_field.Create(key="tier", label="Tier", type="text"), fields)
        company.do(custom_field.Update(field="tier", label="Level"), fields)
        company.do(custom_field.Delete(key="tier"), fields)
        rate = exchange_rate.Set(currency="EUR", valid_from=NOW.date(), rate=Decimal("1.1"))
        company.do(rate, exchange_rate.stream_id(company.id, "EUR"))
        company.do(organization.Update(name="Acme Inc"), organization.stream_id(company.id))
        company.do(msgspec.structs.replace(pipeline.DEFAULT, transitions="no_skip"), pipeline.stream_id(company.id))
        company.do(opportunity.ChangeStage(stage="lost", lost_reason="price"), deal)
        company.do(opportunity.ChangeStage(stage="discovery"), deal)
        company.do(opportunity.Delete(), deal)
        company.do(opportunity.Restore(), deal)
        company.do(opportunity.Delete(), deal)
        company.do(contact.Delete(), contact_id)
        company.as_operator(Restore(epoch=EPOCH), stream_id(company.id))
    messages = document["components"]["messages"]
    validators = {
        name: jsonschema_rs.validator_for({**described["payload"], "components": document["components"]}, validate_formats=True)
        for name, described in messages.items()
    }
    seen = set()
    for record in rendered(database_url):
        headers = dict(record.headers)
        name = headers["ce_type"].decode()
        validators[name].validate(msgspec.json.decode(record.value))
        assert set(messages[name]["headers"]["required"]) == set(headers)
        seen.add(name)
    assert seen == set(messages)


def test_it_has_every_published_type_and_no_other(document: Json) -> None:
    published = {name.rsplit(".v", 1)[0] for name in catalog.EVENTS if name.partition(".")[0] in catalog.PUBLISHED}
    assert set(document["components"]["messages"]) == published
    assert set(asyncapi.DATA) == catalog.PUBLISHED


def test_its_references_lead_somewhere(document: Json) -> None:
    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if "$ref" in node:
                yield node["$ref"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    references = list(walk(document))
    assert references
    assert all(resolved(document, reference) for reference in references)


def test_it_names_the_topic_of_the_settings(document: Json) -> None:
    (channel,) = document["channels"].values()
    assert channel["address"] == "acme.deals"
    assert channel["bindings"]["kafka"]["partitions"] == 3
    (operation,) = document["operations"].values()
    assert operation["action"] == "send"


def test_it_is_there_for_everybody(org: Org) -> None:
    reply = org.with_token(None).get("/schema/asyncapi.json")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert made(reply, 200)["asyncapi"] == asyncapi.VERSION


def test_its_example_is_a_message(document: Json) -> None:
    described = document["components"]["messages"]["opportunity.stage_changed"]
    validator = jsonschema_rs.validator_for({**described["payload"], "components": document["components"]})
    (example,) = described["examples"]
    validator.validate(example["payload"])
