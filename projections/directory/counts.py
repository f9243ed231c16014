"""Counts of lists of accounts and contacts that are kept and brought up to date, where no counter knows the filters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from projections import kept
from projections.conditions import SqlStatement
from projections.directory import queries
from projections.directory.queries import DirectoryListQuery
from projections.kept import Figure


@dataclass(frozen=True, slots=True)
class CountedRecords:
    """A page of a list with its count, of which the count is kept."""

    query: DirectoryListQuery
    limit: int
    offset: int = 0

    @property
    def key(self) -> Hashable:
        """What the count depends on."""
        return "directory", self.query.org_id, self.query.kind, self.query.conditions, self.query.parent_id

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the count holds for, then the columns of the page."""
        if figure is None:
            total = kept.computed(queries.count(self.query), self.query.org_id)
        else:
            total = kept.brought_up_to_date(figure, queries.meets(self.query), of=self.query.kind)
        return queries.page(self.query, self.limit, self.offset, total=total)

    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[int]:
        """What is to be kept, of the columns of a page."""
        return (row[1],)
