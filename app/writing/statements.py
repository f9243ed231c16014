"""Statements sent together: one message when the first result is needed, and one answer.

psycopg's own pipeline sends each statement by itself and waits for the socket each time, releasing and reacquiring the
interpreter's lock: with a dozen statements in a transaction that was half of the cost of a write. Parameters of the types that
writes use are turned into bytes here, which is faster; psycopg converts all others, as for its own cursors.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, Self
from uuid import UUID

from psycopg import DataError, OperationalError, ProgrammingError, errors, pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq.abc import PGconn, PGresult

from domain.sql_cursor import Param
from projections.connections import Bounded, Silent
from projections.opportunities.written import Written
from projections.placeholders import numbered
from projections.terms import Remembered

_TEXT, _BINARY = pq.Format.TEXT, pq.Format.BINARY
_FAILURES = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED)

_UNKNOWN, _BYTEA, _BIGINT, _STRING, _UUID = 0, 17, 20, 25, 2950
_head = struct.Struct("!iiiii").pack
_length = struct.Struct("!i").pack


def _with_length(data: bytes) -> bytes:
    return _length(len(data)) + data


# Types of list elements: oid, oid of the array, and how the bytes are made, with their length before them.
_ARRAYS: dict[type, tuple[int, int, Callable[[Any], bytes]]] = {
    UUID: (_UUID, 2951, lambda value: b"\0\0\0\x10" + value.bytes),
    int: (_BIGINT, 1016, partial(struct.Struct("!iq").pack, 8)),
    str: (_STRING, 1009, lambda value: _with_length(value.encode())),
    bytes: (_BYTEA, 1001, _with_length),
}


_Prepared = tuple[bytes, tuple[int, ...]]
"""A statement's text and the types of its parameters."""
_Sent = tuple[bytes | None, int, pq.Format]
"""A value as sent, the oid of its type, and its format."""


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
        self._transformer = Transformer(connection)
        self._names: dict[_Prepared, bytes] = {}
        self._asked: list[_Asked] = []
        self._awaited: list[tuple[_Asked, bool]] = []
        """What was sent, and whether it was to prepare the statement."""
        self._new_names: dict[_Prepared, bytes] = {}
        self.remembered = Remembered()
        self.written = Written()

    def begin(self) -> None:
        """Call it when a transaction begins."""
        self.remembered.begin()
        self.written.begin()

    def cursor(self) -> BatchedStatement:
        return BatchedStatement(self)

    def discard(self) -> None:
        """Drop the statements that were not sent, and the connection if any was and has no result yet."""
        self._asked.clear()
        if self._awaited:
            self._awaited, self._new_names = [], {}
            self.connection.close()

    def ask(
        self, cursor: BatchedStatement, query: str, params: Mapping[str, Param] | None, rows: pq.Format, *, prepare: bool
    ) -> None:
        if not params:
            text = query.encode() if params is None else numbered(query)[0]
            self._asked.append(_Asked(cursor, text, (), (), (), rows, prepare))
            return
        text, names = numbered(query)
        sent, types, formats = zip(*[self._sent(params[name]) for name in names], strict=True)
        self._asked.append(_Asked(cursor, text, types, sent, formats, rows, prepare))

    def rows(self, answer: PGresult) -> list[tuple[Any, ...]]:
        if answer.status != pq.ExecStatus.TUPLES_OK:
            raise ProgrammingError("This statement has no rows to fetch.")
        self._transformer.set_pgresult(answer)
        return self._transformer.load_rows(0, answer.ntuples, tuple)

    def _sent(self, value: Param) -> _Sent:
        kind = type(value)
        if (known := _SENT.get(kind)) and (sent := known(value)) is not None:
            return sent
        dumper = self._transformer.get_dumper(value, PyFormat.AUTO)
        data = dumper.dump(value)
        return None if data is None else bytes(data), dumper.oid, dumper.format

    def send(self) -> None:
        """Send the statements and do not wait: PostgreSQL works on them until ``flush``, which has the results of all.

        Raises ``OperationalError``, and closes the connection, if they cannot be sent.
        """
        asked, self._asked = self._asked, []
        if asked:
            with self._closing():
                self._put(self.connection.pgconn, asked)
                self._send(self.connection.pgconn)

    def flush(self) -> None:
        """Send the statements, and wait for all results.

        Raises the error of the first statement that failed; the server has skipped those after it. After any other exception it is
        unknown what the server did, and the connection is closed.
        """
        asked, self._asked = self._asked, []
        if not asked and not self._awaited:
            return
        with self._closing():
            failure = self._flush(self.connection.pgconn, asked)
        if failure is not None:
            raise errors.error_from_result(failure)

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Close the connection at an exception."""
        try:
            yield
        except BaseException:
            self._awaited, self._new_names = [], {}
            self.connection.close()
            raise

    def _put(self, pgconn: PGconn, asked: Sequence[_Asked]) -> None:
        if not self._awaited:
            pgconn.enter_pipeline_mode()
        names = self._new_names
        for one in asked:
            if one.prepare:
                name = self._names.get(one.prepared) or names.get(one.prepared)
                if name is None:
                    name = names[one.prepared] = b"burst_%d" % (len(self._names) + len(names))
                    pgconn.send_prepare(name, one.text, one.types)
                    self._awaited.append((one, True))
                pgconn.send_query_prepared(name, one.params, one.formats, one.rows)
            else:
                pgconn.send_query_params(one.text, one.params, one.types, one.formats, one.rows)
            self._awaited.append((one, False))

    def _flush(self, pgconn: PGconn, asked: Sequence[_Asked]) -> PGresult | None:
        """The first failure, if there was one."""
        self._put(pgconn, asked)
        pgconn.pipeline_sync()
        self._send(pgconn)
        failure: PGresult | None = None
        readable = select.poll()
        readable.register(pgconn.socket, select.POLLIN)
        names, self._new_names = self._new_names, {}
        awaited, self._awaited = self._awaited, []
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
        """Send everything, and read what comes meanwhile, so that the two sides do not wait for each other."""
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


class BatchedStatement:
    """A ``SqlCursor`` on a batch: it queues statements; fetching rows waits for the result of the last one."""

    def __init__(self, statements: StatementBatch) -> None:
        self._statements = statements
        self.remembered, self.written = statements.remembered, statements.written
        self._rows: Iterator[tuple[Any, ...]] | None = None
        self.answer: PGresult | None = None

    def execute(
        self, query: str, params: Mapping[str, Param] | None = None, *, prepare: bool | None = None, binary: bool | None = None
    ) -> Self:
        """Queue a statement. Each is prepared once per connection, unless ``prepare`` is False."""
        self.answer = self._rows = None
        self._statements.ask(self, query, params, _BINARY if binary else _TEXT, prepare=prepare is not False)
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._remaining())

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._remaining(), None)

    def _remaining(self) -> Iterator[tuple[Any, ...]]:
        if self._rows is None:
            if self.answer is None:
                self._statements.flush()
            assert self.answer is not None
            self._rows = iter(self._statements.rows(self.answer))
        return self._rows


def _text(value: str) -> _Sent:
    if "\0" in value:
        raise DataError("Text cannot contain NUL bytes.")
    return value.encode(), _UNKNOWN, _TEXT


def _whole_number(value: int) -> _Sent | None:
    return (b"%d" % value, _BIGINT, _TEXT) if -(2**63) <= value < 2**63 else None


def _list(values: Sequence[Any]) -> _Sent | None:
    """None unless all are of one known type, with no number too large for it."""
    if not values:
        return b"{}", _UNKNOWN, _TEXT
    kinds = set(map(type, values))
    found = _ARRAYS.get(kinds.pop())
    if found is None or kinds:
        return None
    element, array, convert = found
    try:
        return b"".join([_head(1, 0, element, len(values), 1), *map(convert, values)]), array, _BINARY
    except struct.error:
        return None


# How a value of a type is sent; None leaves it to psycopg.
_SENT: dict[type, Callable[[Any], _Sent | None]] = {
    str: _text,
    list: _list,
    int: _whole_number,
    UUID: lambda value: (value.bytes, _UUID, _BINARY),
    bytes: lambda value: (value, _BYTEA, _BINARY),
    type(None): lambda value: (None, _UNKNOWN, _TEXT),
}
