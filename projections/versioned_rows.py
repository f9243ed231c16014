"""Tables with a row for every version of a record, each valid from its instant to the next one's.

Nothing in a written row changes but the end of its validity.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from domain.sql_cursor import SqlCursor

INFINITY = "infinity"
"""``valid_to`` of the current version."""

encode = msgspec.json.Encoder(decimal_format="string").encode


class Version(Protocol):
    id: UUID
    version: int
    valid_from: datetime
    valid_to: datetime | str


class _Closed(Struct):
    id: UUID
    version: int
    valid_to: datetime


def write(cursor: SqlCursor, table: str, rows: Sequence[Version]) -> None:
    """Write versions, each record's in order, and end the validity of those before them."""
    close(cursor, table, rows)
    insert(cursor, table, rows)


def close(cursor: SqlCursor, table: str, rows: Sequence[Version]) -> None:
    """End the validity of the versions before those to be written, which are each record's in order."""
    last: dict[UUID, Version] = {}
    closed: list[_Closed] = []
    for row in rows:
        if earlier := last.get(row.id):
            earlier.valid_to = row.valid_from
        elif row.version > 1:
            closed.append(_Closed(row.id, row.version - 1, row.valid_from))
        last[row.id] = row
    if closed:
        cursor.execute(
            f"""
            UPDATE {table} t SET valid_to = c.valid_to
            FROM json_to_recordset(%(closed)s::json) AS c (id uuid, version int, valid_to timestamptz)
            WHERE t.id = c.id AND t.version = c.version
            """,
            {"closed": encode(closed).decode()},
            prepare=True,
        )


def insert(cursor: SqlCursor, table: str, rows: Sequence[Any]) -> None:
    """Insert structs whose fields are the table's columns, in one statement."""
    if rows:
        cursor.execute(
            f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, %(rows)s::json)",
            {"rows": encode(rows).decode()},
            prepare=True,
        )
