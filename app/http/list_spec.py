"""What a list accepts: its filters, orderings and fields, declared once for the parser and for OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from app.http.filters import Filters
from app.http.paging import PAGING
from app.http.param_types import ParamType
from projections.conditions import Order


@dataclass(frozen=True, eq=False)
class ListSpec:
    """``fields`` are the keys of an item; ``cursors`` and ``as_of`` say whether the list has them, ``paged`` whether it comes in
    pages. ``further`` are parameters of its own, each given once."""

    filters: Filters
    orderings: tuple[str, ...]
    order: tuple[Order, ...]
    fields: tuple[str, ...]
    cursors: bool = False
    as_of: bool = False
    paged: bool = True
    further: Mapping[str, ParamType] = field(default_factory=dict)

    @cached_property
    def others(self) -> tuple[str, ...]:
        """Known parameters that are not filters."""
        pages = [name for name in PAGING if name != "cursor" or self.cursors] if self.paged else []
        names = (*pages, *self.further, "fields")
        return (*names, *(("ordering",) if self.orderings else ()), *(("as_of",) if self.as_of else ()))
