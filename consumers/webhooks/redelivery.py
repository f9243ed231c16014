"""Deliveries on request: a test, a redelivery, a replay of part of the log. All go through the queue like any other.

An existing delivery keeps its id and its bytes; a missing one is rendered from the log, which gives the same bytes. Refuses
endpoints that are not active, whose deliveries would only wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import Cursor
from uuid_utils.compat import uuid7

from consumers.event_reader import EventReader, position_before
from consumers.webhooks import deliveries, endpoints
from consumers.webhooks.deal_event import parse, row
from consumers.webhooks.deliveries import Row
from consumers.webhooks.endpoints import Version
from domain import event_store
from domain.errors import Conflict, NotFound
from domain.event import Recorded
from projections import clock

TEST = "webhook.test"
MAX_EVENTS = 10_000
"""Events of the org that one request looks through."""


class Replayed(Struct, frozen=True):
    """``queued`` is the number of deliveries. If not all events were looked through, continue at ``next_position``."""

    queued: int
    complete: bool
    next_position: int | None


def test(cursor: Cursor[Any], org_id: UUID, endpoint_id: UUID, opportunity: Mapping[str, Any]) -> UUID:
    """Queue an event of type ``webhook.test`` about a made-up deal; returns the delivery's id."""
    _active(cursor, org_id, endpoint_id)
    id_ = uuid7()
    event_id = f"evt_{id_.hex}"
    body = {
        "id": event_id,
        "type": TEST,
        "created_at": clock.ask(cursor),
        "org_id": org_id,
        "data": {"opportunity": opportunity, "previous": {}},
    }
    made = Row(id_, org_id, endpoint_id, event_id, TEST, None, None, msgspec.json.encode(body).decode())
    deliveries.queue(cursor, [made])
    return id_


def redeliver(cursor: Cursor[Any], org_id: UUID, delivery_id: UUID) -> None:
    cursor.execute("SELECT endpoint_id FROM webhook_deliveries WHERE org_id = %s AND id = %s", (org_id, delivery_id))
    found = cursor.fetchone()
    if found is None:
        raise NotFound("No such delivery.")
    _active(cursor, org_id, found[0])
    deliveries.redeliver(cursor, delivery_id)


def replay(
    cursor: Cursor[Any],
    org_id: UUID,
    endpoint_id: UUID,
    *,
    first: int = 1,
    last: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    undelivered: bool = False,
) -> Replayed:
    """Queue every event that the endpoint, as it is now, wants: from position ``first`` to ``last`` inclusive, recorded ``since``
    and before ``until``. If ``undelivered``, not those that were delivered or are waiting."""
    version = _active(cursor, org_id, endpoint_id)
    after = max(first - 1, position_before(cursor, since) if since else 0)
    upto = min(position for position in (last, position_before(cursor, until) if until else None, 2**62) if position is not None)
    log, seen, queued = EventReader(), 0, 0
    while events := _events(cursor, org_id, after, upto):
        if seen >= MAX_EVENTS:
            return Replayed(queued, False, events[0].position)
        wanted = [one for record in log.records(cursor, events) if (one := _wanted(version, record.value))]
        queued += deliveries.queue_again(cursor, wanted, undelivered=undelivered)
        after = events[-1].position
        seen += len(events)
    return Replayed(queued, True, None)


def _wanted(version: Version, value: bytes) -> Row | None:
    event = parse(value)
    if event is None or not endpoints.matches(version, event.message.type, event.deal):
        return None
    return row(version.endpoint_id, event)


def _events(cursor: Cursor[Any], org_id: UUID, after: int, upto: int) -> list[Recorded]:
    """The next of the org's events about deals."""
    cursor.execute(
        """
        SELECT topic, state, originator_id, originator_version, notification_id FROM opportunities_events
        WHERE org_id = %b AND notification_id > %b AND notification_id <= %b AND topic LIKE 'opportunity.%%'
        ORDER BY notification_id LIMIT 500
        """,
        (org_id, after, upto),
        binary=True,
    )
    return [event_store.decode(*found) for found in cursor.fetchall()]


def _active(cursor: Cursor[Any], org_id: UUID, endpoint_id: UUID) -> Version:
    """The endpoint as it is now. Raises ``NotFound``, ``Conflict``."""
    cursor.execute(
        """
        SELECT position, active, doc FROM directory
        WHERE org_id = %s AND id = %s AND kind = 'webhook_endpoint' AND valid_to = 'infinity' AND NOT deleted
        """,
        (org_id, endpoint_id),
    )
    found = cursor.fetchone()
    if found is None:
        raise NotFound("No such webhook endpoint.")
    position, active, doc = found
    if not active:
        raise Conflict("endpoint_inactive", "The endpoint is not active: set active to true first.")
    return Version(endpoint_id, position, active, endpoints.document(doc))
