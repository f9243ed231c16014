"""Whose call of many commands is next: one at a time in a process, so that other writes go between them."""

from __future__ import annotations

from time import monotonic

from app.reading.read_pool import Identity
from app.reading.turns import Turns
from app.writing.bulk import Bulk, BulkOutcome, Executor

MAX_WAITING = 32
"""Calls of one token that may wait in a process."""


class BulkTurns:
    def __init__(self) -> None:
        self._turns = Turns(1, 1, MAX_WAITING, "bulk calls")

    async def run(self, queue: Executor, identity: Identity, bulk: Bulk) -> BulkOutcome:
        """Raises ``TooManyWaiting``, and as ``execute_bulk``."""
        who = identity.org_id, identity.token_id
        if not self._turns.take(who):
            await self._turns.wait(who)
        started = monotonic()
        try:
            return await queue.execute_bulk(bulk)
        finally:
            self._turns.give_back(who, monotonic() - started)
