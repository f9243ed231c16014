"""Keys of amounts compare as the amounts do, with any bound."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from projections.opportunities import amounts

AMOUNTS = st.integers(0, 10**19 - 1).map(lambda units: Decimal(units).scaleb(-4))
BOUNDS = st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**20), max_value=10**20)
LEAST, MOST = Decimal(0), Decimal("999999999999999.9999")


@given(AMOUNTS, BOUNDS)
@example(LEAST, Decimal(-1))
@example(LEAST, Decimal("0.00001"))
@example(MOST, Decimal("1e39"))
@example(MOST, MOST)
@example(MOST, Decimal(10**15))
def test_a_bound_keeps_the_amounts_it_should(amount: Decimal, bound: Decimal) -> None:
    key = amounts.key(amount)
    assert -(2**63) <= key < 2**63
    assert (key >= amounts.at_least(bound)) == (amount >= bound)
    assert (key > amounts.at_most(bound)) == (amount > bound)
    assert (key <= amounts.at_most(bound)) == (amount <= bound)
    assert (key < amounts.at_least(bound)) == (amount < bound)
    assert (key in amounts.keys([bound])) == (amount == bound)
