"""Which terms a deal has: what is equal has the same one, and what is not another."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from projections import terms as shared
from projections.opportunities import terms
from projections.opportunities.numbers import number_value

ORG, OTHER = UUID(int=1), UUID(int=2)


def of(value: Any) -> dict[int, str | None]:
    numbers, words = terms._of_value(ORG, "k", value)
    return {**dict.fromkeys(numbers), **{word.term: word.word for word in words}}


@pytest.mark.parametrize(
    ("one", "other"), [(72, 72.0), (72, Decimal("72.00")), (0, -0.0), (10**22, 1e22), (-0.5, Decimal("-0.50"))]
)
def test_equal_numbers_have_the_same_term(one: Any, other: Any) -> None:
    number = number_value(ORG, "k", Decimal(str(other)))
    assert number in of(one)
    assert number in of(other)


def test_a_number_has_a_text_too_and_a_text_is_no_number() -> None:
    assert terms.text_value(ORG, "k", "72.50") in of(Decimal("72.50"))
    assert of("72") == {terms.text_value(ORG, "k", "72"): "72"}
    assert terms.boolean_value(ORG, "k", True) not in of("true")


def test_a_text_is_found_by_its_words_unless_it_is_long() -> None:
    assert set(of("Große Brüder").values()) == {None, "grosse", "bruder"}
    long = of(" ".join(f"word{n}" for n in range(terms.MAX_WORDS + 1)))
    assert terms.unsplit(ORG, "k") in long
    assert set(long.values()) == {None}


def test_lists_have_a_term_for_each_text_and_objects_none() -> None:
    assert set(of(["x", 1])) == {terms.option(ORG, "k", "x"), terms.unsplit(ORG, "k")}
    assert set(of({"a": "x"})) == {terms.unsplit(ORG, "k")}
    assert of(None) == {}


def test_terms_differ_by_org_and_kind_and_key() -> None:
    found = [
        terms.tag(ORG, "x"), terms.tag(OTHER, "x"), terms.text_value(ORG, "k", "x"), terms.text_value(ORG, "l", "x"),
        terms.option(ORG, "k", "x"), terms.unsplit(ORG, "k"), shared.named(ORG, terms.NAME, "x").term,
    ]  # fmt: skip
    assert len(set(found)) == len(found)
