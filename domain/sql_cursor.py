"""What the event store and the read models ask of a cursor: psycopg's, and the writer's, which sends statements together."""

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
"""A value for a statement. JSON goes as text, and the statement casts it."""


class SqlCursor(Protocol):
    """One statement at a time; its rows are those of the one executed last."""

    def execute(
        self, query: str, params: Mapping[str, Param] | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Parameters are named, ``%(name)s`` or ``%(name)b``; with any, a percent sign is written twice.

        The server may see the statement only when rows are fetched, or with COMMIT, and an error is raised then.
        """

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows not fetched yet."""

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
