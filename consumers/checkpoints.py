"""How far each follower of the log has come. A checkpoint moves only if nobody else has moved it since it was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from psycopg import Cursor

RELAY = "relay"


class Lag(NamedTuple):
    """How far a checkpoint is behind the log: events after it (a million at most), seconds since the oldest of them was recorded,
    and seconds since its owner was last seen working."""

    position: int
    events: int
    seconds: float
    unseen: float


LAG = 'SELECT l."position", l.events, l.seconds, l.unseen FROM lag_of(%(name)s) l'
"""Statement for the ``Lag`` of a checkpoint; no row if nobody has ever followed the log."""


def load(cursor: Cursor[Any], name: str) -> tuple[int, dict[str, Any]]:
    """Position and detail; position 0 if there is no checkpoint yet."""
    row = cursor.execute("SELECT position, detail::text FROM checkpoints WHERE name = %s", (name,)).fetchone()
    return (row[0], msgspec.json.decode(row[1])) if row else (0, {})


def save(cursor: Cursor[Any], name: str, position: int, detail: dict[str, Any] | None = None) -> None:
    """Set the position, and ``detail`` if given."""
    cursor.execute(
        """
        INSERT INTO checkpoints AS c (name, position, detail) VALUES (%b, %b, coalesce(%t::jsonb, '{}'))
        ON CONFLICT (name) DO UPDATE SET
            position = excluded.position, detail = coalesce(%t::jsonb, c.detail), updated_at = clock_timestamp()
        """,
        (name, position, text := None if detail is None else msgspec.json.encode(detail).decode(), text),
        prepare=True,
    )


def save_all(cursor: Cursor[Any], states: Mapping[str, tuple[int, dict[str, Any]]]) -> None:
    """Set position and detail of several checkpoints."""
    cursor.execute(
        """
        INSERT INTO checkpoints AS c (name, position, detail)
        SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[]::jsonb[]) AS n (name, position, detail) ORDER BY name
        ON CONFLICT (name) DO UPDATE SET position = excluded.position, detail = excluded.detail, updated_at = clock_timestamp()
        """,
        (
            list(states),
            [position for position, _ in states.values()],
            [msgspec.json.encode(detail).decode() for _, detail in states.values()],
        ),
        prepare=True,
    )


_ENDS = """detail || jsonb_build_object('ends', (
    SELECT coalesce(jsonb_object_agg(most.number, most.value), '{}') FROM (
        SELECT ends.number, max(ends.value::bigint) AS value FROM (
            SELECT * FROM jsonb_each_text(detail -> 'ends') UNION ALL SELECT * FROM jsonb_each_text(%t::jsonb)
        ) ends (number, value) GROUP BY ends.number
    ) most))"""


def advance(cursor: Cursor[Any], name: str, position: int, *, since: int, ends: Mapping[int, int] = {}) -> bool:
    """Move the checkpoint on from ``since``, or touch it if both are the same. False if it is not at ``since`` any more.

    ``ends`` are those of partitions, by number: the offset after the last record that is known. They only grow.
    """
    cursor.execute(
        f"""
        UPDATE checkpoints SET position = %b, updated_at = clock_timestamp(), detail = {_ENDS} WHERE name = %b AND position = %b
        """,
        (position, _json(ends), name, since),
        prepare=True,
    )
    return cursor.rowcount == 1


def note_ends(cursor: Cursor[Any], name: str, ends: Mapping[int, int]) -> None:
    """As in ``advance``, by somebody else than the checkpoint's owner."""
    cursor.execute(f"UPDATE checkpoints SET detail = {_ENDS} WHERE name = %b", (_json(ends), name))


def _json(ends: Mapping[int, int]) -> str:
    return msgspec.json.encode(ends).decode()


def is_at(cursor: Cursor[Any], name: str, position: int) -> bool:
    """Whether the checkpoint is at a position."""
    row = cursor.execute("SELECT position = %b FROM checkpoints WHERE name = %b", (position, name), prepare=True).fetchone()
    return bool(row and row[0])


def lag(cursor: Cursor[Any], name: str) -> Lag | None:
    row = cursor.execute(LAG, {"name": name}).fetchone()
    return Lag(*row) if row else None
