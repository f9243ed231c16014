"""What the ids of a file with history mean here."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from domain.sql_cursor import SqlCursor


class Known(NamedTuple):
    """A record of the file, and which one it is here: one that is ``made``, or that was here."""

    kind: str
    old: UUID
    new: UUID
    made: bool


def clear(cursor: SqlCursor, import_id: UUID) -> None:
    cursor.execute("DELETE FROM import_ids WHERE import_id = %(id)s", {"id": import_id})


def add(cursor: SqlCursor, org_id: UUID, import_id: UUID, known: Sequence[Known]) -> None:
    if not known:
        return
    kinds, old, new, made = zip(*known, strict=True)
    cursor.execute(
        """
        INSERT INTO import_ids (import_id, org_id, kind, old_id, new_id, made)
        SELECT %(id)b::uuid, %(org_id)b::uuid, k.kind, k.old_id, k.new_id, k.made
        FROM unnest(%(kinds)b::text[], %(old)b::uuid[], %(new)b::uuid[], %(made)b::boolean[]) AS k (kind, old_id, new_id, made)
        ON CONFLICT (import_id, old_id) DO NOTHING
        """,
        {"id": import_id, "org_id": org_id, "kinds": list(kinds), "old": list(old), "new": list(new), "made": list(made)},
    )


def find(cursor: SqlCursor, import_id: UUID, old: Collection[UUID]) -> dict[UUID, Known]:
    """Those of the ids that have come, by id in the file."""
    if not old:
        return {}
    cursor.execute(
        "SELECT kind, old_id, new_id, made FROM import_ids WHERE import_id = %(id)s AND old_id = ANY(%(old)s::uuid[])",
        {"id": import_id, "old": list(old)},
    )
    return {row[1]: Known(*row) for row in cursor.fetchall()}
