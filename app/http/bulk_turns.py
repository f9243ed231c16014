"""Whose call of many commands is next: one at a time in a process, so that other writes go between them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

from app.reading.read_pool import Identity
from app.reading.turns import Turns

MAX_WAITING = 32
"""Calls of one token that may wait in a process."""


T = TypeVar("T")


class BulkTurns:
    def __init__(self) -> None:
        self._turns = Turns(1, 1, MAX_WAITING, "bulk calls")

    async def run(self, identity: Identity, call: Callable[[], Awaitable[T]]) -> T:
        """Raises ``TooManyWaiting``, and as the call."""
        who = identity.org_id, identity.token_id
        await self._turns.enter(who)
        started = monotonic()
        try:
            return await call()
        finally:
            self._turns.give_back(who, monotonic() - started)
