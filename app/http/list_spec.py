"""What a list accepts: its filters, orderings and fields, declared once for the parser and for OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from app.http.filters import Filters
from app.http.paging import PAGING
from projections.conditions import Order


@dataclass(frozen=True, eq=False)
class ListSpec:
    """``fields`` are the keys of an item; ``cursors`` and ``as_of`` say whether the list has them."""

    filters: Filters
    orderings: tuple[str, ...]
    order: tuple[Order, ...]
    fields: tuple[str, ...]
    cursors: bool = False
    as_of: bool = False

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Known parameters that are not filters."""
        names = (*(name for name in PAGING if name != "cursor" or self.cursors), "fields")
        return (*names, *(("ordering",) if self.orderings else ()), *(("as_of",) if self.as_of else ()))
