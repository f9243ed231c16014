"""Events as published: the message on the topic, its id, its key and its CloudEvents headers.

A message is rendered from the log alone, so it is the same whenever it is rendered. Users, tokens and webhook endpoints are not
published; of the actor only the id and the email are.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from domain import activity, catalog
from domain.event import Recorded, State
from domain.fold import Change
from projections.history import difference, public_type

CONTENT_TYPE = "application/json"
SOURCE = "urn:opportunities:org:"
REPUBLISHED = "ce_republished"
"""The header of a record that was published again by hand."""

Headers = list[tuple[str, bytes]]


class Actor(Struct, frozen=True):
    """Who did it, with the email at that time."""

    id: UUID
    email: str


class Message(Struct, frozen=True, kw_only=True):
    """The value of a record on the topic, as JSON.

    ``data`` has one member, named after the kind of record. It shows the record as the API did right after the event; a deleted one
    as it last was, with ``deleted: true``. ``previous`` has the old value of each field that the event changed, and is empty for a
    creation. ``created_at`` is when the event occurred, ``version`` the record's version. ``actor`` is null for the operator.
    ``import_id`` is there for imported events, of which endpoints are told unless ``webhooks`` is false.
    """

    id: str
    type: str
    created_at: datetime
    recorded_at: datetime
    org_id: UUID
    position: int
    version: int
    actor: Actor | None
    data: dict[str, Raw]
    previous: Raw
    import_id: UUID | UnsetType = UNSET
    webhooks: bool | UnsetType = UNSET


class Record(NamedTuple):
    """A message on its way to the topic."""

    position: int
    key: bytes
    value: bytes
    headers: Headers


_ALWAYS: Headers = [("content-type", CONTENT_TYPE.encode()), ("ce_specversion", b"1.0")]

encode = msgspec.json.Encoder(decimal_format="string").encode
_members = msgspec.json.Decoder(dict[str, Raw])
decode = msgspec.json.Decoder(Message).decode
"""The message in a record's value. Raises ``msgspec.DecodeError`` for any other bytes."""


def event_id(recorded: Recorded) -> str:
    """The id of an event, derived from its stream and version; it never changes."""
    return f"evt_{uuid5(recorded.stream_id, str(recorded.version)).hex}"


def is_published(recorded: Recorded) -> bool:
    return catalog.kind_of_event(type(recorded.event)) in catalog.PUBLISHED


def record(change: Change, shown: bytes, actor: bytes | None) -> Record:
    """The record of an event. ``shown`` is the record it is about, as JSON, and ``actor`` who did it."""
    recorded, before, after = change
    kind = catalog.kind_of_event(type(recorded.event))
    if getattr(after, "deleted", False):
        shown = encode({**_members.decode(shown), "deleted": True})
    message = Message(
        id=event_id(recorded),
        type=public_type(recorded),
        created_at=recorded.meta.occurred_at,
        recorded_at=recorded.meta.recorded_at,
        org_id=recorded.meta.org_id,
        position=recorded.position,
        version=recorded.version,
        actor=msgspec.json.decode(actor, type=Actor) if actor else None,
        data={kind: Raw(shown)},
        previous=Raw(encode(previous(before, after))),
        import_id=recorded.meta.import_id or UNSET,
        webhooks=UNSET if recorded.meta.webhooks else False,
    )
    key = str(after.opportunity_id if isinstance(after, activity.State) else after.id).encode()
    return Record(recorded.position, key, encode(message), headers(message, kind, after.id))


def previous(before: State | None, after: State) -> dict[str, object]:
    """The old value of each field that changed, by its name in the history; empty for a creation."""
    return {} if before is None else {name: old for name, (old, _) in difference(before, after).items()}


def headers(message: Message, kind: str, id_: UUID) -> Headers:
    """CloudEvents 1.0 in binary mode: the value is the data, the attributes are headers."""
    time = encode(message.created_at)[1:-1]
    return [
        *_ALWAYS,
        ("ce_id", message.id.encode()),
        ("ce_source", f"{SOURCE}{message.org_id}".encode()),
        ("ce_type", message.type.encode()),
        ("ce_subject", f"{kind}/{id_}".encode()),
        ("ce_time", time),
        ("ce_sequence", str(message.position).encode()),
    ]
