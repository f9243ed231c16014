"""Contributions, conversion, rounding and the numbers as they are written."""

from __future__ import annotations

from datetime import date
from decimal import Decimal, Inexact
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.opportunity import Deleted
from projections.forecast.money import (
    SAME,
    Contribution,
    Currencies,
    Factor,
    Sums,
    Total,
    Totals,
    added,
    contribution,
    difference,
    encode,
    shortest,
)
from tests.support.domain import TODAY, created, fold, lost, won

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
    assert str(shortest(Decimal(value))) == encode(shortest(Decimal(value))).decode() == text


def test_an_open_deal_counts_by_its_amount_and_a_won_one_by_its_actual_amount() -> None:
    deal = created(close_date=date(2026, 6, 30))
    found = contribution(fold([deal]))
    assert found == Contribution(date(2026, 6, 30), "USD", "open", Decimal("24000.00"), 20)
    assert found is not None
    assert found.weighted == Decimal("4800.00")
    assert contribution(fold([deal, won()])) == Contribution(TODAY, "USD", "won", Decimal("23000.00"), 100)
    assert contribution(fold([created(amount=None)])) == Contribution(None, "USD", "open", Decimal(0), 20)


def test_a_lost_deal_a_deleted_one_and_none_count_not_at_all() -> None:
    assert contribution(None) is contribution(fold([created(), lost()])) is contribution(fold([created(), Deleted()])) is None


def test_sums_are_merged_with_all_their_parts() -> None:
    third, seventh = Factor(Decimal(1), Decimal(3)), Factor(Decimal(1), Decimal(7))
    first, second = total("1", "2", factor=third), total("0.5", "7")
    second.add(Decimal(6), third)
    second.add(Decimal(21), seventh)
    assert Total().merge(first, second, total("100")).rounded("USD") == Decimal("113.50")
    assert first.rounded("USD") == 1


def test_whole_and_divided_parts_are_one_sum() -> None:
    sum_ = total("10", "20")
    sum_.add(Decimal(1), Factor(Decimal(1), Decimal(3)))
    sum_.add(Decimal(1), Factor(Decimal(2), Decimal(3)))
    assert sum_.rounded("USD") == 31


def test_a_sum_of_many_digits_is_exact() -> None:
    assert str(total("1" * 40 + ".005").rounded("USD")) == "1" * 40 + ".00"
    assert added(Decimal("1" * 40), Decimal("0.01")) == Decimal("1" * 40 + ".01")
    assert difference(Decimal("1" * 40), Decimal("0.01")) == Decimal("1" * 39 + "0.99")
    assert difference(Decimal(3), Decimal(5)) == -2


def test_figures_keep_open_and_won_apart_and_add_them_up() -> None:
    totals, half = Totals(), Factor(Decimal(1), Decimal(2))
    totals.add("open", Decimal("1000.25"), Decimal("200.5"), 2, SAME)
    totals.add("open", Decimal(100), Decimal(50), 1, half)
    totals.add("won", Decimal("70.5"), Decimal("70.5"), 3, SAME)
    totals.add("won", Decimal(1), Decimal(1), 1, half)
    assert totals.unweighted("USD") == Decimal("1121.25")
    assert encode(totals.shown(Sums, "USD")) == (
        b'{"unweighted":1121.25,"weighted":296.5,"open_unweighted":1050.25,"open_weighted":225.5,"won":71,"count":7}'
    )
    totals.add("won", Decimal("0.004"), Decimal("0.004"), 1, SAME)
    assert encode(totals.shown(Sums, "BHD")) == (
        b'{"unweighted":1121.254,"weighted":296.504,"open_unweighted":1050.25,"open_weighted":225.5,"won":71.004,"count":8}'
    )


def test_a_sum_of_nothing_is_certainly_zero() -> None:
    assert not Total()
    assert not total("0.00")
    assert not total("0.00", factor=Factor(Decimal(1), Decimal("1.00")))
    assert total("0.01")
    assert total("5", factor=Factor(Decimal(1), Decimal(3)))


def test_a_number_of_many_digits_is_shown_with_all_of_them() -> None:
    for text, shown in (("1" * 40 + ".50", "1" * 40 + ".5"), ("1" * 40 + ".00", "1" * 40), ("1" * 40 + ".005", "1" * 40 + ".005")):
        assert str(shortest(Decimal(text))) == shown


def test_sums_are_shown_with_the_other_fields_of_their_type() -> None:
    class OfMonth(Sums):
        month: str

    assert Totals().shown(OfMonth, "USD", month="2026-06").month == "2026-06"
