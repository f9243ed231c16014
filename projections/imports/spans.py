"""Where in the log the events of an import are, and its feed from there."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from domain.sql_cursor import SqlCursor


def add(cursor: SqlCursor, org_id: UUID, import_id: UUID, beginning: int, ending: int) -> None:
    """The events of a transaction, which go on from the last ones if nobody else wrote in between."""
    cursor.execute(
        """
        WITH longer AS (
            UPDATE import_spans SET ending = %(ending)b::bigint
            WHERE import_id = %(id)b AND ending = %(beginning)b::bigint - 1
                AND beginning = (SELECT max(s.beginning) FROM import_spans s WHERE s.import_id = %(id)b)
            RETURNING 1
        )
        INSERT INTO import_spans (import_id, org_id, beginning, ending)
        SELECT %(id)b::uuid, %(org_id)b::uuid, %(beginning)b::bigint, %(ending)b::bigint WHERE NOT EXISTS (SELECT FROM longer)
        """,
        {"id": import_id, "org_id": org_id, "beginning": beginning, "ending": ending},
        prepare=True,
    )


def positions(cursor: SqlCursor, versions: Sequence[tuple[UUID, int]]) -> list[int]:
    """The positions of the events that left records at these versions, in order."""
    cursor.execute(
        """
        SELECT e.notification_id FROM unnest(%(ids)b::uuid[], %(versions)b::bigint[]) AS v (id, version)
        JOIN opportunities_events e ON e.originator_id = v.id AND e.originator_version = v.version ORDER BY 1
        """,
        {"ids": [id_ for id_, _ in versions], "versions": [version for _, version in versions]},
    )
    return [position for (position,) in cursor.fetchall()]


EVENTS = """
    SELECT e.* FROM (
        SELECT s.beginning, s.ending FROM import_spans s
        WHERE s.org_id = %(org_id)s AND s.import_id = %(import_id)s AND s.ending > %(after)s
        ORDER BY s.beginning LIMIT %(limit)s::int
    ) s CROSS JOIN LATERAL (
        SELECT e.* FROM opportunities_events e
        WHERE e.org_id = %(org_id)s AND e.notification_id >= s.beginning AND e.notification_id > %(after)s
            AND e.notification_id <= s.ending ORDER BY e.notification_id LIMIT %(limit)s::int
    ) e
"""
"""SQL for the next events of an import after a position: of as many spans as events are wanted, and each has one at least."""
