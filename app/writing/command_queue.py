"""The queue of commands, and the one thread of a process that writes.

Commands that gather while a transaction commits, or waits for the log, make up the next one; so batches size themselves, and a
single command waits for no others. The queue is bounded: beyond that, commands are refused.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from app.process.failures import Unavailable
from app.writing.bulk import Bulk, BulkOutcome
from app.writing.committer import MAX_BATCH, Committer
from app.writing.envelope import Envelope, Outcome
from app.writing.pace import Pace
from app.writing.write_metrics import WriteMetrics

CAPACITY = 2_000
FRESH_SECONDS = 5.0
"""How long after an answer of the database ``ping`` need not ask it again."""

_Queued = tuple[Envelope | Bulk, asyncio.Future[Any]]


class CommandQueue:
    """Runs the commands of one event loop on a committer of its own."""

    def __init__(self, committer: Committer, *, capacity: int = CAPACITY) -> None:
        self._committer = committer
        self._capacity = capacity
        self._queue: deque[_Queued] = deque()
        self._metrics = WriteMetrics(self._queue)
        self.pace = Pace()
        """Of calls of many commands."""
        self._idle = threading.Lock()  # the thread takes it to wait; the event loop, and nobody else, gives it back
        self._idle.acquire()
        self._waking = False
        self._closing = False
        self._answered_at = -FRESH_SECONDS
        self._asked: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Call it on the event loop that submits commands."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def execute(self, envelope: Envelope) -> Outcome:
        """The outcome, once it is committed. Raises the command's ``DomainError``, or ``Unavailable``.

        A caller that is cancelled does not take its command back.
        """
        outcome: Outcome = await self._done(envelope)
        return outcome

    async def execute_bulk(self, bulk: Bulk) -> BulkOutcome:
        """As ``execute``, for a call of many commands, which has a transaction of its own between those of others."""
        outcome: BulkOutcome = await self._done(bulk)
        return outcome

    async def _done(self, command: Envelope | Bulk) -> Any:
        assert self._loop is not None
        if self._closing or len(self._queue) >= self._capacity:
            self._metrics.refused()
            raise Unavailable("Too many writes are waiting.")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append((command, future))
        self._metrics.queued()
        if not self._waking:  # once for all commands of this turn of the loop
            self._waking = True
            self._loop.call_soon(self._awaken)
        return await future

    async def ping(self, seconds: float) -> None:
        """Raises ``Unavailable`` unless the database answered the writer just now, or does so within ``seconds``."""
        if monotonic() - self._answered_at < FRESH_SECONDS:
            return
        assert self._loop is not None
        if self._asked is None or self._asked.done():
            self._asked = self._loop.create_future()
            self._awaken()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.shield(self._asked)
        except TimeoutError as error:
            raise Unavailable("The database does not answer the writer.") from error

    async def close(self) -> None:
        """Finish what is queued and stop."""
        self._closing = True
        self._awaken()
        await asyncio.to_thread(self._thread.join)

    def _awaken(self) -> None:
        self._waking = False
        if self._idle.locked():
            self._idle.release()

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                if batch:
                    self._execute(batch)
                self._answer()
        finally:
            self._committer.close()

    def _answer(self) -> None:
        """Answer ``ping``: whether the database answers."""
        asked = self._asked
        if asked is None or asked.done():
            return
        assert self._loop is not None
        fault: Unavailable | None = None
        try:
            self._committer.ping()
            self._answered_at = monotonic()
        except Unavailable as error:
            fault = error

        def tell() -> None:
            if not asked.done():
                asked.set_exception(fault) if fault else asked.set_result(None)
                asked.exception()  # whoever asked may be gone

        self._asked = None
        _call(self._loop, tell)

    def _next(self) -> list[_Queued] | None:
        """The next batch, empty if only ``ping`` waits; None when closed and drained."""
        while not self._queue and not self._closing and self._asked is None:
            self._idle.acquire()
        if self._closing and not self._queue:
            return None
        batch: list[_Queued] = []
        while self._queue and len(batch) < MAX_BATCH and isinstance(self._queue[0][0], Envelope):
            batch.append(self._queue.popleft())
        return batch or [self._queue.popleft() for _ in range(min(len(self._queue), 1))]  # a call of many goes on its own

    def _execute(self, batch: list[_Queued]) -> None:
        """Run a batch, and the commands that join it; or a call of many."""
        joined: list[_Queued] = []

        def more(room: int) -> list[Envelope]:
            found: list[Envelope] = []
            while self._queue and len(found) < room:
                command = self._queue[0][0]
                if not isinstance(command, Envelope) or command.kind != "opportunity":
                    break
                joined.append(self._queue.popleft())
                found.append(command)
            return found

        results: list[Any]
        try:
            if isinstance(bulk := batch[0][0], Bulk):
                results = [self._committer.run_bulk(bulk)]
                self.pace.done(len(bulk.units), self._committer.turn)
            else:
                self.pace.others()
                results = self._committer.run([command for command, _ in batch if isinstance(command, Envelope)], more)
        except Exception as error:  # noqa: BLE001 - every waiting caller must hear of it
            results = [error] * (len(batch) + len(joined))
        self._answered_at = -FRESH_SECONDS if isinstance(results[-1], Unavailable) else monotonic()
        self._settle([*batch, *joined], results)

    def _settle(self, queued: list[_Queued], results: list[Any]) -> None:
        assert self._loop is not None

        def settle() -> None:
            for (_, future), result in zip(queued, results, strict=True):
                if future.done():
                    continue
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)

        _call(self._loop, settle)


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[[], Any]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(callback)
