"""What the event store and the read models need from a cursor, so that psycopg's and the writer's, which batches statements, both
fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol, Self
from uuid import UUID

Param = (
    str
    | int
    | float
    | bool
    | Decimal
    | date
    | datetime
    | UUID
    | bytes
    | None
    | list[str]
    | list[int]
    | list[float]
    | list[Decimal]
    | list[date]
    | list[datetime]
    | list[UUID]
    | list[bytes]
)
"""A value for a statement. JSON is passed as text, and the statement casts it."""


class SqlCursor(Protocol):
    """One statement at a time; the rows are those of the last one executed."""

    def execute(
        self, query: str, params: Mapping[str, Param] | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Parameters are named, ``%(name)s`` or ``%(name)b``; with any parameter, a percent sign is written twice.

        The statement may be sent only when rows are fetched, or with COMMIT; an error is raised then.
        """

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows not fetched yet."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
