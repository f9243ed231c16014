"""A connection for reading on an event loop: one prepared statement at a time, sent and awaited directly.

psycopg's own way creates a generator, an event and a timer for every wait, which was a tenth of the cost of a page. Its conversion
of values and rows is used as it is. A statement must have its result before the next one is sent: ``app.reading.read_pool`` gives
each connection to one request at a time.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from psycopg import AsyncConnection, OperationalError, errors, pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq.abc import PGresult

from projections.connections import Silent
from projections.placeholders import numbered

MAX_PREPARED = 200
GRACE_SECONDS = 0.05
"""How long a statement whose caller is gone may still take before it is cancelled: most are done by then."""
INTERRUPT_SECONDS = 2.0
"""How long ending it may take before the connection is closed instead."""
LOOKS = 10
"""How often within the timeout a connection checks whether it is over."""

_TEXT = pq.Format.TEXT
_GOOD = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)


class ReadConnection:
    """Sees the org ``org_id``. Takes over an open connection in autocommit, which nobody else may use any more."""

    def __init__(self, connection: AsyncConnection[Any], patience: float = 18.0) -> None:
        self.org_id: UUID | None = None
        self._connection = connection
        self._pgconn = connection.pgconn
        self._transformer = Transformer(connection)
        self._names: OrderedDict[tuple[bytes, tuple[int, ...]], bytes] = OrderedDict()  # the last used one at the end
        self._prepared = 0
        self._waiting: asyncio.Future[PGresult] | None = None
        self._result: PGresult | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = self._pgconn.socket
        self._patience = patience
        self._ready: asyncio.Future[None] | None = None
        self._preparing = False
        self._heard_at = 0.0
        self._look = self._loop.call_later(patience / LOOKS, self._look_at_the_clock)
        self._loop.add_reader(self._socket, self._arrived)

    @property
    def closed(self) -> bool:
        return self._connection.closed

    async def close(self) -> None:
        self._look.cancel()
        if not self._connection.closed:
            self._loop.remove_reader(self._socket)
            await self._connection.close()

    async def rows(self, text: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """All rows of a statement with named parameters. Raises ``psycopg.Error``."""
        query, names = numbered(text)
        values = [params[name] for name in names]
        transformer, pgconn = self._transformer, self._pgconn
        data = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types, formats = transformer.types or (), transformer.formats
        name = self._names.get((query, types))
        self._preparing = name is None
        if name is None:
            if len(self._names) >= MAX_PREPARED:
                _, oldest = self._names.popitem(last=False)
                await self._answer(lambda: pgconn.send_query_params(b"DEALLOCATE " + oldest, None))
            name = fresh = b"read_%d" % self._prepared
            self._prepared += 1
            await self._answer(lambda: pgconn.send_prepare(fresh, query, types))
            self._preparing = False
            self._names[query, types] = name
        else:
            self._names.move_to_end((query, types))
        prepared = name
        result = await self._answer(lambda: pgconn.send_query_prepared(prepared, data, formats, _TEXT))
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, tuple)

    async def interrupt(self) -> None:
        """End a statement, also in PostgreSQL, whose caller stopped waiting. Afterwards the connection is free, or closed."""
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                await self._come_to_an_end()
        except (OperationalError, TimeoutError):
            await self.close()
        except BaseException:
            await self.close()
            raise
        if self._preparing:  # it may have a prepared statement that we do not know of
            await self.close()

    async def _come_to_an_end(self) -> None:
        if self._pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
            return
        self._waiting = waiting = self._loop.create_future()
        while self._pgconn.flush():
            await self._writable()
        await asyncio.wait([waiting], timeout=GRACE_SECONDS)
        if not waiting.done():
            await self._connection.cancel_safe(timeout=INTERRUPT_SECONDS)
        await waiting

    async def _answer(self, send: Callable[[], None]) -> PGresult:
        self._result = None
        self._waiting = waiting = self._loop.create_future()
        self._heard_at = self._loop.time()
        send()
        while self._pgconn.flush():
            await self._writable()
        result: PGresult = await waiting
        if result.status not in _GOOD:
            if result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) == b"FATAL":
                await self.close()  # the server has closed it too, or is about to
            raise errors.error_from_result(result)
        return result

    async def _writable(self) -> None:
        """Send the rest of a statement that is larger than the socket takes at once; the result cannot come before all of it is
        sent."""
        self._ready = ready = self._loop.create_future()
        self._loop.add_writer(self._socket, _set, ready)
        try:
            await ready
        finally:
            self._loop.remove_writer(self._socket)

    def _arrived(self) -> None:
        """Handle incoming data: part of the result, the rest of it, or the end of the connection."""
        waiting = self._waiting
        self._heard_at = self._loop.time()
        try:
            self._pgconn.consume_input()
            while not self._pgconn.is_busy():
                if (result := self._pgconn.get_result()) is not None:
                    self._result = result
                    continue
                if self._result is not None and waiting is not None and not waiting.done():
                    waiting.set_result(self._result)
                return
        except OperationalError as error:
            self._fail(error)

    def _look_at_the_clock(self) -> None:
        """Check the timeout now and then: a timer for each statement would cost more."""
        waits = self._waiting is not None and not self._waiting.done()
        if waits and self._loop.time() - self._heard_at > self._patience:
            self._fail(Silent())
        elif not self._connection.closed:
            self._look = self._loop.call_later(self._patience / LOOKS, self._look_at_the_clock)

    def _fail(self, error: OperationalError) -> None:
        self._look.cancel()
        self._loop.remove_reader(self._socket)
        self._pgconn.finish()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
        if self._ready is not None:
            _set(self._ready)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
