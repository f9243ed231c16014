"""Lists and records of opportunities: SQL text and parameters from typed conditions.

No value is part of a statement's text, except the LIMIT of a first page, which is an integer of ours. The text depends only on the
form of the query, so it stays prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from projections import questions
from projections.conditions import Condition, Order, SqlStatement, part
from projections.opportunities import ANY_DATE, AS_OF, LIVE, NOBODY, cursors
from projections.opportunities.conditions import COLUMNS, to_sql
from projections.questions import Question

MAX_ACTIVITIES = 50

# Filters for which there are counters.
_COUNTED = frozenset({"stage", "status", "owner", "close_date"})


DEFAULT_ORDER = (Order("created_at", True),)


@dataclass(frozen=True, slots=True)
class OpportunityListQuery:
    """A list: an org's deals that meet every condition, as of an instant if given."""

    org_id: UUID
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = DEFAULT_ORDER
    as_of: datetime | None = None

    @property
    def keys(self) -> tuple[Order, ...]:
        """The ordering with the id as its last, unique key."""
        return (*self.order, Order("id", self.order[-1].descending if self.order else True))


def _card(column: str, kind_alias: str, as_of: datetime | None) -> str:
    """The embedded form of the record that a column names, as it stands, or stood at the instant."""
    if as_of is None:
        return f"(SELECT d.card FROM directory d WHERE d.id = {column} AND d.valid_to = 'infinity')"
    return (
        f"(SELECT d.card FROM directory d WHERE d.id = {column} ORDER BY d.valid_from <= %(as_of)s DESC,"
        " CASE WHEN d.valid_from <= %(as_of)s THEN d.version ELSE -d.version END DESC LIMIT 1)"
    )


def _stakeholders(shown: str, as_of: datetime | None) -> str:
    if as_of is None:
        found = "d.valid_to = 'infinity' AND NOT d.deleted"
    else:
        found = "d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND NOT d.deleted"
    # Most deals have one or none, and those need no joining and sorting: that is a tenth of a page's time.
    return (
        "coalesce(CASE cardinality(o.stakeholder_ids) WHEN 0 THEN ''"
        f" WHEN 1 THEN (SELECT d.{shown} FROM directory d WHERE d.id = o.stakeholder_ids[1] AND {found})"
        f" ELSE (SELECT string_agg(d.{shown}, ',' ORDER BY s.n)"
        f" FROM unnest(o.stakeholder_ids) WITH ORDINALITY AS s (id, n) JOIN directory d ON d.id = s.id AND {found}) END, '')"
    )


def _item(shown: str, as_of: datetime | None) -> str:
    """A list item without its closing brace."""
    return (
        f"o.json_until_account || {_card('o.account_id', 'a', as_of)} || o.json_until_owner || {_card('o.owner_id', 'u', as_of)}"
        f" || ',\"stakeholders\":[' || {_stakeholders(shown, as_of)} || ']' || o.json_after_stakeholders"
    )


def _record(as_of: datetime | None) -> str:
    if as_of is None:
        valid = "d.valid_to = 'infinity' AND NOT d.deleted"
    else:
        valid = "d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND NOT d.deleted"
    return f"""
        {_item("doc", as_of)} || ',"activities":[' || coalesce((
            SELECT string_agg(x.doc, ',' ORDER BY x.sort_at DESC, x.id DESC) FROM (
                SELECT d.doc, d.sort_at, d.id FROM directory d
                WHERE d.org_id = o.org_id AND d.kind = 'activity' AND d.parent_id = o.id AND {valid}
                ORDER BY d.sort_at DESC, d.id DESC LIMIT {MAX_ACTIVITIES}
            ) x), '') || '],"activities_url":"/api/opportunities/' || o.id || '/activities/"'
        || ',"custom_field_definitions":' || coalesce((
            SELECT d.doc FROM directory d WHERE d.org_id = o.org_id AND d.kind = 'custom_field' AND {valid}), '[]')
        || o.json_detail || '}}'
    """


_RECORDS = f"""
    SELECT o.id, o.version, {_record(None)}
    FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) AS k (id, version) JOIN opportunities o USING (id, version)
    WHERE NOT o.deleted
"""


def records() -> str:
    """Statement for full records, with the parameters ``ids`` and ``versions``: (id, version, JSON), unless deleted then."""
    return _RECORDS


def record(org_id: UUID, id_: UUID, as_of: datetime | None = None) -> SqlStatement:
    """One full record: (version, JSON), or no row."""
    text = f"""
        SELECT o.version, ({_record(as_of)})::varchar FROM opportunities o
        WHERE o.org_id = %(org_id)s AND o.id = %(id)s AND {LIVE if as_of is None else AS_OF}
    """
    params: dict[str, Any] = {"org_id": org_id, "id": id_}
    return SqlStatement(text, params | {"as_of": as_of} if as_of else params, questions.RECORD)


def where(query: OpportunityListQuery) -> SqlStatement:
    """The condition on ``opportunities o`` for a list, with its parameters."""
    params: dict[str, Any] = {"org_id": query.org_id}
    terms = ["o.org_id = %(org_id)s", LIVE if query.as_of is None else AS_OF]
    if query.as_of is not None:
        params["as_of"] = query.as_of
    for n, condition in enumerate(query.conditions):
        terms.append(to_sql(condition, f"p{n}", params))
    return SqlStatement(" AND ".join(terms), params)


