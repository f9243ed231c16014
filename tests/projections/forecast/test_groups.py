"""The groups of a forecast: so many of the largest are shown, the others are added up, and nothing gets lost or too long."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import account
from domain.errors import Invalid
from domain.opportunity.events import State
from projections.forecast.groups import GroupBy
from projections.forecast.limits import MAX_BYTES, MAX_GROUPS, MAX_MONTHS_WITH_DEALS
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import Books, Happening, Row, created, exact
from tests.projections.forecast.test_properties import histories, moments, relaxed, spans

JAN = datetime(2026, 1, 1, tzinfo=UTC)
JUNE = date(2026, 6, 30)


def keys(deal: State, group_by: GroupBy) -> set[str | None]:
    """The groups that a deal is in, as they are shown where the directory has no such record."""
    match group_by:
        case "owner":
            return {str(deal.owner_id)}
        case "account":
            return {str(deal.account_id)}
        case "stage":
            return {deal.stage}
    return set(deal.tags) or {None}


@relaxed
@given(
    history=histories(),
    span=spans,
    as_of=st.one_of(st.none(), moments),
    currency=st.sampled_from([None, None, "EUR", "JPY"]),
    group_by=st.sampled_from(["owner", "stage", "account", "account", "tag"]),
    limit=st.integers(1, 4),
)
def test_the_groups_shown_and_the_others_are_all_there_is_whatever_the_limit(
    cursors: Cursors,
    history: list[Happening],
    span: tuple[str | None, str | None],
    as_of: datetime | None,
    currency: str | None,
    group_by: GroupBy,
    limit: int,
) -> None:
    books = Books(cursors).record(history)
    asked: dict[str, Any] = {"since": span[0], "until": span[1], "as_of": as_of, "currency": currency}
    answer = books.forecast(group_by=group_by, groups_limit=limit, **asked)
    whole = books.forecast(group_by=group_by, **asked)
    plain = books.plain(**asked)
    for name in ("currency", "unconverted", "as_of"):
        assert answer[name] == plain[name]
    for month, all_, total in zip(parts(answer), parts(whole), parts(plain), strict=True):
        assert "others" not in all_
        shown = [group[group_by] for group in month["groups"]]
        left = [group[group_by] for group in all_["groups"] if group[group_by] not in shown]
        assert len(shown) == min(limit, len(all_["groups"]))
        assert [group for group in all_["groups"] if group[group_by] in shown] == month["groups"]
        for group in month["groups"]:
            figures = counted(books, asked, total, group_by, [group[group_by]])
            assert {name: group[name] for name in figures} == figures
        if left:
            others = month["others"]
            assert others["groups"] == len(left)
            assert min(group["unweighted"] for group in month["groups"]) >= max(
                group["unweighted"] for group in all_["groups"] if group[group_by] in left
            )
            if group_by != "tag":  # of which a deal may have several
                figures = counted(books, asked, total, group_by, left)
                assert {name: others[name] for name in figures} == figures
                assert sum(group["count"] for group in month["groups"]) + others["count"] == total["count"]
        else:
            assert "others" not in month


def parts(answer: Row) -> list[Row]:
    return [*answer["months"], answer["unscheduled"]]


def counted(books: Books, asked: dict[str, Any], total: Row, group_by: GroupBy, groups: list[str | None]) -> Row:
    """The figures of some groups in one part of an answer, added up deal by deal."""
    answer = books.plain(**asked, of=lambda deal: not keys(deal, group_by).isdisjoint(groups))
    (found,) = [part for part in parts(answer) if part.get("month") == total.get("month")]
    return {name: value for name, value in found.items() if name != "month"}


def test_an_answer_with_the_longest_names_shows_fewer_groups_and_loses_none(cursors: Cursors) -> None:
    books, months, name = Books(cursors), range(1, 7), "\N{GRINNING FACE}" * 250
    books.record(
        [Happening(1000 + number, account.Created(name=f"{name}{number:03}"), JAN) for number in range(MAX_GROUPS)]
        + [
            Happening(
                number * 10_000 + month,
                created(amount=Decimal(number), close_date=date(2026, month, 1), account_id=books.id(1000 + number)),
                JAN,
            )
            for number in range(MAX_GROUPS)
            for month in months
        ],
        500,
    )
    body = books.forecast_bytes(group_by="account", groups_limit=MAX_GROUPS)
    assert MAX_BYTES * 0.9 < len(body) <= MAX_BYTES
    for month in exact(body)["months"]:
        assert len(month["groups"]) + month["others"]["groups"] == MAX_GROUPS
        assert sum(group["unweighted"] for group in month["groups"]) + month["others"]["unweighted"] == month["unweighted"]
    assert len({len(month["groups"]) for month in exact(body)["months"]}) == 1


def test_without_bounds_there_are_so_many_months_and_no_more(cursors: Cursors) -> None:
    books = Books(cursors)
    books.record(
        (
            Happening(
                number, created(amount=Decimal(10**14 + number), close_date=date(2000 + number // 12, number % 12 + 1, 1)), JAN
            )
            for number in range(MAX_MONTHS_WITH_DEALS)
        ),
        500,
    )
    for group_by in (None, "owner", "tag"):
        body = books.forecast_bytes(group_by=group_by)
        assert len(body) <= MAX_BYTES
        assert len(exact(body)["months"]) == MAX_MONTHS_WITH_DEALS
    whole = books.changes_bytes(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
    assert len(whole) <= MAX_BYTES
    books.record([Happening(5000, created(amount=Decimal(1), close_date=date(1999, 1, 1)), JAN)])
    assert len(books.forecast(since="2000-01-01")["months"]) == MAX_MONTHS_WITH_DEALS
    for from_deals in (False, True):
        with pytest.raises(Invalid) as error:
            books.forecast(from_deals=from_deals)
        assert set(error.value.errors) == {"close_date__gte", "close_date__lte"}
    with pytest.raises(Invalid):
        books.forecast(group_by="owner")
    with pytest.raises(Invalid):
        books.changes(datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC))
