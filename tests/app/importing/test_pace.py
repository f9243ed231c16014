"""How much of an import goes into one transaction."""

from __future__ import annotations

from app.importing.pace import ALONE_SECONDS, BESIDE_OTHERS_SECONDS, LEAST, MOST, Pace
from app.writing.committer import Committer


def test_a_transaction_is_long_while_nobody_else_writes_and_short_while_others_do() -> None:
    committer = Committer("postgresql://nowhere.invalid/")
    pace = Pace(committer)
    committer.held = 0.0625
    for _ in range(60):
        pace.done(64)  # a 1,024th of a second each
    committer.alone = True
    assert pace.size == int(ALONE_SECONDS * 1024)
    committer.alone = False
    assert pace.size == int(BESIDE_OTHERS_SECONDS * 1024)


def test_a_transaction_has_some_rows_however_slow_they_are_and_not_too_many_however_fast() -> None:
    committer = Committer("postgresql://nowhere.invalid/")
    pace = Pace(committer)
    committer.held = 50.0
    pace.done(1)
    assert pace.size == LEAST
    committer.held, committer.alone = 0.0, True
    for _ in range(60):
        pace.done(MOST)
    assert pace.size == MOST