def _counted(query: OpportunityListQuery) -> bool:
    return query.as_of is None and all(
        condition.field in _COUNTED
        and condition.custom_type is None
        and condition.operator != "isnull"
        and not (condition.field == "close_date" and condition.operator == "in" and len(condition.values) > 1)
        for condition in query.conditions
    )


def question(query: OpportunityListQuery, offset: int = 0) -> Question:
    """What kind of question a list is: the first dear thing that it asks for."""
    asked = [questions.LIST_AS_OF] if query.as_of is not None else []
    asked += map(_filtered, query.conditions)
    if query.order and (len(query.order) > 1 or query.order[0] not in questions.LIST_ORDERINGS):
        asked.append(questions.LIST_ORDERED)
    if offset >= questions.DEEP:
        asked.append(questions.LIST_DEEP)
    # What is true sorts last: cheap questions after dear ones, and the plain list after all.
    return min(asked, key=lambda one: (one.lane == "cheap", one is questions.LIST), default=questions.LIST)


def _filtered(condition: Condition) -> Question:
    if condition.custom_type is not None:
        return questions.LIST_CUSTOM_FIELD
    if condition.field == "search" or condition.operator not in ("icontains", "isnull"):
        return questions.LIST_FILTERS.get(condition.field, questions.LIST_SCANNED)
    return questions.LIST_CONTAINS if condition.operator == "icontains" else questions.LIST_SCANNED


def count(query: OpportunityListQuery) -> SqlStatement:
    """The exact number of deals on the list: from the counters if they know the filters, else counted."""
    if not _counted(query):
        matching = where(query)
        return SqlStatement(f"SELECT count(*) FROM opportunities o WHERE {matching.text}", matching.params)
    params: dict[str, Any] = {"org_id": query.org_id}
    terms = ["o.org_id = %(org_id)s"]
    by_owner = any(condition.field == "owner" for condition in query.conditions)
    by_date = any(condition.field == "close_date" for condition in query.conditions)
    if not by_owner:
        terms.append(f"o.owner_id = '{NOBODY}'")
    terms.append("o.close_date < 'infinity' AND o.close_date > '-infinity'" if by_date else f"o.close_date = '{ANY_DATE}'")
    for n, condition in enumerate(query.conditions):
        terms.append(to_sql(condition, f"p{n}", params))
    return SqlStatement(f"SELECT coalesce(sum(o.n), 0)::bigint FROM opportunity_counts o WHERE {' AND '.join(terms)}", params)


def page(query: OpportunityListQuery, limit: int, offset: int = 0, *, counted: bool = True) -> SqlStatement:
    """A page by offset: (items as JSON joined by commas, count). Deep offsets walk only the index (deferred join)."""
    condition = where(query)
    order = _order_by(query.keys, "o")
    total = f"({count(query).text})" if counted else "NULL::bigint"
    if offset:
        source = (
            f"(SELECT o.* FROM (SELECT o.id, o.version FROM opportunities o WHERE {condition.text}"
            f" ORDER BY {order} {part(limit, offset, condition.params)}) k JOIN opportunities o USING (id, version))"
        )
    else:
        source = f"(SELECT o.* FROM opportunities o WHERE {condition.text} ORDER BY {order} LIMIT {limit:d})"
    text = f"SELECT string_agg({_item('card', query.as_of)} || '}}', ',' ORDER BY {order})::varchar, {total} FROM {source} o"
    return SqlStatement(text, condition.params, question(query, offset))


def _order_by(keys: Sequence[Order], alias: str) -> str:
    parts = []
    for field, descending in keys:
        column = COLUMNS[field].sql.replace("o.", f"{alias}.", 1)
        # No NULLS LAST where nothing is null, so that the ordering is the index's.
        nulls = " NULLS LAST" if COLUMNS[field].nullable else ""
        parts.append(f"{column} {'DESC' if descending else 'ASC'}{nulls}")
    return ", ".join(parts)


def cursor_page(query: OpportunityListQuery, limit: int, cursor: str | None, *, counted: bool = True) -> SqlStatement:
    """A page after a cursor ("" or None for the first): (items, count, cursor of the next page's start or NULL).

    Its cost does not depend on its depth. Raises ``InvalidCursor``.
    """
    condition = where(query)
    params, text = condition.params, condition.text
    if cursor:
        text += " AND " + cursors.after(query.keys, cursors.decode(cursor, query.keys), params)
    order = _order_by(query.keys, "o")
    total = f"({count(query).text})" if counted else "NULL::bigint"
    keys = ", ".join(f"{COLUMNS[field].sql}::text" for field, _ in query.keys)
    return SqlStatement(
        f"""
        SELECT string_agg({_item("card", query.as_of)} || '}}', ',' ORDER BY {order}) FILTER (WHERE o.rn <= {limit:d})::varchar,
               {total}, (array_agg(json_build_array({keys})::text) FILTER (WHERE o.rn = {limit:d} AND o.total > {limit:d}))[1]
        FROM (SELECT k.*, row_number() OVER (ORDER BY {order.replace("o.", "k.")}) AS rn, count(*) OVER () AS total
              FROM (SELECT o.* FROM opportunities o WHERE {text} ORDER BY {order} LIMIT {limit + 1:d}) k) o
        """,
        params,
        question(query),
    )
