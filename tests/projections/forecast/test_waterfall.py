"""The waterfall: each cause in its step, what rates do in theirs, and the opportunities behind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.opportunity.events import Changes, Deleted, Lost, Reopened, Restored, Updated, Won
from projections.forecast import CAUSES, TRANSFERS
from projections.forecast.entries import MEMBERSHIPS
from projections.forecast.limits import MAX_BEHIND
from projections.forecast.waterfall_types import STEPS
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import Books, Happening, created, quoted

JAN, FEB, MAR, APR = (datetime(2026, month, 1, 12, tzinfo=UTC) for month in (1, 2, 3, 4))
MAY, JUNE = date(2026, 5, 31), date(2026, 6, 30)


@pytest.fixture
def books(cursors: Cursors) -> Books:
    return Books(cursors)


def open_deal(number: int, amount: str, at: datetime = JAN, **fields: Any) -> Happening:
    return Happening(number, created(**{"amount": Decimal(amount), "close_date": JUNE, **fields}), at)


def updated(number: int, at: datetime, **fields: Any) -> Happening:
    return Happening(number, Updated(changes=Changes(**fields)), at)


def told(steps: dict[str, Any]) -> dict[str, Any]:
    """The steps in which something happened."""
    return {name: value for name, value in steps.items() if value}


def test_the_steps_shown_are_the_causes_of_the_ledger_between_the_start_and_the_rates() -> None:
    assert ("start", *CAUSES, *TRANSFERS, *MEMBERSHIPS, "rate_change") == STEPS


def test_each_cause_has_its_step_and_the_opportunities_behind_it(books: Books) -> None:
    won = Changes(status="won", probability=100, actual_amount=Decimal(90), actual_close_date=JUNE)
    books.record(
        [
            *(open_deal(number, "100") for number in range(1, 9)),
            open_deal(9, "100", MAR),
            updated(1, MAR, amount=Decimal(150)),
            updated(2, MAR, amount=Decimal(70)),
            updated(3, MAR, close_date=MAY),
            Happening(4, Won(changes=won), MAR),
            Happening(5, Lost(changes=Changes(status="lost", probability=0)), MAR),
            Happening(6, Deleted(), MAR),
            Happening(7, Deleted(), JAN),
            Happening(7, Restored(), MAR),
            Happening(8, Lost(changes=Changes(status="lost", probability=0)), JAN),
            Happening(8, Reopened(changes=Changes(status="open", probability=50)), MAR),
        ]
    )
    answer = books.changes(FEB, APR)
    assert list(answer) == ["currency", "from", "to", "total", "months", "unscheduled", "unconverted"]
    assert (answer["from"], answer["to"]) == ("2026-02-01T12:00:00Z", "2026-04-01T12:00:00Z")
    may, june = answer["months"]
    assert list(june["unweighted"]) == ["start", *CAUSES, "rate_change", "end"]
    assert told(may["unweighted"]) == {"pulled_in": 100, "end": 100}
    assert told(june["unweighted"]) == {
        "start": 600,
        "created": 100,
        "reopened": 100,
        "increased": 50,
        "decreased": -30,
        "pulled_in": -100,
        "won": -10,
        "lost": -100,
        "deleted": -100,
        "restored": 100,
        "end": 610,
    }
    assert june["weighted"]["won"] == 40
    assert told(answer["total"]["unweighted"])["end"] == 710
    assert "pulled_in" not in told(answer["total"]["unweighted"])
    behind = {
        cause: [number for number in range(1, 10) if str(books.id(number)) in each["ids"]]
        for cause, each in june["opportunities"].items()
    }
    assert behind == {
        "created": [9],
        "reopened": [8],
        "increased": [1],
        "decreased": [2],
        "pulled_in": [3],
        "won": [4],
        "lost": [5],
        "deleted": [6],
        "restored": [7],
    }
    assert {cause: each["count"] for cause, each in may["opportunities"].items()} == {"pulled_in": 1}


def test_a_move_there_and_back_again_leaves_nothing_in_between(books: Books) -> None:
    books.record(
        [
            open_deal(1, "100"),
            updated(1, FEB, close_date=date(2026, 7, 1)),
            updated(1, MAR, close_date=date(2026, 8, 1)),
        ]
    )
    months = {month["month"]: month for month in books.changes(JAN, APR)["months"]}
    assert list(months) == ["2026-06", "2026-08"]
    assert months["2026-08"]["opportunities"] == {"pushed_out": {"count": 1, "ids": [str(books.id(1))]}}


def test_a_date_cleared_goes_from_its_month_to_the_unscheduled(books: Books) -> None:
    books.record([open_deal(1, "100"), updated(1, FEB, close_date=None)])
    answer = books.changes(JAN, APR)
    assert told(answer["total"]["unweighted"]) == {"start": 100, "pushed_out": -100}
    assert told(answer["unscheduled"]["unweighted"]) == {"pushed_out": 100, "end": 100}


def test_steps_are_at_the_rates_of_the_start_and_the_rest_is_the_rates(books: Books) -> None:
    books.record(
        [
            quoted("EUR", "2026-01-01", "1.1", JAN),
            quoted("EUR", "2026-03-01", "1.2", MAR),
            open_deal(1, "100", currency="EUR"),
            open_deal(2, "10", MAR, currency="EUR"),
        ]
    )
    (june,) = books.changes(FEB, APR)["months"]
    assert told(june["unweighted"]) == {"start": 110, "created": 11, "rate_change": 11, "end": 132}


def test_winning_is_at_the_rate_of_its_day(books: Books) -> None:
    won = Changes(status="won", probability=100, actual_amount=Decimal(100), actual_close_date=date(2026, 3, 10))
    books.record(
        [
            quoted("EUR", "2026-01-01", "1.1", JAN),
            quoted("EUR", "2026-03-01", "1.2", MAR),
            quoted("EUR", "2026-03-20", "1.3", MAR),
            open_deal(1, "100", currency="EUR", close_date=date(2026, 3, 10)),
            Happening(1, Won(changes=won), MAR),
        ]
    )
    (march,) = books.changes(FEB, APR)["months"]
    assert told(march["unweighted"]) == {"start": 110, "won": 10, "end": 120}


def test_a_currency_that_gets_its_first_rate_comes_in_as_a_rate_change(books: Books) -> None:
    books.record(
        [
            open_deal(1, "100", currency="EUR"),
            open_deal(2, "10", FEB, currency="EUR"),
            quoted("EUR", "2026-01-01", "1.1", MAR),
        ]
    )
    answer = books.changes(JAN, APR)
    assert told(answer["months"][0]["unweighted"]) == {"created": 11, "rate_change": 110, "end": 121}
    assert answer["unconverted"] == []


def test_without_a_rate_the_changes_are_told_in_their_own_currency(books: Books) -> None:
    books.record([open_deal(1, "100", currency="JPY"), updated(1, FEB, amount=Decimal(150))])
    answer = books.changes(JAN, APR)
    assert told(answer["total"]["unweighted"]) == {}
    (yen,) = answer["unconverted"]
    assert (yen["currency"], told(yen["unweighted"])) == ("JPY", {"start": 100, "increased": 50, "end": 150})


def test_the_shown_cents_add_up(books: Books) -> None:
    books.record([open_deal(number, "0.01", at) for number, at in enumerate([JAN, FEB, FEB, MAR])])
    books.record([updated(0, MAR, amount=Decimal("0.02")), Happening(1, Deleted(), MAR)])
    (june,) = books.changes(JAN, APR)["months"]
    steps = june["weighted"]
    assert sum(steps.values()) == 2 * steps["end"] == Decimal("0.04")


def test_both_bounds_show_every_month_and_count_only_their_days(books: Books) -> None:
    books.record([open_deal(1, "100", FEB), open_deal(2, "1", FEB, close_date=MAY)])
    months = books.changes(JAN, APR, since="2026-04-15", until="2026-05-31")["months"]
    assert [month["month"] for month in months] == ["2026-04", "2026-05"]
    assert [month["unweighted"]["end"] for month in months] == [0, 1]


def test_behind_a_step_there_are_so_many_ids_and_the_number_of_all(books: Books) -> None:
    books.record([open_deal(number, "1", FEB) for number in range(MAX_BEHIND + 5)])
    (june,) = books.changes(JAN, APR)["months"]
    assert june["opportunities"]["created"]["count"] == MAX_BEHIND + 5
    assert len(june["opportunities"]["created"]["ids"]) == MAX_BEHIND
