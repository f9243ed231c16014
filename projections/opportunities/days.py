"""Terms by which the dates of a custom field before or after a day are found.

A date is in its century, decade, year and month, each of which is a term. All dates beyond a day are in a few dozen of these, and
in the days of the day's own month, which have terms as all texts do.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple
from uuid import UUID

from projections.terms import term

FORM = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
"""Regular expression, as SQL has them too, of what is compared as a date; a text of another form is none."""
SPANS = (2, 3, 4, 7)
"""How many characters the dates of a century, a decade, a year and a month have in common."""

_is_date = re.compile(FORM).match


class Days(NamedTuple):
    """The dates of an org's custom field."""

    org_id: UUID
    key: str

    def terms(self, text: str) -> list[int]:
        """Of a text, beside the one that it has as a text; none if it is no date."""
        return [self._span(text[:length]) for length in SPANS] if len(text) == 10 and _is_date(text) else []

    def beyond(self, bound: date, *, above: bool, inclusive: bool) -> list[int]:
        """The terms of the dates after a day, or before it; one of them is in each."""
        day = bound.isoformat()
        parts = (("", day[:2], 0, 99), (day[:2], day[2], 0, 9), (day[:3], day[3], 0, 9), (f"{day[:4]}-", day[5:7], 1, 12))
        spans = [span for common, own, least, most in parts for span in _others(common, own, least, most, above=above)]
        days = [*_others(f"{day[:7]}-", day[8:], 1, 31, above=above), *([day] * inclusive)]
        return [*map(self._span, spans), *(term(self.org_id, f"={self.key}", each) for each in days)]

    def _span(self, text: str) -> int:
        return term(self.org_id, f"@{self.key}", text)


def _others(common: str, own: str, least: int, most: int, *, above: bool) -> list[str]:
    """What follows the text that dates have in common, in those after a number or before it."""
    numbers = range(int(own) + 1, most + 1) if above else range(least, int(own))
    return [f"{common}{number:0{len(own)}}" for number in numbers]
