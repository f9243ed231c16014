"""Which page is asked for."""

from __future__ import annotations

import pytest

from app.http.paging import Page, parse_page
from domain.errors import Errors


def asked(**given: str) -> Page:
    errors: Errors = {}
    page = parse_page(given, errors)
    assert not errors
    return page


def complaint(**given: str) -> Errors:
    errors: Errors = {}
    parse_page(given, errors)
    return errors


def test_the_first_page_has_fifty_records() -> None:
    assert asked() == Page(50, 0, 1)


def test_pages_are_asked_for_by_number_by_offset_or_by_cursor() -> None:
    assert asked(page="3", page_size="20") == Page(20, 40, 3)
    assert asked(limit="20", offset="40") == Page(20, 40, None)
    assert asked(cursor="", page_size="20") == Page(20, 0, None, "")


@pytest.mark.parametrize("given", [{"page": "1", "limit": "5"}, {"cursor": "", "page": "1"}, {"cursor": "", "offset": "1"}])
def test_the_three_ways_do_not_mix(given: dict[str, str]) -> None:
    assert set(complaint(**given)) == set(given)


@pytest.mark.parametrize("name", ["page", "page_size", "limit", "offset"])
@pytest.mark.parametrize("text", ["-1", "", "x", "1.5", "9" * 30, "٣"])
def test_a_bad_number_is_refused_with_its_bounds(name: str, text: str) -> None:
    (message,) = complaint(**{name: text})[name]
    assert message.startswith("Must be a whole number from")


def test_a_page_has_at_most_200_records() -> None:
    assert complaint(page_size="201") == {"page_size": ["Must be a whole number from 1 to 200."]}
    assert complaint(limit="0") == {"limit": ["Must be a whole number from 1 to 200."]}
