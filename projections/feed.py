"""The org's events in order, as the feed shows them. Refuses to guess what changed: it folds the streams the events
belong to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain import event_store
from domain.event import Recorded
from projections.condition import Query
from projections.history import Entry, entries

HEAD = "SELECT NULL::uuid, coalesce(max(notification_id), 0) FROM opportunities_events"
BEYOND = "SELECT org_id, max(notification_id) FROM opportunities_events WHERE notification_id > %s GROUP BY org_id"
"""Statements for (org or NULL, position of its last event): of the log, and of each org with events beyond a position."""


FOR_ADMINS = ("token", "webhook_endpoint")
"""Kinds of records that nobody else can read, so nor can they be read here."""


def streams(org_id: UUID, after: int, limit: int, *, admin: bool) -> Query:
    """The streams of the next ``limit`` events beyond a position, each up to the last of these events, one after the
    other."""
    hidden = "" if admin else " AND split_part(topic, '.', 1) <> ALL(%(hidden)s)"
    text = f"""
        WITH page AS MATERIALIZED (
            SELECT notification_id, originator_id FROM opportunities_events
            WHERE org_id = %(org_id)s AND notification_id > %(after)s{hidden} ORDER BY notification_id LIMIT {limit:d}
        )
        SELECT e.topic, e.state, e.originator_id, e.originator_version, e.notification_id
        FROM opportunities_events e
        WHERE e.originator_id IN (SELECT originator_id FROM page)
          AND e.notification_id <= (SELECT max(notification_id) FROM page) AND e.org_id = %(org_id)s
        ORDER BY e.originator_id, e.originator_version
    """
    params: dict[str, Any] = {"org_id": org_id, "after": after}
    return Query(text, params if admin else {**params, "hidden": list(FOR_ADMINS)})


def recorded(rows: Sequence[tuple[Any, ...]]) -> list[Recorded]:
    return [event_store.decode(*row) for row in rows]


def page(events: Sequence[Recorded], after: int, actors: dict[UUID, dict[str, Any]]) -> list[Entry]:
    """The entries beyond ``after`` in order of position, from whole streams."""
    return sorted((entry for entry in entries(events, actors) if entry.position > after), key=lambda entry: entry.position)
