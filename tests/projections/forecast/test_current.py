"""When an answer is made again, and when its months are counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest

from projections.forecast.balances import Bounds
from projections.forecast.current import MOST_REMEMBERED, ForecastQuery, Sum, forecast, rendered
from projections.forecast.limits import MAX_MONTHS_WITH_DEALS

QUERY = ForecastQuery(UUID(int=1), date(2026, 5, 1), Bounds(date(2026, 4, 1), date(2026, 6, 30)))


def sums(amount: int) -> bytes:
    one = Sum("2026-04-01", "USD", "open", Decimal(amount), Decimal(amount), 1, None, None)
    return msgspec.json.Encoder(decimal_format="number").encode([one])


def test_an_answer_is_made_again_when_what_it_shows_or_what_was_asked_is_another() -> None:
    first = rendered(QUERY, ("USD", sums(10)))
    assert rendered(replace(QUERY), ("USD", sums(10))) is first
    assert b'"month":"2026-04","unweighted":10,' in first
    assert b'"month":"2026-04","unweighted":20,' in rendered(QUERY, ("USD", sums(20)))
    assert b'"currency":"EUR"' in rendered(QUERY, ("EUR", sums(10)))
    assert b'"2026-07"' in rendered(replace(QUERY, bounds=Bounds(date(2026, 4, 1), date(2026, 7, 31))), ("USD", sums(10)))


def test_a_large_answer_is_not_remembered() -> None:
    row = ("USD", sums(10) + b" " * MOST_REMEMBERED)
    first, second = rendered(QUERY, row), rendered(QUERY, row)
    assert first == second
    assert first is not second


@pytest.mark.parametrize(
    ("bounds", "few"),
    [
        (Bounds(), False),
        (Bounds(since=date(2026, 4, 1)), False),
        (Bounds(until=date(2026, 4, 1)), False),
        (Bounds(date(2026, 4, 30), date(2026, 4, 30)), True),
        (Bounds(date(1900, 2, 1), date(1900 + MAX_MONTHS_WITH_DEALS // 12, 1, 1)), False),
        (Bounds(date(1900, 2, 1), date(1900 + MAX_MONTHS_WITH_DEALS // 12 - 1, 12, 31)), True),
    ],
)
def test_months_are_counted_where_there_may_be_too_many(bounds: Bounds, few: bool) -> None:
    """A deal without a day has a month of its own, beside those within the bounds."""
    assert bounds.few is few
    assert ("count(DISTINCT" in forecast(replace(QUERY, bounds=bounds)).text) is not few
