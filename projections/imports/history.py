"""The past of deals as an import's history files have it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from psycopg import Cursor


def clear(cursor: Cursor[Any], import_id: UUID) -> None:
    cursor.execute("DELETE FROM import_history WHERE import_id = %s", (import_id,))
    cursor.execute("DELETE FROM import_faults WHERE import_id = %s AND file > 0", (import_id,))


def add(cursor: Cursor[Any], org_id: UUID, import_id: UUID, file: int, entries: Sequence[tuple[int, str, str]]) -> None:
    """Lines with the deal's key and the entry as JSON."""
    cursor.execute(
        """
        INSERT INTO import_history (import_id, org_id, file, line, key, entry)
        SELECT %(id)s, %(org_id)s, %(file)s, e.line, e.key, e.entry::jsonb
        FROM unnest(%(lines)s::bigint[], %(keys)s::text[], %(entries)s::text[]) AS e (line, key, entry)
        """,
        {
            "id": import_id,
            "org_id": org_id,
            "file": file,
            "lines": [line for line, _, _ in entries],
            "keys": [key for _, key, _ in entries],
            "entries": [entry for _, _, entry in entries],
        },
    )


def of_keys(cursor: Cursor[Any], import_id: UUID, keys: Collection[str]) -> list[tuple[str, str]]:
    """(key, entry as JSON) of some deals, in the order of their files."""
    cursor.execute(
        "SELECT key, entry::text FROM import_history WHERE import_id = %s AND key = ANY(%s) ORDER BY file, line",
        (import_id, list(keys)),
    )
    return cursor.fetchall()
