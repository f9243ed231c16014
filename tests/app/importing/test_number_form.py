"""Numbers as people write them in any country."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from babel.numbers import format_decimal
from hypothesis import given
from hypothesis import strategies as st

from app.importing.decimal_marks import Marks
from app.importing.number_form import Mark, mark_of, number


@pytest.mark.parametrize(
    ("text", "mark", "value"),
    [
        ("1,234.56", ".", "1234.56"),
        ("1.234,56", ",", "1234.56"),
        ("$1,200.00", ".", "1200.00"),
        ("(1,200)", ".", "-1200"),
        ("($1,200.50)", ".", "-1200.50"),
        ("-$12", ".", "-12"),
        ("1 200 €", ",", "1200"),
        ("1\u202f200,50\u00a0€", ",", "1200.50"),
        ("1'234.50", ".", "1234.50"),
        ("EUR 12", ".", "12"),
        ("12 USD", ".", "12"),
        ("R$ 1.000,00", ",", "1000.00"),
        ("70 %", ".", "70"),
        ("12-", ".", "-12"),
        ("−5", ".", "-5"),
        ("1e3", ".", "1e3"),
        (".5", ".", ".5"),
        (1200, ",", "1200"),
        (886.0800000000001, ".", "886.08"),
    ],
)
def test_a_number_is_read_whatever_is_around_it(text: Any, mark: Mark, value: str) -> None:
    assert number(text, mark) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "abc", "1.2.3,4,5", "12,34", "1,23,456", "1 2", "--5", "NaN", "Infinity", "9" * 100, "٣", "1e999", True]
)
def test_what_is_no_number_is_none(text: Any) -> None:
    assert number(text, ".") is None


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1,234.56"], "."),
        (["1.234,56"], ","),
        (["1.234", "12,5"], ","),
        (["1.234", "1.234.567"], ","),
        (["1,200", "(1,200)"], None),
        (["0.5", "x"], "."),
        ([], None),
    ],
)
def test_a_column_shows_its_decimal_mark(texts: list[str], mark: Mark | None) -> None:
    marks = Marks()
    for text in texts:
        marks.see(text)
    assert marks.mark == mark


@given(st.decimals(-(10**9), 10**9, places=2), st.sampled_from(["en_US", "de", "fr", "pt_BR", "de_CH", "sv"]))
def test_what_babel_writes_for_a_locale_is_read_back(value: Decimal, locale: str) -> None:
    assert number(format_decimal(value, format="#,##0.00", locale=locale), mark_of(locale)) == value


def test_an_unknown_locale_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no locale"):
        mark_of("xx-YY-zz-no")
