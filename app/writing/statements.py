"""Statements that travel together: sent as one message when the first answer is asked for, and answered as one.

psycopg's own pipeline sends each statement by itself and waits for the socket each time, with the interpreter's lock given away
and taken back: with a dozen statements in a transaction that was half of what a write cost us. Refuses any parameter but text,
whole numbers, ids, bytes, NULL and lists of one of these.
"""

from __future__ import annotations

import re
import select
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from struct import Struct
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import Cursor, DataError, OperationalError, errors, pq
from psycopg.adapt import Transformer
from psycopg.pq.abc import PGconn, PGresult

from projections.connections import Bounded, Silent

_TEXT, _BINARY = pq.Format.TEXT, pq.Format.BINARY
_FAILURES = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)

_UNKNOWN, _BYTEA, _BIGINT, _STRING, _UUID = 0, 17, 20, 25, 2950
_head = Struct("!iiiii").pack
_length = Struct("!i").pack

# The type of an element: its oid, that of its array, and how its bytes are made.
_ARRAYS: dict[type, tuple[int, int, Callable[[Any], bytes]]] = {
    UUID: (_UUID, 2951, attrgetter("bytes")),
    int: (_BIGINT, 1016, Struct("!q").pack),
    str: (_STRING, 1009, str.encode),
    bytes: (_BYTEA, 1001, bytes),
}

_Prepared = tuple[bytes, tuple[int, ...]]
"""A statement's text and the types of its parameters."""
_Param = tuple[bytes | None, int, pq.Format]
"""A value as it is sent, the oid of its type, and in which of the two forms it is."""


class _Asked(NamedTuple):
    cursor: BatchedStatement
    text: bytes
    types: tuple[int, ...]
    params: Sequence[bytes | None]
    formats: Sequence[pq.Format]
    rows: pq.Format
    prepare: bool

    @property
    def prepared(self) -> _Prepared:
        return self.text, self.types


class StatementBatch:
    """The statements on one connection, which is in autocommit. Not thread-safe."""

    def __init__(self, connection: Bounded) -> None:
        self.connection = connection
        self._patience_ms = int(connection.patience * 1000)
        self.transformer = Transformer(connection)
        self._names: dict[_Prepared, bytes] = {}
        self._asked: list[_Asked] = []

    def cursor(self) -> BatchedStatement:
        return BatchedStatement(self)

    def discard(self) -> None:
        """Send nothing of what has been asked."""
        self._asked.clear()

    def ask(self, cursor: BatchedStatement, text: str, values: Sequence[Any], rows: pq.Format, *, prepare: bool) -> None:
        params, types, formats = zip(*map(_param, values), strict=True) if values else ((), (), ())
        self._asked.append(_Asked(cursor, _numbered(text), types, params, formats, rows, prepare))

    def flush(self) -> None:
        """Send what has been asked, and wait until all of it is answered.

        Raises the error of the first statement that failed; the server has skipped those behind it. Whatever else is raised leaves
        nobody knowing what the server did, and the connection closed.
        """
        asked, self._asked = self._asked, []
        if not asked:
            return
        try:
            failure = self._flush(self.connection.pgconn, asked)
        except BaseException:
            self.connection.close()
            raise
        if failure is not None:
            raise errors.error_from_result(failure)

    def _flush(self, pgconn: PGconn, asked: Sequence[_Asked]) -> PGresult | None:
        """The first failure, if there was one."""
        pgconn.enter_pipeline_mode()
        names = dict[_Prepared, bytes]()
        awaited: list[tuple[_Asked, bool]] = []
        for one in asked:
            if one.prepare:
                name = self._names.get(one.prepared) or names.get(one.prepared)
                if name is None:
                    name = names[one.prepared] = b"burst_%d" % (len(self._names) + len(names))
                    pgconn.send_prepare(name, one.text, one.types)
                    awaited.append((one, True))
                pgconn.send_query_prepared(name, one.params, one.formats, one.rows)
            else:
                pgconn.send_query_params(one.text, one.params, one.types, one.formats, one.rows)
            awaited.append((one, False))
        pgconn.pipeline_sync()
        self._send(pgconn)
        failure: PGresult | None = None
        readable = select.poll()
        readable.register(pgconn.socket, select.POLLIN)
        for one, preparing in awaited:
            result = self._next(pgconn, readable)
            if result is None or self._next(pgconn, readable) is not None:
                raise OperationalError("The connection to the database was lost.")
            if result.status in _FAILURES:
                failure = failure or result
            elif preparing:
                self._names[one.prepared] = names[one.prepared]
            else:
                one.cursor.answer = result
        self._next(pgconn, readable)  # the answer to the sync
        pgconn.exit_pipeline_mode()
        return failure

    def _send(self, pgconn: PGconn) -> None:
        """Send all there is, and take in what comes meanwhile, lest both sides wait for each other."""
        ready = select.poll()
        ready.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        while pgconn.flush():
            if any(event & ~select.POLLOUT for _, event in self._within(ready)):
                pgconn.consume_input()

    def _next(self, pgconn: PGconn, readable: select.poll) -> PGresult | None:
        while pgconn.is_busy():
            self._within(readable)
            pgconn.consume_input()
        return pgconn.get_result()

    def _within(self, ready: select.poll) -> list[tuple[int, int]]:
        if events := ready.poll(self._patience_ms):
            return events
        raise Silent


class BatchedStatement(Cursor[Any]):
    """Of a cursor it can do no more than is below: ask, and fetch, which waits for the answer to what it asked last."""

    def __init__(self, statements: StatementBatch) -> None:
        super().__init__(statements.connection)
        self._statements = statements
        self.answer: PGresult | None = None

    def execute(  # type: ignore[override]
        self, query: str, params: Sequence[Any] = (), *, prepare: bool | None = None, binary: bool | None = None
    ) -> BatchedStatement:
        """Ask. Prepares each statement once a connection, unless told not to; parameters come in order, as ``%s`` or ``%b``."""
        self.answer = None
        self._statements.ask(self, query, params, _BINARY if binary else _TEXT, prepare=prepare is not False)
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        if self.answer is None:
            self._statements.flush()
        assert self.answer is not None
        self._statements.transformer.set_pgresult(self.answer)
        return self._statements.transformer.load_rows(0, self.answer.ntuples, tuple)

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row, each time."""
        return next(iter(self.fetchall()), None)


@cache
def _numbered(text: str) -> bytes:
    """A statement with its placeholders numbered as the server has them."""
    first, *others = re.split(r"%[sb]", text)
    return (first + "".join(f"${number}{part}" for number, part in enumerate(others, start=1))).encode()


def _param(value: Any) -> _Param:
    kind = type(value)
    if kind is str:
        if "\0" in value:
            raise DataError("Text cannot contain NUL bytes.")
        return value.encode(), _UNKNOWN, _TEXT
    if kind is list:
        return _array(value)
    if kind is int:
        return str(value).encode(), _BIGINT, _TEXT
    if kind is UUID:
        return value.bytes, _UUID, _BINARY
    if kind is bytes:
        return value, _BYTEA, _BINARY
    if value is None:
        return None, _UNKNOWN, _TEXT
    raise TypeError(f"a statement cannot be sent a {kind.__name__}")


def _array(values: Sequence[Any]) -> _Param:
    """A list whose elements are all of the first one's type."""
    if not values:
        return b"{}", _UNKNOWN, _TEXT
    element, array, convert = _ARRAYS[type(values[0])]
    parts = [_head(1, 0, element, len(values), 1)]
    for value in values:
        data = convert(value)
        parts += (_length(len(data)), data)
    return b"".join(parts), array, _BINARY
