"""Contributions, conversion, rounding and the numbers as they are written."""

from __future__ import annotations

from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.forecast.money import SAME, Currencies, Factor, Total, number

amounts = st.decimals(min_value=-(10**15), max_value=10**15, places=5)
rates = st.decimals(min_value=Decimal("0.000000000001"), max_value=10**12, places=12)


def total(*amounts: str, factor: Factor = SAME) -> Total:
    sum_ = Total()
    for amount in amounts:
        sum_.add(Decimal(amount), factor)
    return sum_


def test_a_currency_is_itself_whatever_the_rates() -> None:
    assert Currencies("USD", "EUR").factor("EUR", None, None) == SAME
    assert Currencies("USD", "USD").factor("USD", None, None) == SAME


def test_a_foreign_amount_goes_through_the_orgs_currency() -> None:
    assert Currencies("USD", "GBP").factor("EUR", Decimal("1.1"), Decimal("1.3")) == Factor(Decimal("1.1"), Decimal("1.3"))
    assert Currencies("USD", "GBP").factor("USD", None, Decimal("1.3")) == Factor(Decimal(1), Decimal("1.3"))
    assert Currencies("USD", "USD").factor("EUR", Decimal("1.1"), None) == Factor(Decimal("1.1"), Decimal(1))


@pytest.mark.parametrize(("rate", "report_rate"), [(None, Decimal(2)), (Decimal(2), None), (None, None)])
def test_no_rate_is_no_conversion(rate: Decimal | None, report_rate: Decimal | None) -> None:
    assert Currencies("USD", "GBP").factor("EUR", rate, report_rate) is None


@pytest.mark.parametrize(
    ("parts", "currency", "expected"),
    [
        (["0.005"], "USD", "0.00"),
        (["0.015"], "USD", "0.02"),
        (["0.004", "0.004"], "USD", "0.01"),
        (["2.5"], "JPY", "2"),
        (["3.5"], "JPY", "4"),
        (["0.0005"], "BHD", "0.000"),
        (["-0.015"], "USD", "-0.02"),
    ],
)
def test_a_sum_is_rounded_once_half_to_even_to_the_currencys_decimals(parts: list[str], currency: str, expected: str) -> None:
    assert str(total(*parts).rounded(currency)) == expected


def test_thirds_add_up_to_the_whole_they_are_of() -> None:
    third = Factor(Decimal(1), Decimal(3))
    assert total("0.005", "0.005", "0.005", factor=third).rounded("USD") == 0  # exactly half a cent, to even
    assert total("0.015", "0.015", "0.015", factor=third).rounded("USD") == Decimal("0.02")


@given(st.lists(st.tuples(amounts, rates, rates), max_size=6))
def test_a_total_is_the_fraction_it_stands_for(parts: list[tuple[Decimal, Decimal, Decimal]]) -> None:
    sum_ = Total()
    for amount, times, by in parts:
        sum_.add(amount, Factor(times, by))
    exact = sum((Fraction(a) * Fraction(t) / Fraction(b) for a, t, b in parts), Fraction())
    assert Fraction(sum_.rounded("USD")) == Fraction(round(exact * 100), 100)


def test_digits_are_never_lost_silently() -> None:
    with pytest.raises(Inexact):
        total(f"1e{399}", "1e-10")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("180000.00", "180000"),
        ("92500.50", "92500.5"),
        ("0.00", "0"),
        ("-0.00", "0"),
        ("1E+5", "100000"),
        ("-12.30", "-12.3"),
        ("123456789012345678901234.56", "123456789012345678901234.56"),
    ],
)
def test_a_number_is_written_in_full_and_no_longer(value: str, text: str) -> None:
    assert number(Decimal(value)) == text
