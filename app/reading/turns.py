"""Who is next: places that are given in turns to those who wait, so that a token that asks a lot waits for itself.

Orgs take turns, and within an org its tokens. A token holds at most its share of the places; beyond it, it waits without keeping
others from theirs.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from uuid import UUID

Asker = tuple[UUID | None, UUID | None]
"""An org and a token; None for what we ask ourselves."""


class TooManyWaiting(Exception):
    """A token has as many questions waiting as it may. ``seconds`` is about how long one of them will wait."""

    def __init__(self, number: int, seconds: int, what: str) -> None:
        super().__init__(f"{number} {what} of this token that take long are waiting already; wait {seconds} s.")
        self.seconds = seconds


class Turns:
    """``places`` at once, ``share`` of them for one token, of which ``most`` questions may wait. Each step has a constant cost.

    ``what`` names the questions.
    """

    def __init__(self, places: int, share: int, most: int | None = None, what: str = "questions") -> None:
        self._what = what
        self._free = places
        self._share = share
        self._most = most
        self._held: dict[Asker, int] = {}
        self._queues: dict[Asker, OrderedDict[asyncio.Future[None], None]] = {}
        # The orgs, and of each the tokens, that wait and hold less than their share: the next ones first.
        self._next: OrderedDict[UUID | None, OrderedDict[UUID | None, None]] = OrderedDict()
        self._seconds = 1.0  # that a place is held, on average of the last ones

    async def enter(self, who: Asker) -> None:
        """Take a place as soon as there is one. Raises ``TooManyWaiting``."""
        if not self.take(who):
            await self.wait(who)

    def take(self, who: Asker) -> bool:
        """Take a place if one is free for the token now; otherwise ``wait`` for it."""
        held = self._held.get(who, 0)
        if not self._free or held >= self._share:
            return False
        self._free -= 1  # nobody waits who could have it
        self._held[who] = held + 1
        return True

    def give_back(self, who: Asker, seconds: float | None = None, rest: float = 0.0) -> None:
        """Give a place, which was held for so long, to whoever is next. The token gets none in its stead before it has rested."""
        if seconds is not None:
            self._seconds += (seconds + rest - self._seconds) / 8
        self._free += 1
        if not rest:
            self._rested(who)
            return
        asyncio.get_running_loop().call_later(rest, self._rested, who)
        self._hand_out()

    def _rested(self, who: Asker) -> None:
        held = self._held.pop(who) - 1
        if held:
            self._held[who] = held
        if self._queues:
            if who in self._queues:
                self._line_up(who)
            self._hand_out()

    async def wait(self, who: Asker) -> None:
        """Wait for a place. Raises ``TooManyWaiting``."""
        queue = self._queues.get(who)
        if queue is None:
            queue = self._queues[who] = OrderedDict()
        elif self._most is not None and len(queue) >= self._most:
            raise TooManyWaiting(len(queue), max(1, math.ceil(self._seconds * len(queue) / self._share)), self._what)
        turn = asyncio.get_running_loop().create_future()
        queue[turn] = None
        if self._held.get(who, 0) < self._share:
            self._line_up(who)
        try:
            await turn
        except BaseException:
            if turn.cancelled():
                self._leave(who, turn)
            else:  # it came, and whoever waited for it is gone
                self.give_back(who)
            raise

    def _line_up(self, who: Asker) -> None:
        org, token = who
        tokens = self._next.get(org)
        if tokens is None:
            tokens = self._next[org] = OrderedDict()
        tokens.setdefault(token)

    def _hand_out(self) -> None:
        while self._free and self._next:
            org, tokens = self._next.popitem(last=False)
            token, _ = tokens.popitem(last=False)
            who = org, token
            queue = self._queues[who]
            turn, _ = queue.popitem(last=False)
            if not turn.done():  # else it was cancelled this very moment
                self._free -= 1
                self._held[who] = self._held.get(who, 0) + 1
                turn.set_result(None)
            if not queue:
                del self._queues[who]
            elif self._held.get(who, 0) < self._share:
                tokens[token] = None
            if tokens:
                self._next[org] = tokens

    def _leave(self, who: Asker, turn: asyncio.Future[None]) -> None:
        queue = self._queues.get(who)
        if queue is None or turn not in queue:
            return
        del queue[turn]
        if not queue:
            del self._queues[who]
            org, token = who
            if (tokens := self._next.get(org)) is not None:
                tokens.pop(token, None)
                if not tokens:
                    del self._next[org]
