"""An event of a deal as endpoints are told of it: read from a record, matched with endpoints, and rendered as a body."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct
from psycopg import Cursor
from uuid_utils.compat import uuid7

from consumers.message import Message
from consumers.message import decode as decode_message
from consumers.webhooks import endpoints
from consumers.webhooks.deliveries import Row
from consumers.webhooks.endpoints import Deal
from domain.webhook_endpoint import EVENT_TYPES

_TYPES = frozenset[str](EVENT_TYPES)


class DealEvent(NamedTuple):
    """An event of a deal that endpoints can be notified of."""

    message: Message
    deal: Deal


class _Data(Struct):
    opportunity: Raw
    previous: Raw


class _Body(Struct):
    id: str
    type: str
    created_at: datetime
    org_id: str
    data: _Data


_encode = msgspec.json.Encoder().encode


def body(message: Message) -> str:
    """The body that endpoints are sent, the same whenever it is rendered."""
    data = _Data(message.data["opportunity"], message.previous)
    return _encode(_Body(message.id, message.type, message.created_at, str(message.org_id), data)).decode()


def parse(value: bytes | None) -> DealEvent | None:
    """The event in a record's value, None for what endpoints are not told of. Raises ``msgspec.DecodeError``."""
    message = decode_message(value or b"")
    if message.type not in _TYPES or message.webhooks is False:
        return None
    if "opportunity" not in message.data:
        raise msgspec.ValidationError("The data has no opportunity.")
    return DealEvent(message, endpoints.deal(message.data["opportunity"]))


def row(endpoint_id: Any, event: DealEvent) -> Row:
    message = event.message
    return Row(uuid7(), message.org_id, endpoint_id, message.id, message.type, event.deal.id, message.position, body(message))


def rows(cursor: Cursor[Any], events: Sequence[DealEvent]) -> list[Row]:
    """The deliveries of some events, to the endpoints as they stood at each."""
    found = endpoints.versions(cursor, {event.message.org_id for event in events}) if events else {}
    wanted = []
    for event in events:
        for history in found.get(event.message.org_id, ()):
            version = endpoints.at(history, event.message.position)
            if version is not None and endpoints.matches(version, event.message.type, event.deal):
                wanted.append(row(version.endpoint_id, event))
    return wanted
