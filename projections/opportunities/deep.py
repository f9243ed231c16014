"""Pages far down the lists that an index orders and counters count, found from an anchor that is kept (``projections.anchors``)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from projections import anchors, kept, questions, sources
from projections.conditions import SqlStatement
from projections.kept import Figure
from projections.opportunities import cursors, list_query, orderings, queries
from projections.opportunities.conditions import COLUMNS, to_sql
from projections.opportunities.counts import hangs_on
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.sheet import TABLE


def is_deep(query: OpportunityListQuery, offset: int) -> bool:
    """Whether the page is best found from an anchor."""
    return offset >= questions.DEEP and list_query.has_counters(query) and list_query.asks_for_order(query) is None


@dataclass(frozen=True, slots=True)
class DeepPage:
    """A page that ``is_deep``."""

    query: OpportunityListQuery
    limit: int
    offset: int

    @property
    def key(self) -> Hashable:
        """What the anchor depends on."""
        return "deep", self.query.org_id, self.query.conditions, self.query.order, anchors.block(self.offset)

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the anchor holds for, how many deals come before what follows it, its keys, then the
        columns of the page."""
        return self._found() if figure is None else self._from_anchor(figure)

    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[int, str] | None:
        """What is to be kept, of the columns of a page."""
        n, keys, *_ = row
        return None if keys is None else (n, keys)

    def _condition(self) -> tuple[dict[str, Any], str]:
        params, first = list_query.of_org(self.query)
        return params, " AND ".join([first, *(to_sql(each, f"p{n}", params) for n, each in enumerate(self.query.conditions))])

    def _found(self) -> SqlStatement:
        params, condition = self._condition()
        part, through, more = anchors.walked(self.offset, self.limit)
        keys = ", ".join(f"{COLUMNS[key].sql}::text" for key, _ in self.query.keys)
        anchor = sources.current(TABLE, "SELECT a.id")
        counting = queries.count(self.query)
        total = anchors.found(
            orderings.first(condition, self.query.keys, part, through),
            f"SELECT json_build_array({keys})::text FROM {anchor} o",
            f"({counting.text})",
        )
        total = total._replace(params=params | more | counting.params)
        page = SqlStatement(sources.current(TABLE, anchors.IDS), {})
        return queries.page(self.query, self.limit, self.offset, total=total, found=page)

    def _from_anchor(self, figure: Figure) -> SqlStatement:
        params, condition = self._condition()
        values = cursors.decode(cursors.encode(figure.parts[1], self.query.keys), self.query.keys)
        after = cursors.after(self.query.keys, values, params)
        within = cursors.within(self.query.keys[0], values[0])
        meets, counting = list_query.meets(self.query), queries.count(self.query)
        total = anchors.from_anchor(
            figure,
            kept.since(figure, hangs_on(self.query)),
            f"{meets.text} AND ({after}) IS NOT TRUE",
            "opportunity",
            self.offset,
            f"({counting.text})",
        )
        total = total._replace(params=params | meets.params | counting.params | total.params | {"limit": self.limit})
        following = orderings.first(f"{condition} AND {after}", self.query.keys, anchors.PART, anchors.THROUGH, within=within)
        page = SqlStatement(sources.current(TABLE, f"SELECT k.id FROM {following} k"), {})
        return queries.page(self.query, self.limit, total=total, found=page)._replace(question=questions.LIST_DEEP_KEPT)
