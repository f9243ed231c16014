"""What a batch of an import's rows writes beside its events, in their transaction: how far it is, what failed, and which records
it made. So a row is done once, whatever stops the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.sql_cursor import SqlCursor
from projections.imports.jobs import Counts, Fault, telling


class Made(NamedTuple):
    """A record that a row created or changed."""

    kind: str
    id: UUID
    line: int
    version_before: int
    version_after: int


def is_next(cursor: SqlCursor, import_id: UUID, state: str, line: int) -> bool:
    """Whether an import still is in this state and at this line. It stays so until the transaction ends."""
    cursor.execute("SELECT state, line FROM imports WHERE id = %(id)b FOR UPDATE", {"id": import_id})
    row = cursor.fetchone()
    return row is not None and row[0] == state and int(row[1]) == line


def advance(cursor: SqlCursor, import_id: UUID, line: int, counts: Counts) -> None:
    """``counts`` are added to those so far."""
    cursor.execute(
        telling("""
        UPDATE imports SET line = %(line)b::bigint, done = done + %(done)b::bigint, created = created + %(created)b::bigint,
            updated = updated + %(updated)b::bigint, skipped = skipped + %(skipped)b::bigint, failed = failed + %(failed)b::bigint,
            updated_at = clock_timestamp()
        WHERE id = %(id)b
        """),
        {"id": import_id, "line": line, **msgspec.structs.asdict(counts)},
    )


def add_faults(cursor: SqlCursor, org_id: UUID, import_id: UUID, faults: Sequence[Fault]) -> None:
    if not faults:
        return
    seen: dict[tuple[int, int], int] = {}
    numbers = []
    for fault in faults:
        seen[fault.file, fault.line] = number = seen.get((fault.file, fault.line), 0) + 1
        numbers.append(number)
    cursor.execute(
        """
        INSERT INTO import_faults (import_id, org_id, file, line, number, "column", value, message)
        SELECT %(id)b::uuid, %(org_id)b::uuid, f.file, f.line, f.number, f.name, f.value, f.message
        FROM unnest(%(files)b::bigint[], %(lines)b::bigint[], %(numbers)b::bigint[], %(names)b::text[], %(values)b::text[],
            %(messages)b::text[]) AS f (file, line, number, name, value, message)
        ON CONFLICT DO NOTHING
        """,
        {
            "id": import_id,
            "org_id": org_id,
            "files": [fault.file for fault in faults],
            "lines": [fault.line for fault in faults],
            "numbers": numbers,
            "names": [_plain(fault.column) for fault in faults],
            "values": [_plain(fault.value) for fault in faults],
            "messages": [_plain(fault.message) for fault in faults],
        },
    )


def _plain(text: str) -> str:
    return text.replace("\0", "�")


def add_records(cursor: SqlCursor, org_id: UUID, import_id: UUID, made: Sequence[Made]) -> None:
    """Each record once. One that an earlier row made too is known by both, unless something else changed it in between."""
    if not made:
        return
    kinds, ids, lines, before, after = zip(*made, strict=True)
    cursor.execute(
        """
        INSERT INTO import_records (import_id, org_id, kind, id, line, version_before, version_after)
        SELECT %(id)b::uuid, %(org_id)b::uuid, r.kind, r.id, r.line, r.before, r.after
        FROM unnest(%(kinds)b::text[], %(ids)b::uuid[], %(lines)b::bigint[], %(before)b::bigint[], %(after)b::bigint[])
            WITH ORDINALITY AS r (kind, id, line, before, after, n) ORDER BY r.n
        ON CONFLICT (import_id, id) DO UPDATE SET version_after = EXCLUDED.version_after
            WHERE import_records.version_after = EXCLUDED.version_before
        """,
        {
            "id": import_id,
            "org_id": org_id,
            "kinds": list(kinds),
            "ids": list(ids),
            "lines": list(lines),
            "before": list(before),
            "after": list(after),
        },
    )


def last_records(cursor: SqlCursor, import_id: UUID, before: int, limit: int) -> list[tuple[int, Made]]:
    """The newest records with numbers below one, newest first, with their numbers."""
    cursor.execute(
        """
        SELECT number, kind, id, line, version_before, version_after FROM import_records
        WHERE import_id = %(id)s AND number < %(before)s ORDER BY number DESC LIMIT %(limit)s
        """,
        {"id": import_id, "before": before, "limit": limit},
    )
    return [(number, Made(*made)) for number, *made in cursor.fetchall()]


def remove_records(cursor: SqlCursor, import_id: UUID, numbers: Sequence[int]) -> None:
    """They are undone."""
    cursor.execute(
        "DELETE FROM import_records WHERE import_id = %(id)b AND number = ANY(%(numbers)b::bigint[])",
        {"id": import_id, "numbers": list(numbers)},
    )


def is_still(cursor: SqlCursor, import_id: UUID, state: str) -> bool:
    """Whether an import is in this state, whatever its line."""
    cursor.execute("SELECT state FROM imports WHERE id = %(id)s FOR UPDATE", {"id": import_id})
    row = cursor.fetchone()
    return row is not None and row[0] == state


def add_failed(cursor: SqlCursor, org_id: UUID, import_id: UUID, rows: Mapping[int, str]) -> None:
    """Failed rows by line, their cells as JSON."""
    if rows:
        cursor.execute(
            """
            INSERT INTO import_failed (import_id, org_id, line, cells)
            SELECT %(id)b::uuid, %(org_id)b::uuid, f.line, f.cells::jsonb FROM unnest(%(lines)b::bigint[], %(cells)b::text[])
                AS f (line, cells) ON CONFLICT DO NOTHING
            """,
            {"id": import_id, "org_id": org_id, "lines": list(rows), "cells": list(rows.values())},
        )


def first_faults(cursor: SqlCursor, import_id: UUID, limit: int) -> list[Fault]:
    cursor.execute(
        """
        SELECT file, line, "column", value, message FROM import_faults
        WHERE import_id = %(id)s ORDER BY file, line, number LIMIT %(limit)s
        """,
        {"id": import_id, "limit": limit},
    )
    return [Fault(*row) for row in cursor.fetchall()]


def problem(cursor: SqlCursor, import_id: UUID) -> Fault:
    """Why all of an import failed."""
    cursor.execute(
        """
        SELECT 0, coalesce((problem ->> 'line')::bigint, 0), '', '', coalesce(problem ->> 'message', '') FROM imports
        WHERE id = %(id)s
        """,
        {"id": import_id},
    )
    return Fault(*(cursor.fetchone() or (0, 0, "", "", "")))
