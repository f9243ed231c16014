"""The opportunities behind the steps of a waterfall: together they are the steps."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Invalid
from domain.opportunity.events import Changes, Updated
from projections.conditions import Condition
from projections.forecast import CAUSES, behind
from projections.forecast.behind import MovedOpportunity
from projections.forecast.entries import WaterfallQuery
from projections.forecast.limits import MAX_BEHIND, MAX_LISTED
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import TODAY, Books, Happening, bounds, created
from tests.projections.forecast.test_properties import histories, moments, relaxed, spans

JAN, FEB, MAR = (datetime(2026, month, 1, 12, tzinfo=UTC) for month in (1, 2, 3))
JUNE = date(2026, 6, 30)


def page(
    books: Books, query: WaterfallQuery, month: str | None = None, cause: Any = None, limit: int = 1000, offset: int = 0
) -> tuple[int, list[MovedOpportunity]]:
    row = books.connection.execute(*behind.page(query, month, cause, limit, offset)[:2]).fetchone()
    assert row is not None
    return behind.answer(query, row)


@relaxed
@given(
    history=histories(),
    span=spans,
    pair=st.tuples(moments, moments).map(sorted),
    currency=st.sampled_from([None, "EUR", "JPY"]),
)
def test_the_opportunities_behind_a_step_add_up_to_it(
    cursors: Cursors, history: list[Happening], span: tuple[str | None, str | None], pair: list[datetime], currency: str | None
) -> None:
    books = Books(cursors).record(history)
    answer = books.changes(pair[0], pair[1], since=span[0], until=span[1], currency=currency)
    query = WaterfallQuery(books.org_id, pair[0], pair[1], TODAY, bounds(*span), currency)
    count, listed = page(books, query)
    assert len({(each.month, each.cause, each.id) for each in listed}) == count
    for part, name in [*((month, month["month"]) for month in answer["months"]), (answer["unscheduled"], None)]:
        for cause in CAUSES:
            mine = [each for each in listed if (each.month, each.cause) == (name, cause)]
            explained = part["opportunities"].get(cause, {"count": 0, "ids": []})
            assert explained == {"count": len({each.id for each in mine}), "ids": list(dict.fromkeys(each.id for each in mine))}
            converted = [each for each in mine if each.currency == answer["currency"]]
            for column in ("unweighted", "weighted"):
                total = sum(getattr(each, column) for each in converted)
                # Each is rounded by itself, and so is the step, as the difference of two sums.
                unit = Decimal(1) if answer["currency"] == "JPY" else Decimal("0.01")
                assert abs(total - part[column][cause]) <= unit * (len(converted) + 2) / 2
    pages = [page(books, query, limit=2, offset=offset)[1] for offset in range(0, count, 2)]
    assert [each for some in pages for each in some] == listed


def test_one_month_or_one_cause_can_be_asked_for(cursors: Cursors) -> None:
    books = Books(cursors)
    books.record(Happening(n, created(amount=Decimal(n), close_date=JUNE if n < 3 else None), JAN) for n in range(1, 4))
    books.record([Happening(1, Updated(changes=Changes(amount=Decimal(5))), FEB)])
    query = WaterfallQuery(books.org_id, JAN.replace(day=1, hour=0), MAR, TODAY)
    found = Counter((each.month, each.cause) for each in page(books, query)[1])
    assert found == {("2026-06", "created"): 2, ("2026-06", "increased"): 1, (None, "created"): 1}
    assert page(books, query, month="2026-06-01")[0] == 3
    assert page(books, query, cause="created")[0] == 3
    assert page(books, query, month=behind.UNSCHEDULED, cause="increased")[0] == 0


def test_a_waterfall_lists_so_many_in_all_the_earlier_months_first(cursors: Cursors) -> None:
    books, months = Books(cursors), MAX_LISTED // MAX_BEHIND + 1
    books.record(
        (
            Happening(
                month * 1000 + number, created(amount=Decimal(1), close_date=date(2026 + month // 12, month % 12 + 1, 1)), FEB
            )
            for month in range(months)
            for number in range(MAX_BEHIND + 1)
        ),
        1000,
    )
    behind_created = [month["opportunities"]["created"] for month in books.changes(JAN, MAR)["months"]]
    assert [each["count"] for each in behind_created] == [MAX_BEHIND + 1] * months
    assert [len(each["ids"]) for each in behind_created] == [MAX_BEHIND] * (months - 1) + [0]


def test_where_too_much_moved_the_two_instants_are_to_be_nearer(cursors: Cursors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "MAX_MOVED", 3)
    books = Books(cursors)
    books.record(Happening(n, created(amount=Decimal(n)), JAN) for n in range(3))
    books.record([Happening(1, Updated(changes=Changes(amount=Decimal(5))), FEB)])
    assert page(books, WaterfallQuery(books.org_id, JAN.replace(day=1, hour=0), JAN, TODAY))[0] == 3
    assert page(books, WaterfallQuery(books.org_id, JAN, MAR, TODAY))[0] == 1
    for conditions in ((), (Condition("probability", "gte", (0,)),)):
        query = WaterfallQuery(books.org_id, JAN.replace(day=1, hour=0), MAR, TODAY, conditions=conditions)
        with pytest.raises(Invalid) as error:
            page(books, query, cause="increased")
        assert set(error.value.errors) == {"from", "to"}
