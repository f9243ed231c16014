"""The database's time, which all processes use, and how far this machine's clock is off."""

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
    answer: datetime = row[0]
    return answer


class Clock:
    """Runs on from the database's last answer; before the first one, by this machine's clock."""

    def __init__(self) -> None:
        self._answer = datetime.now(UTC)
        self._at = monotonic()
        self._off = self._doubt = timedelta(0)
        self._due = self._at

    def due(self) -> bool:
        """Whether the database should be asked again."""
        return monotonic() >= self._due

    def expire(self) -> None:
        """Have the database asked again."""
        self._due = monotonic()

    def tell(self, answer: datetime, asked: float) -> None:
        """Take the database's answer to a question that was ``asked`` at a reading of ``time.monotonic``."""
        answered = monotonic()
        self._answer, self._at, self._due = answer, (asked + answered) / 2, answered + ASK_SECONDS
        self._off, self._doubt = datetime.now(UTC) - self.now(), timedelta(seconds=(answered - asked) / 2)

    def read(self, cursor: SqlCursor) -> datetime:
        """The time; asks the database if it is due."""
        if self.due():
            began = monotonic()
            self.tell(ask(cursor), began)
        return self.now()

    def now(self) -> datetime:
        return self._answer + timedelta(seconds=monotonic() - self._at)

    def warning(self) -> str | None:
        """What is wrong with this machine's clock, if it was far from the database's at the last answer."""
        if abs(self._off) - self._doubt <= FAR:
            return None
        way = "ahead of" if self._off > timedelta(0) else "behind"
        return (
            f"The clock of this machine is {abs(self._off).total_seconds():.0f} s {way} the database's, which counts: correct it."
        )


def asked(cursor: SqlCursor) -> Clock:
    """A clock that has just been set from the database."""
    clock = Clock()
    clock.read(cursor)
    return clock
