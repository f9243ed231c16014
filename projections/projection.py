"""What a read model is: rows derived from the log, which can be rebuilt at any time. It has no facts of its own and no clock.

A projection's tables are written in the transaction that appends the events, and by a rebuild, through the same ``apply``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.fold import Change
from domain.sql_cursor import SqlCursor


class Projection(Protocol):
    """``ddl`` names its tables without a schema, because a rebuild creates them again beside the live ones.

    ``views`` are over these tables, and stand in ``ddl`` after them. ``zero_rows`` says which rows of a table mean the same as no
    row (a counter at zero), for ``verify``.

    A rebuild fills the tables stream by stream with ``fill``, and then runs the statements ``sums``, in any order, with the
    ``%(position)s`` of the log up to which it has filled them. What follows in the log comes in its order, with ``apply``.
    """

    name: str
    version: int
    tables: tuple[str, ...]
    views: tuple[str, ...]
    ddl: str
    zero_rows: Mapping[str, str]
    sums: tuple[str, ...]

    def apply(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        """Bring the tables from the log before ``batch`` to the log after it; events of other kinds are ignored.

        A batch is a part of the log, in its order.
        """

    def fill(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        """As ``apply``, without what ``sums`` add.

        A batch has every stream's events in order, and a stream's batches come in order. One stream's events must not change what
        another's do to the tables.
        """
