"""The database's time, which all processes go by, and how far this machine's clock is from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic

from domain.sql_cursor import SqlCursor

NOW = "SELECT clock_timestamp()"
"""Statement for the database's time."""
ASK_SECONDS = 30.0
FAR = timedelta(seconds=2)


def ask(cursor: SqlCursor) -> datetime:
    row = cursor.execute(NOW).fetchone()
    assert row is not None
    told: datetime = row[0]
    return told


class Clock:
    """Goes on by itself from what the database told last; by this machine's clock before it told anything."""

    def __init__(self) -> None:
        self._told = datetime.now(UTC)
        self._at = monotonic()
        self._off = self._doubt = timedelta(0)
        self._due = self._at

    def due(self) -> bool:
        """Whether the database should be asked again."""
        return monotonic() >= self._due

    def expire(self) -> None:
        """Let the database be asked again."""
        self._due = monotonic()

    def tell(self, told: datetime, asked: float) -> None:
        """What the database answered just now to a question ``asked`` at a reading of ``time.monotonic``."""
        answered = monotonic()
        self._told, self._at, self._due = told, (asked + answered) / 2, answered + ASK_SECONDS
        self._off, self._doubt = datetime.now(UTC) - self.now(), timedelta(seconds=(answered - asked) / 2)

    def read(self, cursor: SqlCursor) -> datetime:
        """The time, of which the database is asked where it should be."""
        if self.due():
            began = monotonic()
            self.tell(ask(cursor), began)
        return self.now()

    def now(self) -> datetime:
        return self._told + timedelta(seconds=monotonic() - self._at)

    def warning(self) -> str | None:
        """What is wrong with this machine's clock, if it was far from the database's when that told the time."""
        if abs(self._off) - self._doubt <= FAR:
            return None
        way = "ahead of" if self._off > timedelta(0) else "behind"
        return (
            f"The clock of this machine is {abs(self._off).total_seconds():.0f} s {way} the database's, which counts: set it right."
        )


def asked(cursor: SqlCursor) -> Clock:
    """A clock that was told the time just now."""
    clock = Clock()
    clock.read(cursor)
    return clock
