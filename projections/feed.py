"""The events of an org, or of one opportunity, in order and as they are shown. The cost of a page depends on the page alone.

A reader goes on after a place: a position, and the mark of the event there. If the log does not know them, it went back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

from domain import catalog, event_store, fold
from domain.errors import LostHistory
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


class Place(NamedTuple):
    """Where a reader is: after the event at a position. Without its mark it is only known to be lost if no event can be there."""

    position: int
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.position}-{self.mark}" if self.mark else str(self.position)


def mark(state: bytes) -> str:
    """The mark of an event, by its stored form: see ``event_mark`` in the schema."""
    return sha256(state).hexdigest()[:8]


def place(row: Sequence[Any]) -> Place:
    """Where a reader is after the last of the columns for ``changes``."""
    return Place(row[4], mark(row[1]))


def checked(found: SqlStatement, after: Place) -> SqlStatement:
    """A page with the columns for ``require_known`` before its own: one row at least."""
    text = f"""
        SELECT l.lost, l.last_good_position, q.* FROM lost_history(%(after)s::bigint, %(mark)s::text) l
        LEFT JOIN ({found.text}) q ON true ORDER BY q.notification_id
    """
    return SqlStatement(text, found.params | {"after": after.position, "mark": after.mark}, found.question)


def known(after: Place) -> SqlStatement:
    """One row for ``require_known``."""
    text = "SELECT l.lost, l.last_good_position FROM lost_history(%(after)s::bigint, %(mark)s::text) l"
    return SqlStatement(text, {"after": after.position, "mark": after.mark}, questions.FEED)


def require_known(rows: Sequence[tuple[Any, ...]], after: Place) -> list[tuple[Any, ...]]:
    """The rows of a page that was ``checked``, as without. Raises ``LostHistory`` if the place is none of this log's."""
    lost, good = rows[0][:2]
    if not lost:
        return [row[2:] for row in rows if row[2:3] != (None,)]
    if good is None:
        remedy = "Read again after a position from before the restore, or from the beginning (after=0)."
    else:
        remedy = f"Drop what you have read after position {good}, and go on with after={good}."
    raise LostHistory(
        f"The log has no such event at position {after.position}: the database was restored from a backup. {remedy}", good
    )


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
    """Position and mark of the org's last event, 0 and an empty one if there is none."""
    text = """
        SELECT coalesce(max(e.notification_id), 0), coalesce(min(event_mark(e.state)), '') FROM (
            SELECT notification_id, state FROM opportunities_events
            WHERE org_id = %(org_id)s ORDER BY notification_id DESC LIMIT 1
        ) e
    """
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
