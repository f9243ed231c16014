"""The AsyncAPI 3 document of the topic: every message that may be on it, from the types that render them. It names no brokers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Raw, Struct, UnsetType

from app.http import shared
from app.http.json_schema import REF, Schemas, shown
from app.http.operations import Json, describe
from app.http.request_context import Http
from app.resources.opportunity_examples import ID, ITEM, OWNER_ID
from app.resources.opportunity_types import Opportunity
from app.schema import openapi, pages
from app.settings import Settings
from consumers import message
from consumers.kafka_settings import MAX_MESSAGE_BYTES, retention_ms
from consumers.message import Actor, Message
from domain import catalog
from domain.custom_field import Definition
from projections.exchange_rates import ExchangeRate

VERSION = "3.1.0"
BINDING = "0.5.0"
CHANNEL = "events"
DESCRIPTION = """\
Every change of every org, published after it was committed: at least once, and in order for each key.

The key is the id of the opportunity for events about it and its activities, else the id of the record. The value is JSON,
the headers are those of CloudEvents 1.0 in binary mode. A message that is sent twice is the same both times: ignore an
`id` that you have seen, or a `position` that is not after the last one of its key. Ignore fields and types that you do not know.

After the database was restored from a backup, `log.restored` comes on every partition, before the first message of the new
epoch, with the same `id` on each. What you have after `last_good_position` and with another `ce_epoch` is lost: drop it, and
forget its positions, for some of what follows may have the same ones. No `id` of a lost message comes again.
"""


class OpportunityTold(Opportunity):
    """The opportunity as a list shows it right after the event; a deleted one as it last was."""

    deleted: bool | UnsetType = UNSET


def _noun(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))


def _record(kind: str) -> type[Struct]:
    """The record as the API shows it; for a kind that can be deleted, with a ``deleted`` member."""
    state = catalog.AGGREGATES[kind].module.State
    record = shown(state, _noun(kind))
    if "deleted" not in state.__struct_fields__:
        return record
    return msgspec.defstruct(f"{_noun(kind)}Told", [("deleted", bool | UnsetType, UNSET)], bases=(record,))


# Kinds with a read model of their own are described here; for all others the state is.
_DESCRIBED: dict[str, Any] = {"opportunity": OpportunityTold, "custom_field": list[Definition], "exchange_rate": ExchangeRate}
DATA: dict[str, Any] = {kind: _DESCRIBED.get(kind) or _record(kind) for kind in sorted(catalog.PUBLISHED)}
"""Kind of record → what ``data`` shows of it."""

HEADERS: dict[str, str] = {
    "content-type": "`application/json`.",
    "ce_specversion": "Of CloudEvents.",
    "ce_id": "The event's id; it never changes.",
    "ce_source": "The org, `urn:opportunities:org:<id>`.",
    "ce_type": "What happened.",
    "ce_subject": "The record, `<kind>/<id>`.",
    "ce_time": "When it occurred.",
    "ce_sequence": "The event's position in the log.",
    "ce_epoch": "The log's epoch that the event is of: a new one begins when the database was restored from a backup.",
}


def document(settings: Settings) -> Json:
    schemas = Schemas()
    for kind in DATA:
        schemas.of(payload_of(kind))
    components = schemas.components()
    del components["Problem"]
    messages = {name: _message(name) for name in types()}
    return {
        "asyncapi": VERSION,
        "info": {"title": "Opportunities", "version": openapi.product_version(), "description": DESCRIPTION},
        "defaultContentType": message.CONTENT_TYPE,
        "channels": {
            CHANNEL: {
                "address": settings.kafka_topic,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"kafka": _topic(settings)},
            }
        },
        "operations": {
            "publish": {
                "action": "send",
                "summary": "What happened, in the order in which it was committed.",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "messages": [{"$ref": f"#/channels/{CHANNEL}/messages/{name}"} for name in messages],
            }
        },
        "components": {"messages": messages, "schemas": components},
    }


def types() -> list[str]:
    """The public names of all published events."""
    stored = [name for name in catalog.EVENTS if name.partition(".")[0] in catalog.PUBLISHED]
    return list(dict.fromkeys(map(catalog.public_name, stored)))


def payload_of(kind: str) -> type[Struct]:
    """A type of the message for events of one kind of record."""
    data = msgspec.defstruct(f"{_noun(kind)}Data", [(kind, DATA[kind])])
    fields = {field.name: field.type for field in msgspec.structs.fields(Message) if field.required}
    fields |= {"data": data, "previous": dict[str, Any]}
    optional = [(field.name, field.type, field.default) for field in msgspec.structs.fields(Message) if not field.required]
    return msgspec.defstruct(f"{_noun(kind)}Message", [*fields.items(), *optional])


def _message(name: str) -> Json:
    payload = REF.format(name=payload_of(name.partition(".")[0]).__name__)
    described: Json = {
        "name": name,
        "title": name,
        "contentType": message.CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {header: {"type": "string", "description": meaning} for header, meaning in HEADERS.items()},
            "required": list(HEADERS),
        },
        "payload": {"allOf": [{"$ref": payload}, {"properties": {"type": {"const": name}}}]},
        "bindings": {"kafka": {"key": {"type": "string", "format": "uuid"}, "bindingVersion": BINDING}},
    }
    if name == "opportunity.stage_changed":
        described["examples"] = [{"name": "moved", "payload": _example()}]
    return described


def _example() -> Json:
    """A message of ``opportunity.stage_changed``."""
    at = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    sample = Message(
        id="evt_5540bd8837d15d60aba6bbd4de38fbc4",
        type="opportunity.stage_changed",
        created_at=at,
        recorded_at=at,
        org_id=UUID("0197a3c2-7b00-7000-8000-00000000e001"),
        position=1404,
        version=2,
        actor=Actor(UUID(OWNER_ID), "rep@yours.com"),
        data={"opportunity": Raw(msgspec.json.encode({**ITEM, "id": ID}))},
        previous=Raw(msgspec.json.encode({"stage": "discovery", "probability": 20})),
    )
    example: Json = msgspec.json.decode(message.encode(sample))
    return example


def _topic(settings: Settings) -> Json:
    binding: Json = {"topic": settings.kafka_topic, "partitions": settings.kafka_partitions, "bindingVersion": BINDING}
    if settings.kafka_replication:
        binding["replicas"] = settings.kafka_replication
    binding["topicConfiguration"] = {
        "retention.ms": retention_ms(settings.kafka_retention_hours),
        "max.message.bytes": MAX_MESSAGE_BYTES,
    }
    return binding


@get("/schema/asyncapi.json", opt=describe("Documentation", "The stream's AsyncAPI document", answer=dict[str, Any]))
async def get_asyncapi(request: Http) -> ASGIResponse:
    return pages.sent(request, shared.from_request(request).asyncapi)


HANDLERS = (get_asyncapi,)
