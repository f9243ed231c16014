"""The events of an org, or of one opportunity, in order and as they are shown. The cost of a page depends on the page alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from domain import catalog, event_store, fold
from domain.fold import Change
from projections import before, questions
from projections.conditions import SqlStatement
from projections.history import HistoryEntry, entry
from projections.imports import spans

HEAD = "SELECT NULL::uuid, coalesce(max(notification_id), 0) FROM opportunities_events"
BEYOND = "SELECT org_id, max(notification_id) FROM opportunities_events WHERE notification_id > %(position)s GROUP BY org_id"
"""Statements for (org or NULL, position of its last event): of the log, and of each org with events after a position."""

MAX_SIZE = 8 * 1024 * 1024
"""Roughly the bytes that a page may hold: one or two thousand an event are usual, some have megabytes."""

_EVENT = f"e.topic, e.state, e.originator_id, e.originator_version, e.notification_id, ({before.before('e')})::varchar"


def page(org_id: UUID, after: int, limit: int, *, admin: bool, import_id: UUID | None = None, size: int = MAX_SIZE) -> SqlStatement:
    """The next events of an org, or of one of its imports, after a position: (how many were found, then columns for ``changes``),
    the first ones up to roughly ``size`` bytes, or a larger one alone."""
    hidden = "" if admin else " AND split_part(topic, '.', 1) <> ALL(%(hidden)s)"
    source = f"({spans.EVENTS}) imported" if import_id is not None else "opportunities_events"
    text = f"""
        WITH e AS MATERIALIZED (
            SELECT * FROM {source}
            WHERE org_id = %(org_id)s AND notification_id > %(after)s{hidden} ORDER BY notification_id LIMIT %(limit)s::int
        ), sized AS MATERIALIZED (
            SELECT e.*, count(*) OVER () AS found, coalesce(sum(octet_length(e.state) + {before.size("e")}) OVER (
                ORDER BY e.notification_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS preceding FROM e
        )
        SELECT e.found, {_EVENT} FROM sized e WHERE e.preceding < %(size)s ORDER BY e.notification_id
    """
    params: dict[str, Any] = {"org_id": org_id, "after": after, "limit": limit, "size": size}
    if import_id is not None:
        params["import_id"] = import_id
    return SqlStatement(text, params if admin else {**params, "hidden": sorted(catalog.FOR_ADMINS)}, questions.FEED)


def of_opportunity(org_id: UUID, id_: UUID, limit: int, offset: int) -> SqlStatement:
    """A part of an opportunity's events: (how many it has, then columns for ``changes``); a row of NULLs if the part is empty, no
    row for an opportunity that never existed."""
    text = f"""
        SELECT o.version, {_EVENT} FROM opportunities o
        LEFT JOIN opportunities_events e ON e.originator_id = o.id
            AND e.originator_version > %(offset)s::bigint AND e.originator_version <= %(offset)s::bigint + %(limit)s
        WHERE o.id = %(id)s AND o.org_id = %(org_id)s AND o.valid_to = 'infinity' ORDER BY e.originator_version
    """
    return SqlStatement(text, {"org_id": org_id, "id": id_, "limit": limit, "offset": offset}, questions.HISTORY)


def last(org_id: UUID) -> SqlStatement:
    """The position of the org's last event."""
    text = "SELECT coalesce(max(notification_id), 0) FROM opportunities_events WHERE org_id = %(org_id)s"
    return SqlStatement(text, {"org_id": org_id}, questions.FEED)


def changes(rows: Sequence[tuple[Any, ...]]) -> list[Change]:
    found = []
    for *row, state in rows:
        recorded = event_store.decode(*row)
        found.append(fold.change(before.state(type(recorded.event), state), recorded))
    return found


def entries(changes: Sequence[Change], actors: Mapping[UUID, dict[str, Any]]) -> list[HistoryEntry]:
    return [entry(change, actors) for change in changes]


def actors(changes: Sequence[Change]) -> list[UUID]:
    """The ids of the actors."""
    return list({id_ for change in changes if (id_ := change.recorded.meta.actor_id)})
