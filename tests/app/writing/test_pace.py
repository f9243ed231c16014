"""How much of many writes goes into one transaction."""

from __future__ import annotations

from app.writing.pace import ALONE_SECONDS, BESIDE_OTHERS_SECONDS, FEWEST, LEAST, MOST, QUIET_SECONDS, Pace, Turn


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def turn(held: float, *, alone: bool = True, first: int = 1, events: int = 0) -> Turn:
    return Turn(held, first, first + events, alone)


def test_a_transaction_is_long_while_nobody_else_writes_and_short_while_others_do() -> None:
    pace = Pace(Clock())
    for _ in range(60):
        pace.done(64, turn(0.03125))  # a 2,048th of a second each
    assert pace.size == int(ALONE_SECONDS * 2048)
    pace.done(64, turn(0.03125, alone=False))
    assert pace.size == int(BESIDE_OTHERS_SECONDS * 2048)


def test_a_large_transaction_says_at_once_what_a_row_takes_and_a_small_one_little() -> None:
    pace = Pace(Clock())
    pace.done(LEAST, turn(0.1))  # what a transaction takes by itself, for the most part
    pace.done(200, turn(0.1))
    assert 300 < pace.size < 500
    pace.done(LEAST, turn(0.1))
    assert pace.size < 300


def test_who_has_written_just_now_still_counts() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.done(10, turn(0.01))
    pace.others()
    pace.done(10, turn(0.01))
    clock.now += QUIET_SECONDS / 2
    found = [pace.alone]
    clock.now += QUIET_SECONDS / 2
    assert [*found, pace.alone] == [False, True]


def test_of_the_first_transaction_nobody_knows_whether_others_write() -> None:
    pace = Pace(Clock())
    found = [pace.alone]
    pace.done(10, turn(0.01, alone=False))
    assert [*found, pace.alone] == [False, True]


def test_a_transaction_has_some_rows_however_slow_they_are_and_not_too_many_however_fast() -> None:
    pace = Pace(Clock())
    pace.done(1, turn(50.0))
    assert pace.size == LEAST
    for _ in range(60):
        pace.done(MOST, turn(0.0))
    assert pace.size == MOST


def test_beside_others_a_transaction_ends_before_sums_are_folded_and_what_folds_them_is_small() -> None:
    pace = Pace(Clock())
    for _ in range(60):
        pace.done(16, turn(1 / 256, alone=False, events=32))  # a 4,096th of a second each
    free = pace.size
    pace.done(16, turn(1 / 256, alone=False, first=60, events=32))
    near = pace.size
    pace.done(16, turn(1 / 256, alone=False, first=94, events=32))
    assert [free, near, pace.size] == [int(BESIDE_OTHERS_SECONDS * 4096), 18, FEWEST]
    pace.done(FEWEST, turn(1.0, alone=False, first=126, events=2 * FEWEST))
    assert pace.size == free, "what folding takes says nothing of rows"


def test_who_writes_alone_folds_in_large_transactions() -> None:
    pace = Pace(Clock())
    for _ in range(60):
        pace.done(64, turn(0.0625, first=126, events=128))
    assert pace.size == int(ALONE_SECONDS * 1024)
