"""What a token asks that takes long: while others are there, one thing at a time on half the processors, and a rest after each.

As many as there are processors would leave none free, and then every other request waits until the kernel takes one of them off its
processor: some milliseconds, where a record takes one.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from app.reading.presence import Presence
from app.reading.token_locks import TokenLocks
from app.reading.turns import Asker, Turns

LARGE = 65_536
"""Bytes of JSON from which on what is made of them is made on a thread."""

T = TypeVar("T")


class Begun(NamedTuple):
    at: float
    alone: bool
    """Whether nobody else was there, so that there was nothing to wait for."""


class Aside:
    """Must be used on one event loop. The processes of an API share ``folder``; without it, this process is the only one."""

    def __init__(self, presence: Presence, folder: str | None = None) -> None:
        self._presence = presence
        self._turns = Turns(sys.maxsize, 1)
        self._thread = Turns(1, 1)
        self._locks = TokenLocks(folder) if folder is not None else None

    async def begin(self, who: Asker) -> Begun:
        """Wait for the token's turn, which ``end`` ends."""
        if not self._presence.others(who[1]):
            return Begun(monotonic(), alone=True)
        await self._turns.enter(who)
        if self._locks is not None:
            await self._locks.take(who[1], lambda: self._give_back(who))
        return Begun(monotonic(), alone=False)

    def end(self, who: Asker, begun: Begun) -> float:
        """For how long the token rests now."""
        if not begun.alone:
            self._give_back(who)
        return self._presence.rest(who[1], monotonic() - begun.at)

    def _give_back(self, who: Asker) -> None:
        if self._locks is not None:
            self._locks.give_back(who[1])
        self._turns.give_back(who)

    async def on_thread(self, who: Asker, work: Callable[[], T]) -> T:
        """What ``work`` returns, on a thread: one at a time, the tokens in turns, so that the event loop and other requests go on.

        Who works holds the interpreter's lock: two threads would not be faster, and would take their time from all others. The turn
        ends with the work, also if the caller is gone by then.
        """
        begun = await self.begin(who)
        try:
            await self._thread.enter(who)
        except BaseException:
            self.end(who, begun)
            raise
        working = asyncio.ensure_future(asyncio.to_thread(work))
        working.add_done_callback(lambda _: self._worked(who, begun, working))
        return await asyncio.shield(working)

    def _worked(self, who: Asker, begun: Begun, working: asyncio.Future[Any]) -> None:
        self._thread.give_back(who, rest=self.end(who, begun))
        if not working.cancelled():
            working.exception()  # which is nobody's if the caller is gone


def json_bytes(row: Sequence[Any]) -> int:
    """The bytes of JSON in a row."""
    return sum(len(column) for column in row if isinstance(column, bytes))
