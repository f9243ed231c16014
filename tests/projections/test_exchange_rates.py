"""Rates as they are listed and as the answer to the one who set them."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from projections import exchange_rates
from tests.projections.cursors import Cursors
from tests.projections.forecast.books import Books, quoted

JAN, FEB = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2))


@pytest.fixture
def books(cursors: Cursors) -> Books:
    return Books(cursors).record(
        [
            quoted("EUR", "2026-01-01", "1.10", JAN),
            quoted("EUR", "2026-02-01", "1.15", JAN),
            quoted("EUR", "2026-01-01", "1.12", FEB),
            quoted("JPY", "2026-01-01", "1E-2", JAN),
        ]
    )


def listed(books: Books, limit: int, offset: int = 0, *currencies: str) -> tuple[list[tuple[str, str, str]], int]:
    items, count = books.connection.execute(*exchange_rates.page(books.org_id, limit, offset, currencies)[:2]).fetchone() or ("", 0)
    rates = msgspec.json.decode(f"[{items or ''}]")
    return [(rate["currency"], rate["valid_from"], rate["rate"]) for rate in rates], count


def test_the_list_has_the_rates_in_force_by_currency_the_latest_day_first(books: Books) -> None:
    euros = [("EUR", "2026-02-01", "1.15"), ("EUR", "2026-01-01", "1.12")]
    assert listed(books, 50) == ([*euros, ("JPY", "2026-01-01", "0.01")], 3)
    assert listed(books, 1, 1) == (euros[1:], 3)
    assert listed(books, 50, 0, "EUR") == (euros, 2)
    assert listed(books, 50, 9) == ([], 3)


def test_the_answer_is_the_rate_set_last_and_the_version_of_its_currency(books: Books) -> None:
    euro = books.id("EUR")
    ((id_, version, body),) = books.connection.execute(exchange_rates.LAST_SET, {"ids": [euro]}).fetchall()
    assert (id_, version) == (euro, 3)
    assert body == '{"currency":"EUR","valid_from":"2026-01-01","rate":"1.12","updated_at":"2026-02-01T00:00:00Z"}'
