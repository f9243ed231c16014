"""The terms of the numbers beyond a bound are had by these numbers and no others, but for a few that are looked at."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from projections.opportunities.numbers import number_value
from projections.opportunities.ranges import Numbers

NUMBERS = Numbers(UUID(int=1), "seats")
numbers = st.one_of(
    st.integers(-2000, 2000).map(Decimal),
    st.decimals(-(10**18), 10**18, allow_nan=False, allow_infinity=False),
    st.decimals(-12, 12, places=3, allow_nan=False, allow_infinity=False),
    st.sampled_from(
        [Decimal(text) for text in ("0", "-0.0", "399", "399.5", "39.95", "1e-9", "-1e-8", "1e17", "-12345678901234567890")]
    ),
)


@given(numbers, numbers, st.booleans(), st.booleans())
def test_a_number_is_found_just_if_it_is_beyond(number: Decimal, bound: Decimal, above: bool, inclusive: bool) -> None:
    meets = number > bound if above else number < bound
    meets = meets or (inclusive and number == bound)
    terms = {number_value(NUMBERS.org_id, NUMBERS.key, number), *NUMBERS.terms(number)}
    certain, doubtful = (bool(terms & set(each)) for each in NUMBERS.beyond(bound, above=above, inclusive=inclusive))
    assert not (certain and doubtful)
    assert meets <= (certain or doubtful)
    assert certain <= meets


def test_only_numbers_with_the_same_first_digits_and_more_are_doubtful() -> None:
    assert NUMBERS.beyond(Decimal(399), above=True, inclusive=True).doubtful == []
    _, (doubtful,) = NUMBERS.beyond(Decimal("399.5"), above=True, inclusive=True)
    assert [number for number in range(390_000, 400_000) if doubtful in NUMBERS.terms(Decimal(number).scaleb(-3))][0::999] == [
        399_001
    ]


def test_a_bound_is_a_few_dozen_terms() -> None:
    most = max(
        len(NUMBERS.beyond(Decimal(bound), above=True, inclusive=True).certain) for bound in ("-100", "100", "1e-7", "0", "-9e15")
    )
    assert most <= 100
