"""The terms of the dates beyond a day are had by these dates and no others."""

from __future__ import annotations

from datetime import date
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from projections.opportunities import terms
from projections.opportunities.days import Days

DAYS = Days(UUID(int=1), "renewal")
near = st.dates(date(2025, 11, 1), date(2027, 2, 28))
dates = st.one_of(near, st.dates(), st.sampled_from([date.min, date.max, date(1999, 12, 31), date(2000, 1, 1), date(2026, 6, 30)]))


def of(value: str) -> set[int]:
    found, _ = terms._of_value(DAYS.org_id, DAYS.key, value)
    return set(found)


@given(dates, dates, st.booleans(), st.booleans())
@example(date(2026, 6, 30), date(2026, 6, 30), True, True)
def test_a_date_is_found_just_if_it_is_beyond(day: date, bound: date, above: bool, inclusive: bool) -> None:
    meets = day > bound if above else day < bound
    asked = DAYS.beyond(bound, above=above, inclusive=inclusive)
    assert bool(of(day.isoformat()) & set(asked)) == (meets or (inclusive and day == bound))


def test_a_bound_is_not_more_terms_than_are_asked_for_at_once() -> None:
    assert max(len(DAYS.beyond(day, above=above, inclusive=True)) for day in (date.min, date.max) for above in (True, False)) <= 200


@pytest.mark.parametrize(
    "text", ["2026-6-30", "2026-13-01", "2026-00-10", "2026-06-32", "20260630", "2026-06-30T10:00", "soon", ""]
)
def test_what_is_no_date_is_beyond_no_day(text: str) -> None:
    every = {*DAYS.beyond(date.min, above=True, inclusive=True), *DAYS.beyond(date.max, above=False, inclusive=True)}
    assert not of(text) & every
