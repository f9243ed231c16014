"""How much of many writes goes into one transaction: much while nobody else writes, little while others do, who wait for each."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from projections.forecast import folding

ALONE_SECONDS = 0.25
BESIDE_OTHERS_SECONDS = 0.006
"""How long a transaction should keep the log to itself."""
QUIET_SECONDS = 0.4
"""After others wrote: for how long they must have been quiet, so that who writes one thing after the other counts as there."""
LEAST, MOST = 8, 1000
"""Rows, records or operations of a transaction."""
FEWEST = 2
"""Of one that folds sums beside others, which takes as long as a turn should by itself."""
MANY = 16
"""Of so many rows, the last transaction is half of what says what a row takes. Of few it says rather what a transaction takes by
itself."""


class Turn(NamedTuple):
    """A transaction that kept the log to itself for ``held`` seconds, with events from the position ``first`` up to ``following``.
    ``alone`` says whether nobody else has appended since the one before."""

    held: float
    first: int
    following: int
    alone: bool


class Pace:
    """``size`` is that of the next transaction. Tell it of each one with ``done``, and of writes of others that are known otherwise
    with ``others``."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._each = BESIDE_OTHERS_SECONDS / LEAST
        self._room = MOST
        """Rows before the next fold of sums, if nobody else writes."""
        self._begun = False
        self._others_at = -QUIET_SECONDS

    @property
    def alone(self) -> bool:
        """Whether nobody else writes at this time."""
        return self._begun and self._clock() - self._others_at >= QUIET_SECONDS

    @property
    def size(self) -> int:
        """Beside others it ends before sums are folded, and what folds them is small."""
        if self.alone:
            return self._taking(ALONE_SECONDS)
        return min(self._taking(BESIDE_OTHERS_SECONDS), max(FEWEST, self._room))

    def _taking(self, seconds: float) -> int:
        return max(LEAST, min(MOST, int(seconds / self._each)))

    def done(self, number: int, turn: Turn) -> None:
        """So many were done in a transaction. Of the first one nobody knows whether others write."""
        if self._begun and not turn.alone:
            self.others()
        self._begun = True
        if not number:
            return
        events = turn.following - turn.first
        self._room = folding.room(turn.following) * number // max(events, 1)
        if self.alone or folding.room(turn.first) >= events:  # folding takes long, however few the rows are
            self._each += number / (number + MANY) * (turn.held / number - self._each)
            self._each = max(self._each, 1e-6)

    def others(self) -> None:
        self._others_at = self._clock()
