"""The largest accounts are found without putting all of them in order, and are those that one finds by adding up everything."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from projections.forecast import deal_sums, known_groups, largest_groups
from projections.forecast.current import ForecastQuery
from projections.forecast.deal_sums import DealSums
from projections.forecast.kept_groups import KeptGroups
from projections.forecast.money import encode
from projections.opportunities.list_query import OpportunityListQuery
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import Books, Happening, created, quoted

JAN, MAY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
ACCOUNTS, DEALS = 150, 600


@pytest.fixture(scope="module")
def books(cursors: Cursors) -> Books:
    """More accounts in a month than are known of the part of them that is looked at first; with one rate, with two, with none."""
    random, found = Random(1), Books(cursors)
    quotes = (("EUR", "2026-01-01", "1.1"), ("EUR", "2026-02-15", "1.25"), ("GBP", "2020-01-01", "1.3"))
    rates = [quoted(*quote, JAN) for quote in quotes]
    deals = []
    for number in range(DEALS):
        day = date(2026, random.randrange(1, 4), random.randrange(1, 29))
        amount = Decimal(random.choice((0, 10, 10, random.randrange(1, 200))))
        fields: dict[str, Any] = {
            "account_id": found.id(10_000 + random.randrange(ACCOUNTS)),
            "currency": random.choice(("USD", "EUR", "GBP", "CHF")),
        }
        if random.random() < 0.5:
            fields |= {"amount": amount, "close_date": None if random.random() < 0.2 else day, "probability": 30}
        else:
            fields |= {"status": "won", "stage": "won", "actual_amount": amount, "actual_close_date": day}
        deals.append(Happening(number, created(**fields), JAN if random.random() < 0.8 else MAY))
    return found.record([*rates, *sorted(deals, key=lambda each: each.at)], 500)


def answered(books: Books, question: ForecastQuery, sums: DealSums | None = None) -> bytes:
    groups = KeptGroups(question, OpportunityListQuery(books.org_id, as_of=question.as_of))
    row = books.connection.execute(*groups.from_scratch(sums)[:2]).fetchone()
    assert row is not None
    groups.parts(row[2:])
    return encode(groups.answer(row[2:]))


@pytest.mark.parametrize("as_of", [None, datetime(2026, 4, 1, tzinfo=UTC)])
@pytest.mark.parametrize("limit", [1, 3, 500])
@pytest.mark.parametrize("span", [(None, None), ("2026-01-01", "2026-02-28"), ("2026-02-10", None)])
def test_they_are_those_of_all_sums(
    books: Books,
    as_of: datetime | None,
    limit: int,
    span: tuple[str | None, str | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(known_groups, "SPARE", {"account": 1})
    question = books.question(since=span[0], until=span[1], as_of=as_of, group_by="account", groups_limit=limit)
    assert question.where
    assert largest_groups.answers(question, OpportunityListQuery(books.org_id))
    all_sums = deal_sums.from_deals(question.where, question.bounds, "account")
    found = answered(books, question)
    assert found == answered(books, question, all_sums)
    assert (b'"others"' in found) == (limit < ACCOUNTS)
