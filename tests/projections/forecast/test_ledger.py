"""Which steps an event posts, and the forecast as it is answered."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec import structs

from domain import account, user
from domain.opportunity.events import Changes, Deleted, State, Updated, Won
from projections.forecast import postings
from projections.forecast.groups import GroupBy
from projections.forecast.limits import MAX_MONTHS
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import NOW, TODAY, Books, Happening, bounds, created, quoted

JAN, FEB, MAR = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
MAY, JUNE = date(2026, 5, 31), date(2026, 6, 30)


@pytest.fixture
def books(cursors: Cursors) -> Books:
    return Books(cursors)


def deal(**fields: Any) -> State:
    given = {"status": "open", "currency": "USD", "probability": 50, "amount": Decimal(100), "close_date": JUNE, **fields}
    return State(
        id=UUID(int=1),
        org_id=UUID(int=2),
        version=1,
        created_at=JAN,
        updated_at=JAN,
        name="A deal",
        account_id=UUID(int=3),
        owner_id=UUID(int=4),
        stage="proposal",
        probability_source="stage",
        stage_entered_at=JAN,
        **given,
    )


WON = {"status": "won", "probability": 100, "actual_amount": Decimal(90), "actual_close_date": JUNE}
LOST = {"status": "lost", "probability": 0}


def steps(before: State | None, **after: Any) -> list[tuple[Any, ...]]:
    """Cause, month, unweighted, weighted and number of deals of each posting."""
    state = structs.replace(before, **after) if before else deal(**after)
    return [(p.cause, p.day and p.day.month, p.unweighted, p.weighted, p.n) for p in postings(before, state)]


def test_a_new_deal_is_created_where_it_closes() -> None:
    assert steps(None) == [("created", 6, 100, 50, 1)]
    assert steps(None, close_date=None) == [("created", None, 100, 50, 1)]
    assert steps(None, amount=None) == [("created", 6, 0, 0, 1)]
    assert steps(None, **WON) == [("created", 6, 90, 90, 1)]
    assert steps(None, **LOST) == []


def test_another_amount_moves_both_sums_at_the_old_probability() -> None:
    assert steps(deal(), amount=Decimal(120)) == [("increased", 6, 20, 10, 0)]
    assert steps(deal(), amount=None) == [("decreased", 6, -100, -50, 0)]


def test_another_probability_moves_the_weighted_sum_alone() -> None:
    assert steps(deal(), probability=80) == [("increased", 6, 0, 30, 0)]
    assert steps(deal(), probability=0) == [("decreased", 6, 0, -50, 0)]


def test_more_money_at_lower_odds_is_an_increase_and_a_decrease() -> None:
    assert steps(deal(), amount=Decimal(200), probability=10) == [
        ("increased", 6, 100, 50, 0),
        ("decreased", 6, 0, -80, 0),
    ]


def test_another_date_moves_the_old_amount_before_anything_else() -> None:
    assert steps(deal(), close_date=MAY, amount=Decimal(120)) == [
        ("pulled_in", 6, -100, -50, -1),
        ("pulled_in", 5, 100, 50, 1),
        ("increased", 5, 20, 10, 0),
    ]
    assert [step[0] for step in steps(deal(), close_date=date(2026, 7, 1))] == ["pushed_out", "pushed_out"]


def test_a_date_given_pulls_in_and_a_date_cleared_pushes_out() -> None:
    assert steps(deal(close_date=None), close_date=JUNE) == [
        ("pulled_in", None, -100, -50, -1),
        ("pulled_in", 6, 100, 50, 1),
    ]
    assert steps(deal(), close_date=None) == [
        ("pushed_out", 6, -100, -50, -1),
        ("pushed_out", None, 100, 50, 1),
    ]


def test_winning_is_the_difference_to_what_was_expected() -> None:
    assert steps(deal(), **WON) == [("won", 6, -100, -50, -1), ("won", 6, 90, 90, 1)]


def test_winning_early_pulls_the_deal_in_first() -> None:
    assert steps(deal(), **{**WON, "actual_close_date": MAY}) == [
        ("pulled_in", 6, -100, -50, -1),
        ("pulled_in", 5, 100, 50, 1),
        ("won", 5, -100, -50, -1),
        ("won", 5, 90, 90, 1),
    ]


def test_a_won_deal_is_mended_like_any_other() -> None:
    won = deal(**WON)
    assert steps(won, actual_amount=Decimal(95)) == [("increased", 6, 5, 5, 0)]
    assert [step[0] for step in steps(won, actual_close_date=MAY)] == ["pulled_in", "pulled_in"]
    assert steps(won, amount=Decimal(5), close_date=MAY) == []


def test_losing_takes_the_deal_out_and_reopening_puts_it_back_on_its_own_day() -> None:
    assert steps(deal(), **LOST, close_date=MAY) == [("lost", 6, -100, -50, -1)]
    assert steps(deal(**LOST), status="open", probability=20) == [("reopened", 6, 100, 20, 1)]
    assert steps(deal(**{**WON, "actual_close_date": MAY}), status="open", probability=20, actual_amount=None) == [
        ("reopened", 5, -90, -90, -1),
        ("reopened", 6, 100, 20, 1),
    ]
    assert steps(deal(**WON), **LOST) == [("lost", 6, -90, -90, -1)]
    assert steps(deal(**LOST), **WON) == [("won", 6, 90, 90, 1)]


def test_deleting_and_restoring_move_the_whole_deal() -> None:
    assert steps(deal(), deleted=True) == [("deleted", 6, -100, -50, -1)]
    assert steps(deal(deleted=True), deleted=False) == [("restored", 6, 100, 50, 1)]
    assert steps(deal(**LOST), deleted=True) == []


def test_another_currency_takes_the_amount_out_of_the_one_and_puts_it_into_the_other() -> None:
    out, into = postings(deal(), deal(currency="EUR"))
    assert (out.cause, out.currency, out.unweighted, out.n) == ("decreased", "USD", Decimal(-100), -1)
    assert (into.cause, into.currency, into.unweighted, into.n) == ("increased", "EUR", Decimal(100), 1)


def test_what_moves_no_money_posts_nothing() -> None:
    assert steps(deal(), owner_id=UUID(int=9), stage="negotiation", tags=("new",), name="Another") == []
    assert steps(deal(**LOST), amount=Decimal(5), close_date=MAY) == []
    assert steps(deal(amount=None), probability=90) == []


def open_deal(number: int, amount: str, close_date: date | None, **fields: Any) -> Happening:
    return Happening(number, created(amount=Decimal(amount), close_date=close_date, **fields), JAN)


def test_the_body_is_the_seeds_and_then_more(books: Books) -> None:
    books.record([open_deal(1, "180000", JUNE), open_deal(2, "0.01", JUNE, probability=50), open_deal(3, "7", None)])
    assert books.forecast_bytes(since="2026-05-01", until="2026-06-30").decode() == (
        '{"currency":"USD","months":['
        '{"month":"2026-05","unweighted":0,"weighted":0,"open_unweighted":0,"open_weighted":0,"won":0,"count":0},'
        '{"month":"2026-06","unweighted":180000.01,"weighted":90000,"open_unweighted":180000.01,"open_weighted":90000,'
        '"won":0,"count":2}],'
        '"unscheduled":{"unweighted":7,"weighted":3.5,"open_unweighted":7,"open_weighted":3.5,"won":0,"count":1},'
        '"unconverted":[],"as_of":null}'
    )


def test_without_both_bounds_only_months_with_deals_appear(books: Books) -> None:
    books.record([open_deal(1, "1", date(2026, 1, 5)), open_deal(2, "2", JUNE)])
    assert [month["month"] for month in books.forecast()["months"]] == ["2026-01", "2026-06"]
    assert [month["month"] for month in books.forecast(since="2026-02-01")["months"]] == ["2026-06"]
    assert [month["month"] for month in books.forecast(until="2026-06-29")["months"]] == ["2026-01"]


def test_a_bound_inside_a_month_counts_only_its_days(books: Books) -> None:
    books.record([open_deal(n, "1", date(2026, 6, n)) for n in range(1, 31)])
    (june,) = books.forecast(since="2026-06-10", until="2026-06-12")["months"]
    assert june["count"] == june["unweighted"] == 3


def test_won_deals_count_in_full_in_the_month_they_were_won_and_lost_and_deleted_ones_not_at_all(books: Books) -> None:
    won = {"status": "won", "probability": 100, "actual_amount": Decimal(90), "actual_close_date": MAY}
    books.record(
        [
            open_deal(1, "100", JUNE),
            Happening(1, Won(changes=Changes(**won)), FEB),  # type: ignore[arg-type]
            open_deal(2, "5", JUNE, status="lost"),
            open_deal(3, "6", JUNE),
            Happening(3, Deleted(), FEB),
        ]
    )
    (may,) = books.forecast()["months"]
    assert (may["month"], may["unweighted"], may["weighted"], may["won"], may["count"]) == ("2026-05", 90, 90, 90, 1)
    (june,) = books.forecast(as_of=JAN)["months"]
    assert (june["month"], june["unweighted"], june["count"]) == ("2026-06", 106, 2)


def test_open_deals_take_the_latest_rate_and_won_ones_that_of_their_day(books: Books) -> None:
    won = {"status": "won", "currency": "EUR", "probability": 100, "actual_amount": Decimal(100)}
    books.record(
        [
            quoted("EUR", "2026-01-01", "1.10", JAN),
            quoted("EUR", "2026-05-15", "1.20", JAN),
            quoted("EUR", "2026-07-01", "9", JAN),
            Happening(1, created(actual_close_date=date(2026, 5, 14), **won), JAN),
            Happening(2, created(actual_close_date=date(2026, 5, 15), **won), JAN),
            Happening(3, created(currency="EUR", amount=Decimal(100), close_date=date(2026, 5, 1)), JAN),
        ]
    )
    (may,) = books.forecast()["months"]
    assert (may["won"], may["open_unweighted"]) == (230, 120)
    (may,) = books.forecast(as_of=FEB)["months"]
    assert (may["won"], may["open_unweighted"]) == (230, 110)
    (may,) = books.forecast(currency="EUR")["months"]
    assert (may["won"], may["open_unweighted"]) == (200, 100)


def test_bounds_inside_a_month_do_not_mix_up_the_rates_of_its_days(books: Books) -> None:
    won = {"status": "won", "currency": "EUR", "probability": 100, "actual_amount": Decimal(1)}
    books.record(quoted("EUR", f"2026-05-{day:02}", str(day), JAN) for day in range(1, 32))
    books.record(Happening(day, created(actual_close_date=date(2026, 5, day), **won), JAN) for day in range(1, 32))
    (may,) = books.forecast(since="2026-05-10", until="2026-05-12")["months"]
    assert may["won"] == 10 + 11 + 12
    assert books.forecast(since="2026-05-10")["months"][0]["won"] == sum(range(10, 32))
    assert books.forecast(until="2026-05-12")["months"][0]["won"] == sum(range(1, 13))


@pytest.mark.parametrize("from_deals", [False, True])
def test_the_first_of_a_month_is_counted_once_whatever_the_rates_and_bounds(books: Books, from_deals: bool) -> None:
    won = {"status": "won", "currency": "EUR", "probability": 100, "actual_amount": Decimal(100)}
    books.record([quoted("EUR", "2026-01-01", "1", JAN), quoted("EUR", "2026-05-05", "2", JAN)])
    for number, (month, day) in enumerate([(5, 1), (5, 4), (5, 5), (6, 1), (6, 2)]):
        books.record([Happening(number, created(actual_close_date=date(2026, month, day), **won), JAN)])

    def won_by_month(since: str | None, until: str | None) -> list[int]:
        months = books.forecast(since=since, until=until, from_deals=from_deals)["months"]
        return [month["won"] for month in months]

    assert won_by_month(None, None) == [400, 400]
    assert won_by_month("2026-05-01", "2026-06-30") == [400, 400]
    assert won_by_month("2026-05-01", "2026-05-31") == [400]
    assert won_by_month("2026-05-04", None) == [300, 400]
    assert won_by_month("2026-05-02", "2026-06-01") == [300, 200]
    assert won_by_month("2026-04-20", "2026-06-01") == [0, 400, 200]


def test_what_has_no_rate_is_told_apart_and_never_added(books: Books) -> None:
    books.record([open_deal(1, "100", JUNE), open_deal(2, "500", JUNE, currency="JPY")])
    answer = books.forecast()
    assert [(month["unweighted"], month["count"]) for month in answer["months"]] == [(100, 1)]
    assert [(each["currency"], each["unweighted"], each["count"]) for each in answer["unconverted"]] == [("JPY", 500, 1)]
    assert [each["currency"] for each in books.forecast(currency="EUR")["unconverted"]] == ["JPY", "USD"]


def test_an_instant_does_not_know_the_rates_that_were_set_later(books: Books) -> None:
    books.record([open_deal(1, "100", JUNE, currency="EUR"), quoted("EUR", "2026-01-01", "1.1", FEB)])
    books.record([quoted("EUR", "2026-01-01", "1.2", MAR)])
    assert books.forecast(as_of=JAN)["unconverted"][0]["unweighted"] == 100
    assert books.forecast(as_of=FEB)["months"][0]["unweighted"] == 110
    assert books.forecast()["months"][0]["unweighted"] == 120


@pytest.mark.parametrize("group_by", ["owner", "stage", "account", "tag"])
def test_groups_add_up_to_the_month_except_that_a_deal_is_in_the_group_of_each_tag(books: Books, group_by: GroupBy) -> None:
    books.record(
        [
            open_deal(1, "100", JUNE, tags=("new", "big")),
            open_deal(2, "10", JUNE, tags=("new",)),
            open_deal(3, "1", JUNE),
        ]
    )
    answer = books.forecast(group_by=group_by)
    (june,) = answer["months"]
    assert june["unweighted"] == 111
    assert answer["unscheduled"]["groups"] == []
    if group_by == "tag":
        assert [(group["tag"], group["unweighted"]) for group in june["groups"]] == [("new", 110), ("big", 100), (None, 1)]
    else:
        assert [group["unweighted"] for group in june["groups"]] == [111]


def test_a_group_shows_its_owner_or_account_as_the_list_does(books: Books) -> None:
    rep, acme = books.id(101), books.id(102)
    books.record(
        [
            Happening(101, user.Created(email="rep@yours.com", name="Rep", role="rep"), JAN),
            Happening(102, account.Created(name="Acme"), JAN),
            Happening(102, account.Updated(name="Acme Corp"), FEB),
            open_deal(1, "100", JUNE, owner_id=rep, account_id=acme),
        ]
    )

    def groups(group_by: GroupBy, as_of: datetime | None = None) -> Any:
        return books.forecast(group_by=group_by, as_of=as_of)["months"][0]["groups"][0][group_by]

    assert groups("owner") == {"id": str(rep), "email": "rep@yours.com"}
    assert groups("account") == {"id": str(acme), "name": "Acme Corp"}
    assert groups("account", JAN) == {"id": str(acme), "name": "Acme"}


def test_amounts_keep_every_digit(books: Books) -> None:
    books.record([open_deal(n, "999999999999999.99", JUNE, probability=33) for n in range(30)])
    for from_deals in (False, True):
        (june,) = books.forecast(from_deals=from_deals)["months"]
        assert june["unweighted"] == Decimal("29999999999999999.70")
        assert june["weighted"] == Decimal("9899999999999999.90")  # .901, once


def test_another_orgs_deals_are_not_counted(books: Books) -> None:
    Books(books.cursors).record([open_deal(1, "100", JUNE), quoted("EUR", "2026-01-01", "1.1", JAN)])
    books.record([open_deal(1, "1", JUNE, currency="EUR")])
    answer = books.forecast()
    assert answer["months"][0]["count"] == 0
    assert answer["unconverted"][0]["count"] == 1


def test_an_instant_counts_events_of_that_very_instant(books: Books) -> None:
    books.record([open_deal(1, "100", JUNE), Happening(1, Updated(changes=Changes(amount=Decimal(120))), FEB)])
    just_before = FEB.replace(month=1, day=31, hour=23, minute=59, second=59, microsecond=999_999)
    for today in (TODAY, date(2030, 1, 1)):  # near and far ways to the instant
        for at, amount in ((just_before, 100), (FEB, 120), (NOW, 120)):
            assert books.forecast(as_of=at, today=today)["months"][0]["unweighted"] == amount


def test_before_anything_there_is_nothing(books: Books) -> None:
    books.record([open_deal(1, "100", JUNE)])
    answer = books.forecast(as_of=datetime(2025, 1, 1, tzinfo=UTC))
    assert (answer["months"], answer["unscheduled"]["count"], answer["as_of"]) == ([], 0, "2025-01-01T00:00:00Z")


def test_the_ends_of_time_are_bounds_and_instants_like_any_other(books: Books) -> None:
    books.record([open_deal(1, "100", JUNE), open_deal(2, "10", None)])
    for since, until in (("0001-01-02", None), (None, "9999-12-31"), (None, "9999-12-15"), ("0001-01-01", None)):
        answer = books.forecast(since=since, until=until)
        assert [month["unweighted"] for month in answer["months"]] == [100]
        assert answer["unscheduled"]["unweighted"] == 10
    assert books.forecast(since="9999-12-15")["months"] == []
    assert books.forecast(as_of=datetime.max.replace(tzinfo=UTC))["months"][0]["unweighted"] == 100
    assert books.forecast(as_of=datetime.min.replace(tzinfo=UTC))["months"] == []


def test_a_span_of_months_is_counted_before_it_is_answered() -> None:
    assert bounds("2025-12-31", "2026-02-01").months() == ["2025-12", "2026-01", "2026-02"]
    assert len(bounds("2016-07-01", "2026-06-30").months()) == MAX_MONTHS
    assert bounds("2026-02-01", "2026-01-31").months() == bounds("2026-02-01", None).months() == []
