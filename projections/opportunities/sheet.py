"""Lists in an order that no index gives, from the indexes that are the sheets of now and of the past: first the ids of a page, in
order, then their rows.

Of all deals most come after the last one of a page of the first that are looked at, and comparing with that one is cheaper than
sorting.
"""

from __future__ import annotations

from projections import sources
from projections.opportunities.conditions import COLUMNS
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.orderings import order_by

TABLE = sources.Table("opportunities", "o")
FIRST = 12_000
"""How many deals are looked at for one that the last of a page does not come after."""


def deals(condition: str) -> str:
    """The deals that meet a condition, from what their rows are not needed for."""
    return f"(SELECT o.* FROM opportunities o WHERE {condition} OFFSET 0) o"


def page(condition: str, query: OpportunityListQuery, part: str, through: int | None = None) -> str:
    """The rows of a page as a table expression, ``part`` of the deals that meet a condition. ``through`` is the number up to its
    last one, if that is known."""
    bound = ""
    if through is not None and not query.conditions and query.keys[0].field != "created_at":
        bound, among = _bounded(condition, query, through)
        condition = f"{condition} AND {among}"
    # Of the past, the sheet is in the order of most lists.
    source = deals(condition) if query.as_of is None else f"opportunities o WHERE {condition}"
    return sources.versions(TABLE, f"{bound} SELECT o.id, o.version FROM {source} ORDER BY {order_by(query.keys)} {part}")


def _bounded(condition: str, query: OpportunityListQuery, through: int) -> tuple[str, str]:
    """A common table expression, and the condition that no deal of the page is without. Not one that an index may be taken for."""
    first = query.keys[0]
    column = COLUMNS[first.field].key or COLUMNS[first.field].sql
    order = f"{'DESC' if first.descending else 'ASC'}{' NULLS LAST' if COLUMNS[first.field].nullable else ''}"
    along = "o.account_id" if query.as_of is None else "o.created_at DESC, o.id DESC"  # no index in the list's own order
    some = f"SELECT {column} AS key FROM opportunities o WHERE {condition} ORDER BY {along} LIMIT {FIRST:d}"
    bound = f"WITH bound AS MATERIALIZED (SELECT s.key FROM ({some}) s ORDER BY s.key {order} LIMIT 1 OFFSET {through - 1:d})"
    key = "(SELECT b.key FROM bound b)"
    return bound, f"CASE WHEN {key} IS NULL THEN true ELSE coalesce({column} {'>=' if first.descending else '<='} {key}, false) END"
