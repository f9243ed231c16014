"""Rules of amounts and currencies."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import amount_error, currency_error, decimals, quantized
from tests.support.domain import is_sentence


def test_each_currency_has_its_own_decimals() -> None:
    assert [decimals(code) for code in ("USD", "JPY", "BHD", "XXX", "usd", "")] == [2, 0, 3, 0, None, None]
    assert currency_error("EUR") is None
    assert "'E'" in (currency_error("E") or "")
    assert "'ABCDEFGHIJ' " in (currency_error("ABCDEFGHIJK") or "")


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        ("24000", "USD", "24000.00"),
        ("24000.00", "JPY", "24000"),
        ("1E+3", "BHD", "1000.000"),
        ("-0", "USD", "0.00"),
        ("0E+9", "USD", "0.00"),
    ],
)
def test_an_amount_is_shown_with_the_decimals_of_its_currency(value: str, currency: str, shown: str) -> None:
    assert amount_error(Decimal(value), currency) is None
    assert str(quantized(Decimal(value), currency)) == shown


@given(st.decimals(), st.sampled_from(["USD", "JPY", "BHD"]))
def test_an_accepted_amount_is_exact_in_its_currency(value: Decimal, currency: str) -> None:
    if amount_error(value, currency) is None:
        assert quantized(value, currency) == value
        assert value.adjusted() < 15


@given(st.decimals(min_value=0, max_value=Decimal("999999999999999.99"), places=2))
def test_every_amount_of_cents_up_to_fifteen_digits_is_accepted(value: Decimal) -> None:
    assert amount_error(value, "USD") is None


@pytest.mark.parametrize("value", ["NaN", "sNaN", "-Infinity", "-0.01", "1E+15", "0.001"])
def test_what_is_no_amount_is_explained(value: str) -> None:
    assert is_sentence(amount_error(Decimal(value), "USD"))
