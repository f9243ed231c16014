"""Rows on their way into the tables of a rebuild, which are filled with COPY: empty tables, stream by stream.

What is known only when a stream has ended waits until the next one begins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct
from psycopg import Connection, sql

from projections.copied_values import columns
from projections.terms import MOST_REMEMBERED, Word
from projections.versioned_rows import Version


class Copies:
    """Rows for tables whose columns are named like the fields of structs."""

    def __init__(self, connection: Connection[Any]) -> None:
        self._connection = connection
        self._rows: dict[str, list[Any]] = defaultdict(list)
        self._current: dict[str, Version] = {}
        self._latest: dict[str, tuple[UUID, Struct | None]] = {}
        self._words: set[int] = set()

    def insert(self, table: str, rows: Iterable[Struct]) -> None:
        """Add rows."""
        self._rows[table] += rows

    def versions(self, table: str, rows: Sequence[Version]) -> None:
        """Add versions, each valid until the next one of its record."""
        if not rows:
            return
        current, found = self._current.get(table), self._rows[table]
        for row in rows:
            if current is not None:
                if current.id == row.id:
                    current.valid_to = row.valid_from
                found.append(current)
            current = row
        self._current[table] = rows[-1]

    def latest(self, table: str, found: Mapping[UUID, Struct | None]) -> None:
        """Add one row for each record, the last that comes for it; none if that is None."""
        for id_, row in found.items():
            before, held = self._latest.get(table, (id_, None))
            if before != id_ and held is not None:
                self._rows[table].append(held)
            self._latest[table] = id_, row

    def words(self, table: str, words: Iterable[Word]) -> None:
        """Add words, some of them more than once: see ``terms.once``."""
        for word in words:
            if word.term not in self._words:
                self._words.add(word.term)
                self._rows[table].append(word)

    def write(self) -> None:
        """Send the rows that are complete."""
        for table, rows in self._rows.items():
            self._copy(table, rows)
        self._rows.clear()
        if len(self._words) > MOST_REMEMBERED:
            self._words.clear()

    def end(self) -> None:
        """The last stream has ended: send all rows."""
        for table, current in self._current.items():
            self._rows[table].append(current)
        for table, (_, latest) in self._latest.items():
            if latest is not None:
                self._rows[table].append(latest)
        self._current.clear()
        self._latest.clear()
        self.write()

    def _copy(self, table: str, rows: Sequence[Any]) -> None:
        if not rows:
            return
        names, values = columns(rows[0].__class__)
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names)))
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(values(row))
