"""One consistent view of an org's data, read as a stream: a transaction of its own that sees what was committed when it began."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from itertools import islice
from time import monotonic, sleep
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from app.process.failures import Unavailable
from projections import connections
from projections.conditions import SqlStatement

ROWS = 200
"""How many come at once: few, so that whoever shares the process gets a turn between them."""
YIELD_SECONDS = 0.00005
"""A pause after them, in which others of the process get the interpreter."""
PATIENCE_SECONDS = 180.0
"""How long the database may say nothing, such as while it sorts."""
CANCEL_SECONDS = 5.0


class TookTooLong(Unavailable):
    """The time that a snapshot may be held is over."""


class _Bytes(Loader):
    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class Snapshot:
    """For one thread, but for ``cancel``. It is held for ``seconds`` at most, because PostgreSQL keeps what has changed since.

    Raises ``Unavailable`` wherever the database does not answer.
    """

    def __init__(self, url: str, org_id: UUID, seconds: float) -> None:
        self._until = monotonic() + seconds
        timeout_ms = max(1_000, int(seconds * 1000))
        self._cancelled = False
        try:
            self._connection = connections.connect(url, "export", statement_timeout_ms=timeout_ms, role="reader")
            try:
                self._begin(org_id)
            except BaseException:
                self._connection.close()
                raise
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error

    def _begin(self, org_id: UUID) -> None:
        self._connection.patience = min(self._connection.patience, PATIENCE_SECONDS)
        self._connection.adapters.register_loader("varchar", _Bytes)
        self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        self._connection.execute("SELECT set_config('app.org_id', %(org_id)s::text, true)", {"org_id": str(org_id)})

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._connection.close()

    def cancel(self) -> None:
        """End what is being read, from another thread."""
        self._cancelled = True
        with suppress(psycopg.Error):
            self._connection.cancel_safe(timeout=CANCEL_SECONDS)

    def rows(self, statement: SqlStatement) -> list[tuple[Any, ...]]:
        self._look()
        try:
            return self._connection.execute(statement.text, statement.params).fetchall()
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error

    def parts(self, statement: SqlStatement, number: int = ROWS) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of a statement, some at a time. PostgreSQL goes on while these are used."""
        self._look()
        try:
            with self._connection.cursor() as cursor, closing(self._stream(cursor, statement, number)) as rows:
                while found := list(islice(rows, number)):
                    yield found
                    sleep(YIELD_SECONDS)
                    self._look()
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error

    def ids(self, statement: SqlStatement, number: int = ROWS) -> Iterator[list[UUID]]:
        """A column of ids, some at a time. Unlike with ``parts``, other statements may come in between."""
        self._look()
        try:
            with self._connection.cursor(name="ids") as cursor:
                cursor.execute(statement.text, statement.params)
                while found := cursor.fetchmany(number):
                    yield [id_ for (id_,) in found]
                    self._look()
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error

    def _stream(self, cursor: Cursor[Any], statement: SqlStatement, number: int) -> Generator[tuple[Any, ...]]:
        size = number if psycopg.capabilities.has_stream_chunked() else 1
        yield from cursor.stream(statement.text, statement.params, size=size)

    def _look(self) -> None:
        if self._cancelled:
            raise Unavailable("whoever asked is gone")
        if monotonic() > self._until:
            raise TookTooLong("the snapshot was held for as long as it may be")
