"""How much of many writes goes into one transaction: much while nobody else writes, little while others do, who wait for each."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

ALONE_SECONDS = 0.25
BESIDE_OTHERS_SECONDS = 0.01
"""How long a transaction should keep the log to itself."""
QUIET_SECONDS = 0.4
"""After others wrote: for how long they must have been quiet, so that who writes one thing after the other counts as there."""
LEAST, MOST = 8, 500
"""Rows, records or operations of a transaction; a bulk call has no more."""
EAGERNESS = 0.5
"""The part of the last transaction in what a row is expected to take."""


class Pace:
    """``size`` is that of the next transaction. Tell it of each one with ``done``, and of writes of others that are known otherwise
    with ``others``."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._each = BESIDE_OTHERS_SECONDS / LEAST
        self._begun = False
        self._others_at = -QUIET_SECONDS

    @property
    def alone(self) -> bool:
        """Whether nobody else writes at this time."""
        return self._begun and self._clock() - self._others_at >= QUIET_SECONDS

    @property
    def size(self) -> int:
        seconds = ALONE_SECONDS if self.alone else BESIDE_OTHERS_SECONDS
        return max(LEAST, min(MOST, int(seconds / self._each)))

    def done(self, number: int, held: float, *, alone: bool) -> None:
        """A transaction of so many kept the log to itself for so long; ``alone`` if nobody else has appended since the one before,
        which of the first one nobody knows."""
        if self._begun and not alone:
            self.others()
        self._begun = True
        if number:
            self._each += EAGERNESS * (held / number - self._each)
            self._each = max(self._each, 1e-6)

    def others(self) -> None:
        self._others_at = self._clock()
