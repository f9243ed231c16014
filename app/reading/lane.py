"""The connections of a lane: so many questions at once, in turns, each on a connection that sees one org at a time.

What a caller who is gone has asked is cancelled in PostgreSQL, and its place is free once that is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from app.process.failures import Unavailable
from app.reading.aside import Aside, Begun
from app.reading.lane_metrics import LaneMetrics
from app.reading.read_connection import ReadConnection
from app.reading.turns import Asker, Turns
from projections import connections
from projections.clock import NOW, Clock
from projections.connections import Silent
from projections.questions import LaneName, Question

STEP_ASIDE_SECONDS = 0.05
"""Pause after a statement was cancelled by somebody who needs the tables, so that they can get them."""
INTERRUPTIONS = 5
"""How often a question asks again after such a pause: whoever swaps tables cancels more than once until it has them."""


class _Bytes(Loader):
    """JSON bodies are cast to varchar in SQL and arrive as bytes, to be sent as they are."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


class Lane:
    """``clock`` is told the database's time now and then. No statement takes longer than ``timeout_ms``.

    ``kept`` are the turns of questions from what is kept, which take one of them and then one of ``turns``.
    """

    def __init__(
        self,
        name: LaneName,
        url: str,
        turns: Turns,
        clock: Clock,
        aside: Aside,
        *,
        timeout_ms: int,
        kept: Turns | None = None,
    ) -> None:
        self._url = url
        self._dear = name == "dear"
        self._aside = aside
        self._turns = turns
        self._kept = kept
        self._clock = clock
        self._timeout = timeout_ms
        self._settings = connections.OF_ALL_DEALS if self._dear else connections.THROUGH_INDEXES
        self._free: list[ReadConnection] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._metrics = LaneMetrics(name)

    async def close(self) -> None:
        while self._ending:
            await asyncio.gather(*self._ending)
        while self._free:
            await self._free.pop().close()
        self._metrics.publish()

    async def rows(
        self, who: Asker, org_id: UUID | None, text: str, params: Mapping[str, Any], question: Question
    ) -> list[tuple[Any, ...]]:
        """All rows of a statement as the org sees them. Raises ``Unavailable``, ``TooManyWaiting``."""
        if question.kept and self._kept is not None:
            return await self._from_kept(self._kept, who, org_id, text, params, question)
        await self._enter(self._turns, who)
        if not self._dear:
            return await self._rows(who, org_id, text, params, question)
        try:
            begun = await self._aside.begin(who)
        except BaseException:
            self._turns.give_back(who)
            raise
        return await self._rows(who, org_id, text, params, question, begun)

    async def _from_kept(
        self, kept: Turns, who: Asker, org_id: UUID | None, text: str, params: Mapping[str, Any], question: Question
    ) -> list[tuple[Any, ...]]:
        await self._enter(kept, who)
        rest = 0.0
        try:
            begun = await self._aside.begin(who)
            try:
                await self._enter(self._turns, who)
                return await self._rows(who, org_id, text, params, question)
            finally:
                rest = self._aside.end(who, begun)
        finally:
            kept.give_back(who, rest=rest)

    async def _rows(
        self,
        who: Asker,
        org_id: UUID | None,
        text: str,
        params: Mapping[str, Any],
        question: Question,
        begun: Begun | None = None,
    ) -> list[tuple[Any, ...]]:
        """The rows, on a place that is given back once its connection is free."""
        self._metrics.began()
        began = monotonic()
        busy: list[ReadConnection] = []
        try:
            return await self._answer(busy, org_id, text, params)
        finally:
            leave = partial(self._leave, who, question, began, begun)
            if busy:  # the caller is gone, and the connection not yet free
                task = asyncio.create_task(self._end(busy[0], leave))
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)
            else:
                leave()

    async def _enter(self, turns: Turns, who: Asker) -> None:
        if turns.take(who):
            return
        since = monotonic()
        self._metrics.queued()
        try:
            await turns.wait(who)
        finally:
            self._metrics.unqueued(monotonic() - since)

    async def _end(self, reader: ReadConnection, leave: Callable[[], None]) -> None:
        try:
            await reader.interrupt()
        finally:
            if not reader.closed:
                self._free.append(reader)
            leave()

    def _leave(self, who: Asker, question: Question, began: float, begun: Begun | None) -> None:
        seconds = monotonic() - began
        self._metrics.ended(question, seconds)
        self._turns.give_back(who, seconds, self._aside.end(who, begun) if begun else 0.0)

    async def _answer(
        self, busy: list[ReadConnection], org_id: UUID | None, text: str, params: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """The rows. A connection whose statement was broken off by a cancellation is put into ``busy``."""
        cancelled = 0
        while True:
            reader, fresh = await self._take(org_id)
            asked = monotonic()
            try:
                if org_id is not None and reader.org_id != org_id:
                    await _show(reader, org_id)
                if self._clock.due():
                    asked = monotonic()
                    self._clock.tell((await reader.rows(NOW, {}))[0][0], asked)
                rows = await reader.rows(text, params)
            except psycopg.OperationalError as error:
                if not reader.closed:  # a timeout: the connection is still good
                    self._free.append(reader)
                    if cancelled < INTERRUPTIONS and _was_cancelled(error, monotonic() - asked, self._timeout):
                        cancelled += 1
                        await asyncio.sleep(STEP_ASIDE_SECONDS)
                        continue
                    raise Unavailable(str(error)) from error
                if fresh or isinstance(error, Silent):
                    raise Unavailable(str(error)) from error
                continue  # it died while idle: take another
            except asyncio.CancelledError:
                busy.append(reader)
                raise
            except BaseException:
                await reader.close()
                raise
            self._free.append(reader)
            return rows

    async def _take(self, org_id: UUID | None) -> tuple[ReadConnection, bool]:
        """A free connection, preferably one that sees the org already, or a new one."""
        for reader in reversed(self._free):
            if reader.org_id == org_id or org_id is None:
                self._free.remove(reader)
                return reader, False
        if self._free:
            return self._free.pop(), False
        return await self._open(), True

    async def _open(self) -> ReadConnection:
        try:
            connection = await connections.connect_async(
                self._url, "reader", self._settings, statement_timeout_ms=self._timeout, role="reader"
            )
        except psycopg.OperationalError as error:
            raise Unavailable(str(error)) from error
        connection.adapters.register_loader("varchar", _Bytes)
        return ReadConnection(connection, connection.patience)


async def _show(reader: ReadConnection, org_id: UUID) -> None:
    """Have a connection see an org. If that is broken off, nobody knows which one it sees."""
    reader.org_id = None
    await reader.rows("SELECT set_config('app.org_id', %(org_id)s::text, false)", {"org_id": str(org_id)})
    reader.org_id = org_id


def _was_cancelled(error: psycopg.Error, seconds: float, timeout_ms: int) -> bool:
    """Whether the statement was cancelled from outside, as a rebuild does to get the tables, and not by its own timeout."""
    return isinstance(error, psycopg.errors.QueryCanceled) and seconds * 1000 < timeout_ms
