"""How much of an import goes into one transaction: much while nobody else writes, little while others do, who wait for each."""

from __future__ import annotations

from app.writing.committer import Committer

ALONE_SECONDS = 0.25
BESIDE_OTHERS_SECONDS = 0.02
"""How long a transaction should keep the log to itself."""
LEAST, MOST = 8, 400
"""Rows, or records, of a transaction."""
EAGERNESS = 0.5
"""The part of the last transaction in what a row is expected to take."""


class Pace:
    """``size`` is that of the next transaction. Tell it of each one with ``done``."""

    def __init__(self, committer: Committer) -> None:
        self._committer = committer
        self._each = BESIDE_OTHERS_SECONDS / LEAST

    @property
    def size(self) -> int:
        seconds = ALONE_SECONDS if self._committer.alone else BESIDE_OTHERS_SECONDS
        return max(LEAST, min(MOST, int(seconds / self._each)))

    def done(self, number: int) -> None:
        """The committer's last transaction had so many rows."""
        if number:
            self._each += EAGERNESS * (self._committer.held / number - self._each)
            self._each = max(self._each, 1e-6)
