"""Amounts as whole numbers that order as they do, because row-level security lets comparisons of these use an index."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

UNITS = 10_000
"""No currency has more than four decimals."""
MOST = 10**15 * UNITS
_SHIFT = 2**63 - 2
"""So that all amounts, from 0 to ``MOST``, fit into eight bytes, and so does what is just beyond."""


def key(amount: Decimal) -> int:
    """Of an amount as it is kept."""
    return at_most(amount)


def at_most(bound: Decimal) -> int:
    """The greatest key of the amounts up to a bound."""
    numerator, denominator = bound.as_integer_ratio()
    return _within(numerator * UNITS // denominator)


def at_least(bound: Decimal) -> int:
    """The least key of the amounts from a bound on."""
    numerator, denominator = bound.as_integer_ratio()
    return _within(-(-numerator * UNITS // denominator))


def keys(amounts: Iterable[Decimal]) -> list[int]:
    """Of those of the numbers that may be amounts."""
    return [at_least(each) for each in amounts if at_least(each) == at_most(each)]


def _within(units: int) -> int:
    return max(-1, min(units, MOST)) - _SHIFT
