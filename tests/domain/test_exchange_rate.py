"""Rules of exchange rates."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from domain import exchange_rate
from domain.errors import Forbidden
from domain.exchange_rate import Quoted, Set
from tests.support.domain import ORG, TODAY, Given

EUR = Set(currency="eur", valid_from=TODAY, rate=Decimal("1.08"))


def test_a_rate_holds_from_a_day_on() -> None:
    given = Given(by="admin").when(EUR).then(Quoted(currency="EUR", valid_from=TODAY, rate=Decimal("1.08")))
    given.when(Set(currency="EUR", valid_from=date(2026, 4, 1), rate=Decimal("1.1")))
    assert given.state.currency == "EUR"
    assert given.state.rates == {TODAY: Decimal("1.08"), date(2026, 4, 1): Decimal("1.1")}


def test_a_second_rate_for_a_day_replaces_the_first() -> None:
    given = Given(by="admin").when(EUR).when(Set(currency="EUR", valid_from=TODAY, rate=Decimal("1.09")))
    assert given.state.rates == {TODAY: Decimal("1.09")}


def test_the_same_rate_again_is_no_event() -> None:
    Given(by="admin").when(EUR).when(Set(currency="EUR", valid_from=TODAY, rate=Decimal("1.080"))).then()


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "sNaN", "Infinity", "1E+12", "1E-13", "1.0000000000001", "1E-400000"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    assert "rate" in Given(by="admin").refused(Set(currency="EUR", valid_from=TODAY, rate=Decimal(rate)))


def test_the_bounds_of_a_rate_are_rates() -> None:
    for rate in ("0.000000000001", "999999999999.999999999999"):
        assert Given(by="admin").when(Set(currency="EUR", valid_from=TODAY, rate=Decimal(rate))).events


def test_the_org_s_own_currency_and_unknown_ones_have_no_rate() -> None:
    for currency in ("USD", "usd", "XYZZY", ""):
        bad = Set(currency=currency, valid_from=date(1026, 1, 1), rate=Decimal(1))
        assert set(Given(by="admin").refused(bad)) == {"currency", "valid_from"}


def test_only_an_admin_sets_rates() -> None:
    with pytest.raises(Forbidden):
        Given().when(EUR, by="manager")


def test_a_currency_has_one_stream_however_it_is_written() -> None:
    assert exchange_rate.stream_id(ORG, "eur") == exchange_rate.stream_id(ORG, "EUR")
    assert exchange_rate.stream_id(ORG, "EUR") != exchange_rate.stream_id(ORG, "JPY")
