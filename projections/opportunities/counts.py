"""Counts of lists that are kept and brought up to date, where no counters know the filters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from projections import kept
from projections.conditions import SqlStatement
from projections.kept import Figure, Kind, Total
from projections.opportunities import list_query, queries
from projections.opportunities.list_query import OpportunityListQuery

HANGS_ON: dict[str, Kind] = {"search": "account", "owner_email": "user"}
"""Filters for which records other than the deals themselves count."""


@dataclass(frozen=True, slots=True)
class CountedPage:
    """A page of a list with its count, of which the count is kept. With a cursor ("" for the first page) there is no offset."""

    query: OpportunityListQuery
    limit: int
    offset: int = 0
    cursor: str | None = None

    @property
    def key(self) -> Hashable:
        """What the count depends on."""
        return "count", self.query.org_id, self.query.conditions, self.query.as_of

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the count holds for, then the columns of the page."""
        return self._page(_total(self.query, figure))

    def from_counters(self, *, slots: bool = False) -> SqlStatement:
        """The columns of the page alone, from counters if they know the filters, else counted; ``slots`` as in ``queries.page``."""
        return _from_counters(self, slots)

    def _page(self, total: Total | None, *, slots: bool = False) -> SqlStatement:
        if self.cursor is None:
            return queries.page(self.query, self.limit, self.offset, total=total, slots=slots)
        return queries.cursor_page(self.query, self.limit, self.cursor, total=total, slots=slots)

    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[int]:
        """What is to be kept, of the columns of a page."""
        return (row[1],)


@lru_cache(maxsize=1_000)
def _from_counters(page: CountedPage, slots: bool) -> SqlStatement:
    """Made once for those who ask again, which is a twentieth of what a list costs the process."""
    return page._page(None, slots=slots)


def hangs_on(query: OpportunityListQuery) -> list[Kind]:
    return sorted({HANGS_ON[each.field] for each in query.conditions if each.field in HANGS_ON})


def _total(query: OpportunityListQuery, figure: Figure | None) -> Total:
    if figure is None:
        return kept.computed(queries.count(query), query.org_id)
    return kept.brought_up_to_date(figure, list_query.meets(query), hangs_on(query), as_of=query.as_of is not None)
