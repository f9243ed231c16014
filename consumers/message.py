"""Events as published: the message on the topic, its id, its key and its CloudEvents headers.

A message is rendered from the log and its epochs alone, so it is the same whenever it is rendered. Users, tokens and webhook
endpoints are not published; of the actor only the id and the email are.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from domain import activity, catalog
from domain.epoch import Epoch
from domain.event import Recorded, State
from domain.fold import Change
from domain.log import Restored
from projections.history import difference, public_type

CONTENT_TYPE = "application/json"
SOURCE = "urn:opportunities:org:"
REPUBLISHED = "ce_republished"
"""The header of a record that was published again by hand."""

EPOCH = "ce_epoch"
RESTORED = "log.restored"
"""The type of the events that begin an epoch."""

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
    """A message on its way to the topic. ``begins`` is the epoch that begins with its event; None for any other event."""

    position: int
    key: bytes
    value: bytes
    headers: Headers
    begins: UUID | None = None


_ALWAYS: Headers = [("content-type", CONTENT_TYPE.encode()), ("ce_specversion", b"1.0")]

_VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""Of a UUID: the two highest bits of this digit are set."""

encode = msgspec.json.Encoder(decimal_format="string").encode
_members = msgspec.json.Decoder(dict[str, Raw])
decode = msgspec.json.Decoder(Message).decode
"""The message in a record's value. Raises ``msgspec.DecodeError`` for any other bytes."""


def event_id(recorded: Recorded, epoch: Epoch | None = None) -> str:
    """The id of an event, derived from its stream and version, and after the first epoch from its epoch; it never changes.

    A restored log gives versions again that others have seen with another event.
    """
    name = str(recorded.version) if epoch is None or epoch.is_first else f"{recorded.version} {epoch.id}"
    # The hex form of ``uuid5``, which takes five times longer to make an object of it.
    digest = sha1(recorded.stream_id.bytes + name.encode(), usedforsecurity=False).hexdigest()
    return f"evt_{digest[:12]}5{digest[13:16]}{_VARIANT[digest[16]]}{digest[17:32]}"


def is_published(recorded: Recorded) -> bool:
    return catalog.kind_of_event(type(recorded.event)) in catalog.PUBLISHED


def record(change: Change, shown: bytes, actor: bytes | None, epoch: Epoch) -> Record:
    """The record of an event of an epoch. ``shown`` is the record it is about, as JSON, and ``actor`` who did it."""
    recorded, before, after = change
    kind = catalog.kind_of_event(type(recorded.event))
    if getattr(after, "deleted", False):
        shown = encode({**_members.decode(shown), "deleted": True})
    message = Message(
        id=event_id(recorded, epoch),
        type=public_type(recorded),
        created_at=recorded.meta.occurred_at,
        recorded_at=recorded.meta.recorded_at,
        org_id=recorded.meta.org_id,
        position=recorded.position,
        version=recorded.version,
        actor=_actor(actor) if actor else None,
        data={kind: Raw(shown)},
        previous=Raw(encode(previous(before, after))),
        import_id=recorded.meta.import_id or UNSET,
        webhooks=UNSET if recorded.meta.webhooks else False,
    )
    key = str(after.opportunity_id if isinstance(after, activity.State) else after.id).encode()
    begins = recorded.event.epoch if isinstance(recorded.event, Restored) else None
    return Record(recorded.position, key, encode(message), headers(message, kind, after.id, epoch), begins)


@lru_cache(maxsize=10_000)
def _actor(card: bytes) -> Actor:
    return msgspec.json.decode(card, type=Actor)


@lru_cache(maxsize=10_000)
def _source(org_id: UUID) -> tuple[str, bytes]:
    return "ce_source", f"{SOURCE}{org_id}".encode()


@lru_cache(maxsize=100)
def _epoch(id_: UUID) -> tuple[str, bytes]:
    return EPOCH, str(id_).encode()


def previous(before: State | None, after: State) -> dict[str, object]:
    """The old value of each field that changed, by its name in the history; empty for a creation."""
    return {} if before is None else {name: old for name, (old, _) in difference(before, after).items()}


def headers(message: Message, kind: str, id_: UUID, epoch: Epoch) -> Headers:
    """CloudEvents 1.0 in binary mode: the value is the data, the attributes are headers."""
    time = encode(message.created_at)[1:-1]
    return [
        *_ALWAYS,
        ("ce_id", message.id.encode()),
        _source(message.org_id),
        ("ce_type", message.type.encode()),
        ("ce_subject", f"{kind}/{id_}".encode()),
        ("ce_time", time),
        ("ce_sequence", str(message.position).encode()),
        _epoch(epoch.id),
    ]
