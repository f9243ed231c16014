"""How much of many writes goes into one transaction."""

from __future__ import annotations

from app.writing.pace import ALONE_SECONDS, BESIDE_OTHERS_SECONDS, LEAST, MOST, QUIET_SECONDS, Pace


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_transaction_is_long_while_nobody_else_writes_and_short_while_others_do() -> None:
    pace = Pace(Clock())
    for _ in range(60):
        pace.done(64, 0.0625, alone=True)  # a 1,024th of a second each
    assert pace.size == int(ALONE_SECONDS * 1024)
    pace.done(64, 0.0625, alone=False)
    assert pace.size == int(BESIDE_OTHERS_SECONDS * 1024)


def test_who_has_written_just_now_still_counts() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.done(10, 0.01, alone=True)
    pace.others()
    pace.done(10, 0.01, alone=True)
    clock.now += QUIET_SECONDS / 2
    found = [pace.alone]
    clock.now += QUIET_SECONDS / 2
    assert [*found, pace.alone] == [False, True]


def test_of_the_first_transaction_nobody_knows_whether_others_write() -> None:
    pace = Pace(Clock())
    found = [pace.alone]
    pace.done(10, 0.01, alone=False)
    assert [*found, pace.alone] == [False, True]


def test_a_transaction_has_some_rows_however_slow_they_are_and_not_too_many_however_fast() -> None:
    pace = Pace(Clock())
    pace.done(1, 50.0, alone=True)
    assert pace.size == LEAST
    for _ in range(60):
        pace.done(MOST, 0.0, alone=True)
    assert pace.size == MOST
