"""Terms by which the numbers of a custom field that are above or below a bound are found.

A number is in intervals of numbers with the same sign and magnitude, and with the same first digit, two and three digits; each
interval is a term. All numbers beyond a bound are in a few dozen of them, but for those that have the bound's first three digits
and more: these are looked at themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from projections.opportunities.numbers import number_value
from projections.terms import term

DIGITS = 3
LEAST, MOST = -7, 16
"""The magnitudes that are told apart; beyond them, all are one."""
_TINY, _HUGE = LEAST - 1, MOST + 1


class _Parts(NamedTuple):
    """A number that is not zero: its sign, its magnitude, its first digits, and whether there are more."""

    sign: str
    magnitude: int
    digits: str
    more: bool


def _parts(number: Decimal) -> _Parts:
    digits = "".join(map(str, number.as_tuple().digits)).lstrip("0").rstrip("0")
    magnitude = max(_TINY, min(number.adjusted(), _HUGE))
    return _Parts("-" if number < 0 else "+", magnitude, digits[:DIGITS].ljust(DIGITS, "0"), len(digits) > DIGITS)


def _told(magnitude: int) -> bool:
    return LEAST <= magnitude <= MOST


class Beyond(NamedTuple):
    """Terms: those of numbers that are ``certain`` to be beyond a bound, and of those that may be."""

    certain: list[int]
    doubtful: list[int]


class Numbers(NamedTuple):
    """The numbers of an org's custom field."""

    org_id: UUID
    key: str

    def terms(self, number: Decimal) -> list[int]:
        """Of a number, beside the one of its value."""
        if not number:
            return []
        parts = _parts(number)
        sign, magnitude, digits, more = parts
        if not _told(magnitude):
            return [self._interval(sign, magnitude)]
        found = [self._interval(sign, magnitude, digits[:length]) for length in range(DIGITS)]
        return [*found, self._rest(sign, magnitude, digits)] if more else found

    def beyond(self, bound: Decimal, *, above: bool, inclusive: bool) -> Beyond:
        """The terms of the numbers above a bound, or below it."""
        if not bound:
            return Beyond([*self._all("+" if above else "-"), *([self._exactly("+", 0, "")] if inclusive else [])], [])
        found = Beyond([], [])
        outwards = above == (bound > 0)
        self._near(found, _parts(bound), bound, outwards=outwards, inclusive=inclusive)
        if not outwards:
            found.certain.extend((self._exactly("+", 0, ""), *self._all("+" if above else "-")))
        return found

    def _near(self, found: Beyond, parts: _Parts, bound: Decimal, *, outwards: bool, inclusive: bool) -> None:
        """Of the numbers with the bound's sign, those that are farther from zero, or nearer to it."""
        sign, magnitude, digits, more = parts
        magnitudes = range(magnitude + 1, _HUGE + 1) if outwards else range(_TINY, magnitude)
        found.certain.extend(self._interval(sign, each) for each in magnitudes)
        if not _told(magnitude):
            found.doubtful.append(self._interval(sign, magnitude))
            return
        for place in range(DIGITS):
            for digit in _digits(int(digits[place]), first=place == 0, outwards=outwards):
                found.certain.extend(self._with(sign, magnitude, f"{digits[:place]}{digit}"))
        if not more:
            found.certain.extend([self._exactly(sign, magnitude, digits)] * inclusive)
            found.certain.extend([self._rest(sign, magnitude, digits)] * outwards)
            return
        found.certain.extend([self._exactly(sign, magnitude, digits)] * (not outwards))
        found.doubtful.append(self._rest(sign, magnitude, digits))

    def _with(self, sign: str, magnitude: int, first: str) -> Iterator[int]:
        """Of all numbers with these first digits."""
        if len(first) < DIGITS:
            yield self._interval(sign, magnitude, first)
        else:
            yield self._exactly(sign, magnitude, first)
            yield self._rest(sign, magnitude, first)

    def _all(self, sign: str) -> Iterable[int]:
        return (self._interval(sign, each) for each in range(_TINY, _HUGE + 1))

    def _interval(self, sign: str, magnitude: int, first: str = "") -> int:
        return term(self.org_id, f"{sign}{self.key}", f"{first}e{magnitude}")

    def _rest(self, sign: str, magnitude: int, digits: str) -> int:
        """Of the numbers that have more digits after these."""
        return self._interval(sign, magnitude, f"{digits}.")

    def _exactly(self, sign: str, magnitude: int, digits: str) -> int:
        number = Decimal(f"{sign}{digits}").scaleb(magnitude + 1 - DIGITS) if digits else Decimal(0)
        return number_value(self.org_id, self.key, number)


def _digits(digit: int, *, first: bool, outwards: bool) -> range:
    """The digits that lead to numbers farther from zero than this one, or nearer to it, in its place."""
    return range(digit + 1, 10) if outwards else range(1 if first else 0, digit)
