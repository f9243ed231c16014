"""What the outside is told of an event: the message on the topic, its id, its key and its CloudEvents headers.

A message is rendered from the log alone, so it is the same bytes whenever it is rendered. Refuses what is nobody's business
outside: users, tokens and webhook endpoints are never published, and of an event's actor there is the id and the email.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw, Struct

from domain import activity, catalog
from domain.event import Recorded, State
from projections.history import difference, public_type

TOPIC = "opportunities.events"
PUBLISHED = frozenset(
    {"opportunity", "activity", "account", "contact", "pipeline", "custom_field", "exchange_rate", "organization"}
)
CONTENT_TYPE = "application/json"
REPUBLISHED = "ce_republished"
"""The header of a record that was sent again by hand."""

Headers = list[tuple[str, bytes]]


class Actor(Struct, frozen=True):
    """Who did it, with the email of that time."""

    id: UUID
    email: str


class Message(Struct, frozen=True, kw_only=True):
    """The value of a record on the topic, JSON.

    ``data`` has one member, named for the kind of record, which shows it as the API did right after the event; a deleted
    one as it was last, with ``deleted: true``. ``previous`` has the old value of each field that the event changed, empty
    for a creation. ``created_at`` is when it occurred. ``actor`` is null for the operator.
    """

    id: str
    type: str
    created_at: Any
    recorded_at: Any
    org_id: UUID
    position: int
    version: int
    actor: Actor | None
    data: dict[str, Raw]
    previous: Raw


class Record(NamedTuple):
    """A message on its way to the topic."""

    position: int
    key: bytes
    value: bytes
    headers: Headers


_encode = msgspec.json.Encoder(decimal_format="string").encode
