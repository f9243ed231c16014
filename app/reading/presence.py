"""Which tokens sent requests lately, to any process of an API: the last two of them, in a page of memory that the processes share.

What a token asks that takes long may have the machine while nobody else is there, and leaves most of it to others when they are.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from time import monotonic
from uuid import UUID

SECONDS = 1.0
"""For how long after a request a token counts as there."""
REST = 3
"""How many times as long as it took a token's next question waits while others are there: a quarter of the time is left to it."""
MOST_SECONDS = 1.0
"""The longest rest."""

_SLOT = Struct("Qd")  # a token, and when it last sent a request by the clock that all processes of a machine share
_PLACES = 0, _SLOT.size


class Presence:
    """Nothing is locked: at worst a request is overlooked, and the next one is not."""

    def __init__(self, folder: str | None = None, clock: Callable[[], float] = monotonic) -> None:
        """``folder`` is one that the processes share; without it, this process is the only one."""
        self._clock = clock
        if folder is None:
            self._page = mmap.mmap(-1, mmap.PAGESIZE)
            return
        file = os.open(Path(folder, "presence"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(file, mmap.PAGESIZE)  # which leaves what is there
            self._page = mmap.mmap(file, mmap.PAGESIZE)
        finally:
            os.close(file)

    def note(self, token_id: UUID) -> None:
        """A token sent a request."""
        who = _short(token_id)
        (first, at), (second, then) = (_SLOT.unpack_from(self._page, place) for place in _PLACES)
        mine = who == second or (who != first and then < at)
        _SLOT.pack_into(self._page, _PLACES[mine], who, self._clock())

    def rest(self, token_id: UUID | None, seconds: float) -> float:
        """For how long a token whose question took so long leaves the machine to others; 0 if there are none."""
        return min(REST * seconds, MOST_SECONDS) if self.others(token_id) else 0.0

    def others(self, token_id: UUID | None) -> bool:
        """Whether another token sent a request lately."""
        who = _short(token_id) if token_id is not None else 0
        since = self._clock() - SECONDS
        return any(other != who and at > since for other, at in (_SLOT.unpack_from(self._page, place) for place in _PLACES))


def _short(token_id: UUID) -> int:
    return token_id.int & 0xFFFFFFFFFFFFFFFF
