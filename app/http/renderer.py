"""Large answers are rendered on a thread, one at a time, the tokens in turns.

Who renders holds the interpreter's lock: a second thread would not render faster, and would take its time from all other requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from app.http.response import JsonResponse
from app.reading.presence import Presence
from app.reading.read_pool import Identity
from app.reading.turns import Asker, Turns

LARGE = 65_536
"""Bytes from which on an answer is rendered on the thread, so that others get their turn meanwhile."""


class Renderer:
    """Must be used on one event loop. Who has a large answer rendered rests afterwards as ``presence`` says."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._turns = Turns(1, 1)

    async def response(self, identity: Identity, bytes_: int, render: Callable[[], bytes]) -> JsonResponse:
        """What ``render`` makes of so many bytes."""
        return JsonResponse(render() if bytes_ < LARGE else await self._aside(identity, render))

    async def _aside(self, identity: Identity, render: Callable[[], bytes]) -> bytes:
        """The turn ends when the thread has, also if the client is gone by then."""
        who = identity.org_id, identity.token_id
        if not self._turns.take(who):
            await self._turns.wait(who)
        began = monotonic()
        work = asyncio.ensure_future(asyncio.to_thread(render))
        work.add_done_callback(lambda done: self._ended(who, monotonic() - began, done))
        return await asyncio.shield(work)

    def _ended(self, who: Asker, seconds: float, work: asyncio.Future[bytes]) -> None:
        self._turns.give_back(who, seconds, self._presence.rest(who[1], seconds))
        if not work.cancelled():
            work.exception()  # which is nobody's if the client is gone


def size(row: Sequence[Any]) -> int:
    """The bytes of JSON in a row."""
    return sum(len(column) for column in row if isinstance(column, bytes))
