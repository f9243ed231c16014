"""The first deals of a list, kept with its count and brought up to date by the events since, where no index gives the list's order.

Deals without an event since then are in the order that they were in, so those among the first ones still come before all that are
not. The deals with events are looked at again. What both give is the beginning of the list, as far as the last one that was kept.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from projections import kept, questions, sources
from projections.conditions import SqlStatement
from projections.kept import Figure, Total
from projections.opportunities import AS_OF, LIVE, cursors, list_query, past, queries
from projections.opportunities.conditions import COLUMNS
from projections.opportunities.counts import hangs_on
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.orderings import order_by
from projections.opportunities.sheet import TABLE

REACH = 200
"""Deals from the first one on among which a page must end."""
HEAD = 300
"""How many are kept: more than are shown, because some will leave the list."""


@dataclass(slots=True)
class FirstDeals:
    """A page near the beginning of a list. With a cursor, which is "", there is no offset."""

    query: OpportunityListQuery
    limit: int
    offset: int = 0
    cursor: str | None = None
    _figure: Figure | None = field(default=None, init=False)

    @property
    def key(self) -> Hashable:
        """What the first deals depend on."""
        return "first", self.query.org_id, self.query.conditions, self.query.order, self.query.as_of

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build for which the first deals hold, these (NULL: as they were), the last one's keys, then the
        columns of the page."""
        self._figure = figure
        total = _computed(self.query) if figure is None else _brought_up_to_date(self.query, figure, self._needed)
        found = self._source()
        if self.cursor is None:
            page = queries.page(self.query, self.limit, self.offset, total=total, found=found)
        else:
            page = queries.cursor_page(self.query, self.limit, None, total=total, found=found)
        return page if figure is None else page._replace(question=questions.LIST_KEPT)

    def parts(self, row: Sequence[Any]) -> tuple[Any, ...] | None:
        """What is to be kept, of the columns of a page."""
        head, last, _, n, *_ = row
        if head is None and self._figure is not None:
            return (n, *self._figure.parts[1:])
        return None if last is not None and _values(self.query, last) is None else (n, head, last)

    @property
    def _needed(self) -> int:
        return self.offset + self.limit + (self.cursor is not None)

    def _source(self) -> SqlStatement:
        if not self.offset:
            return SqlStatement(_versions(f"WHERE h.place <= {self._needed:d}"), {})
        bounds = "WHERE h.place > %(offset)s::bigint AND h.place <= %(offset)s::bigint + %(limit)s::bigint"
        return SqlStatement(_versions(bounds), {"limit": self.limit, "offset": self.offset})


def are_kept(query: OpportunityListQuery, limit: int, offset: int, cursor: str | None) -> bool:
    """Whether the page's deals are best had from the first ones of the list."""
    return not cursor and offset + limit <= REACH and list_query.question(query, offset).lane == "dear"


def _versions(which: str) -> str:
    return sources.versions(TABLE, f"SELECT h.id, h.version FROM head h {which}")


def _values(query: OpportunityListQuery, last: str) -> list[Any] | None:
    """The keys of a deal; None if they are too long to compare with."""
    try:
        return cursors.decode(cursors.encode(last, query.keys), query.keys)
    except cursors.InvalidCursor:
        return None


def _total(query: OpportunityListQuery, tables: str, changed: str, params: dict[str, Any], n: int | None = None) -> Total:
    keys = ", ".join(f"{COLUMNS[key].sql}::text" for key, _ in query.keys)
    last = f"(SELECT json_build_array({keys})::text FROM {_versions('ORDER BY h.place DESC LIMIT 1')} o)"
    ids = f"(SELECT coalesce(string_agg(h.id::text, ' ' ORDER BY h.place), '') FROM head h{changed})"
    first = f"(SELECT f.position FROM figure f), (SELECT f.built FROM figure f), {ids}, {last}, "
    return Total(f"WITH {tables}", "(SELECT f.n FROM figure f)", params, first, n)


def _computed(query: OpportunityListQuery) -> Total:
    if (found_then := past.found(query)) is not None:
        return _computed_of_past(query, found_then)
    counting, found = queries.count(query), queries.source(query, HEAD)
    place = f"row_number() OVER (ORDER BY {order_by(query.keys)}) AS place"
    tables = f"""
        figure AS MATERIALIZED (SELECT ({counting.text}) AS n, {kept.POSITION} AS position, {kept.BUILT} AS built),
        head AS MATERIALIZED (SELECT o.id, o.version, {place} FROM {found.text} o)
    """
    return _total(query, tables, "", counting.params | found.params | {"org_id": query.org_id})


def _computed_of_past(query: OpportunityListQuery, found: SqlStatement) -> Total:
    """All that is on the list is found once, to be counted and to be put in order."""
    order = order_by(query.keys)
    tables = f"""
        found AS MATERIALIZED ({found.text}),
        figure AS MATERIALIZED (SELECT (SELECT count(*) FROM found) AS n, {kept.POSITION} AS position, {kept.BUILT} AS built),
        head AS MATERIALIZED (
            SELECT o.id, v.version, row_number() OVER (ORDER BY {order}) AS place FROM (
                SELECT o.* FROM found o ORDER BY {order} LIMIT {HEAD}
            ) o CROSS JOIN LATERAL (
                SELECT v.version FROM opportunities v
                WHERE v.id = o.id AND v.valid_from <= %(as_of)s AND v.valid_to > %(as_of)s OFFSET 0
            ) v
        )
    """
    return _total(query, tables, "", found.params)


def _brought_up_to_date(query: OpportunityListQuery, figure: Figure, needed: int) -> Total:
    n, head, last = figure.parts
    meets, params = list_query.meets(query), figure.params() | {"kept_n": n, "kept_head": head, "needed": needed}
    order, is_past = order_by(query.keys), query.as_of is not None
    within = ""
    if last is not None and (len(head) + 1) // 37 < n:  # else all deals of the list are known
        values = _values(query, last)
        assert values is not None
        within = f" AND ({cursors.after(query.keys, values, params)}) IS NOT TRUE"
    tables = f"""
        {kept.since(figure, hangs_on(query), as_of=is_past)},
        candidates AS MATERIALIZED (
            SELECT k.id FROM unnest(string_to_array(%(kept_head)s::text, ' ')::uuid[]) AS k (id) UNION SELECT t.id FROM touched t
        ), head AS MATERIALIZED (
            SELECT o.id, o.version, row_number() OVER (ORDER BY {order}) AS place
            FROM candidates c CROSS JOIN LATERAL (
                SELECT o.* FROM opportunities o WHERE o.id = c.id AND {AS_OF if is_past else LIVE} AND {meets.text}{within} OFFSET 0
            ) o ORDER BY {order} LIMIT {HEAD}
        ), counted AS MATERIALIZED (
            SELECT %(kept_n)s::bigint + (SELECT coalesce(sum(c.sign), 0) FROM {kept.meeting(meets.text)}) AS n
        ), figure AS MATERIALIZED (
            SELECT c.n, h.built,
                CASE WHEN (SELECT count(*) FROM head) >= least(%(needed)s::bigint, c.n) THEN h.position END AS position
            FROM holds h CROSS JOIN counted c
        )
    """
    return _total(query, tables, " HAVING EXISTS (SELECT FROM touched)", meets.params | params, n)
