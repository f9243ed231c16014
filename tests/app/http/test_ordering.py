"""Orderings."""

from __future__ import annotations

import pytest

from app.http.ordering import parse_order
from domain.errors import Errors
from projections.conditions import Order


def order(text: str) -> tuple[tuple[Order, ...], Errors]:
    errors: Errors = {}
    return parse_order(text, ("name", "close_date"), (Order("name", False),), errors), errors


def test_an_ordering_is_a_list_of_fields_each_up_or_down() -> None:
    assert order("-close_date,name") == ((Order("close_date", True), Order("name", False)), {})
    assert order("name,-name")[0] == (Order("name", False),)


@pytest.mark.parametrize("text", ["", "close_dat", "name,", "--name", "id; DROP TABLE"])
def test_an_ordering_by_anything_else_is_refused(text: str) -> None:
    _, errors = order(text)
    assert "Possible: close_date, name." in errors["ordering"][0]
