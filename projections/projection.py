"""What a read model is: rows derived from the log, which can be rebuilt at any time. It has no facts of its own and no clock.

A projection's tables are written in the transaction that appends the events. A rebuild copies the same rows into empty tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.fold import Change
from domain.sql_cursor import SqlCursor
from projections.copies import Copies


class Projection(Protocol):
    """``ddl`` names its tables without a schema, because a rebuild creates them again beside the live ones.

    ``views`` are over these tables, and stand in ``ddl`` after them. ``zero_rows`` says which rows of a table mean the same as no
    row (a counter at zero), for ``verify``.

    A rebuild fills the tables stream by stream with ``fill``, and then runs the statements ``sums``, which add up rows of several
    streams: all at once, before there are keys and indexes, with the ``%(position)s`` of the log up to which it has filled. What
    follows in the log comes in its order, with ``apply``.
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

    def conclude(self, cursor: SqlCursor, batch: Sequence[Change]) -> None:
        """Do what is done once for a transaction, at its end: ``batch`` is all that was applied in it, in parts or at once."""

    def fill(self, copies: Copies, batch: Sequence[Change]) -> None:
        """Copy the rows that ``apply`` would leave, but for what ``sums`` add, into empty tables.

        Batches come stream by stream, each stream from its first event on, and one stream's events must not change what another's
        do to the tables. Several processes fill the same tables, each from streams of its own.
        """
