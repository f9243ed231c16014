"""The two ways in which read models are brought up to date: on psycopg's cursor, as a rebuild does, and on the writer's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from app.writing import connection as writing_connection
from app.writing.statements import StatementBatch
from domain.fold import Change
from projections.projection import Projection
from projections.registry import READ_MODELS

Way = Literal["rebuild", "write"]
WAYS: tuple[Way, ...] = ("rebuild", "write")


@dataclass(frozen=True)
class Cursors:
    """``connection``, in autocommit, is for whatever a test asks itself; with ``statements`` read models are written on these."""

    connection: psycopg.Connection[Any]
    statements: StatementBatch | None

    def apply(self, changes: Sequence[Change], models: Sequence[Projection] = READ_MODELS) -> None:
        """In one transaction."""
        if self.statements is None:
            with self.connection.transaction(), self.connection.cursor() as cursor:
                for model in models:
                    model.apply(cursor, changes)
                    model.conclude(cursor, changes)
            return
        statement = self.statements.cursor()
        statement.execute("BEGIN")
        for model in models:
            model.apply(statement, changes)
            model.conclude(statement, changes)
        statement.execute("COMMIT")
        self.statements.flush()


@contextmanager
def cursors_of(way: Way, url: str) -> Iterator[Cursors]:
    with psycopg.connect(url, autocommit=True) as connection:
        if way == "rebuild":
            yield Cursors(connection, None)
            return
        with closing(writing_connection.connect(url)) as writing:
            yield Cursors(connection, StatementBatch(writing))
