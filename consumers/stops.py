"""Why a follower of the log has stopped, noted in its checkpoint. The next detail that its owner saves has no such note."""

from __future__ import annotations

from typing import Any

from psycopg import Cursor

GAUGES = "SELECT name, label, value FROM log_gauges()"
"""Statement for (name, label, value) of the Prometheus metrics of the log."""


def note(cursor: Cursor[Any], name: str, reason: str) -> None:
    cursor.execute(
        """
        INSERT INTO checkpoints AS c (name, position, detail) VALUES (%s, 0, jsonb_build_object('went_back', %s::text))
        ON CONFLICT (name) DO UPDATE SET detail = c.detail || excluded.detail
        """,
        (name, reason),
    )


def reason(cursor: Cursor[Any], pattern: str) -> str | None:
    """Of a checkpoint whose name is like this; None if its owner has not stopped."""
    row = cursor.execute("SELECT min(detail ->> 'went_back') FROM checkpoints WHERE name LIKE %s", (pattern,)).fetchone()
    return row[0] if row else None
