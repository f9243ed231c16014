"""Lists and records of opportunities: SQL text and parameters from typed conditions.

No value is part of a statement's text, except the LIMIT of a first page, which is an integer of ours. The text depends only on the
form of the query, so it stays prepared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from projections import questions, sources, terms
from projections.conditions import Order, SqlStatement, part
from projections.directory import cards
from projections.kept import Total
from projections.opportunities import (
    ANY_DATE,
    AS_OF,
    LIVE,
    NOBODY,
    cursors,
    finding,
    items,
    list_query,
    orderings,
    past_count,
    sheet,
)
from projections.opportunities.conditions import ALONG, COLUMNS, PAST_SHEET, SHEET, imported, to_sql
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.orderings import order_by
from projections.opportunities.sheet import TABLE

_AMONG_MANY = f"(SELECT m.many FROM many m) AND {list_query.is_among('SELECT f.id FROM candidates f')}"
# Filters that leave so few deals that it is better to look at each of them than for terms.
_NARROW = frozenset({"owner", "owner_email", "account"})


_RECORDS = f"""
    SELECT o.id, o.version, {items.record(None)}
    FROM unnest(%(ids)s::uuid[], %(versions)s::int[]) AS k (id, version) JOIN opportunities o USING (id, version)
    WHERE NOT o.deleted
"""


def records() -> str:
    """Statement for full records, with the parameters ``ids`` and ``versions``: (id, version, JSON), unless deleted then."""
    return _RECORDS


def record(org_id: UUID, id_: UUID, as_of: datetime | None = None) -> SqlStatement:
    """One full record: (version, JSON), or no row."""
    text = f"""
        SELECT o.version, ({items.record(as_of)})::varchar FROM opportunities o
        WHERE o.org_id = %(org_id)s AND o.id = %(id)s AND {LIVE if as_of is None else AS_OF}
    """
    params: dict[str, Any] = {"org_id": org_id, "id": id_}
    return SqlStatement(text, params | {"as_of": as_of} if as_of else params, questions.RECORD)


def count(query: OpportunityListQuery) -> SqlStatement:
    """The exact number of deals on the list: from the counters if they know the filters, else counted."""
    if not list_query.has_counters(query):
        return _count_each(query)
    params: dict[str, Any] = {"org_id": query.org_id}
    terms = ["o.org_id = %(org_id)s"]
    by_owner = any(condition.field in ("owner", "owner_email") for condition in query.conditions)
    by_date = any(condition.field == "close_date" for condition in query.conditions)
    if not by_owner:
        terms.append(f"o.owner_id = '{NOBODY}'")
    terms.append("o.close_date < 'infinity' AND o.close_date > '-infinity'" if by_date else f"o.close_date = '{ANY_DATE}'")
    for n, condition in enumerate(query.conditions):
        terms.append(to_sql(condition, f"p{n}", params))
    return SqlStatement(f"SELECT coalesce(sum(o.n), 0)::bigint FROM opportunity_counts o WHERE {' AND '.join(terms)}", params)


def _count_each(query: OpportunityListQuery) -> SqlStatement:
    if query.as_of is not None and not query.conditions:
        return past_count.of_all(count(replace(query, as_of=None)), query.org_id, query.as_of)
    groups, unsettled = list_query.groups_of(query)
    if len(unsettled) == 1 and (without := _without_value(query, unsettled[0])) is not None:
        return without
    if len(unsettled) == 1 and (certain := _certainly(query, unsettled[0])) is not None:
        return certain
    if groups and not unsettled:
        text = "SELECT count_opportunities_with_terms(%(groups)s::jsonb)"
        return SqlStatement(text, {"groups": terms.groups(groups)})
    if groups and not any(condition.field in _NARROW for condition in query.conditions):
        return _count_found(query, terms.groups(groups), unsettled)
    imports = [n for n, condition in enumerate(query.conditions) if condition.field == "import"]
    if imports and query.as_of is None:
        return _count_imported(query, imports[0])
    matching = list_query.where(query)
    return SqlStatement(f"SELECT count(*) FROM opportunities o WHERE {matching.text}", matching.params)


def _count_imported(query: OpportunityListQuery, n: int) -> SqlStatement:
    """The number of deals of the imports of condition ``n``, each looked up: it follows their size, not the org's."""
    params, first = list_query.of_org(query)
    texts = [to_sql(condition, f"p{place}", params) for place, condition in enumerate(query.conditions)]
    remaining = " AND ".join([first, *texts[:n], *texts[n + 1 :]])
    return SqlStatement(f"SELECT count(*) FROM {sources.joined(TABLE, imported(f'p{n}'), remaining)}", params)


def _count_found(query: OpportunityListQuery, groups: str, unsettled: Sequence[int]) -> SqlStatement:
    """Few that terms find are looked up, many are compared with the sheet."""
    params, first = list_query.of_org(query)
    remaining = " AND ".join([first, *(to_sql(query.conditions[n], f"p{n}", params) for n in unsettled)])
    text = f"""
        WITH {sources.counted(_candidates(None))}
        SELECT (SELECT count(*) FROM {sources.joined(TABLE, sources.FEW, remaining)}) + (
            SELECT count(*) FROM opportunities o WHERE {remaining} AND {_AMONG_MANY}
        )
    """
    return SqlStatement(text, params | {"groups": groups})


def _without_value(query: OpportunityListQuery, n: int) -> SqlStatement | None:
    """The number of deals without a value in a field, that of condition ``n``: all others on the list but those that have one."""
    condition = query.conditions[n]
    rest = query.conditions[:n] + query.conditions[n + 1 :]
    having = replace(query, conditions=(*rest, condition._replace(values=(False,))))
    if condition.operator != "isnull" or not condition.values[0] or list_query.groups_of(having)[1]:
        return None
    counted, less = count(replace(query, conditions=rest)), count(having).renamed("less_")
    return SqlStatement(f"SELECT ({counted.text}) - ({less.text})", counted.params | less.params)


def _certainly(query: OpportunityListQuery, n: int) -> SqlStatement | None:
    """The number of deals that terms know to meet condition ``n``, and of those others that do."""
    found = finding.by_terms(query.conditions[n], query.org_id)
    if found is None or found.certain is None or query.as_of is not None:
        return None
    others, _ = list_query.groups_of(replace(query, conditions=query.conditions[:n] + query.conditions[n + 1 :]))
    params, first = list_query.of_org(query)
    condition = f"{first} AND {to_sql(query.conditions[n], 'p', params)}"
    certain, doubtful = (terms.groups([*others, group]) for group in found.certain)
    doubted = f"SELECT count(*) FROM {sources.joined(TABLE, _candidates(None), condition)}"
    text = f"SELECT count_opportunities_with_terms(%(certain)s::jsonb) + ({doubted})"
    return SqlStatement(text, params | {"certain": certain, "groups": doubtful}).renamed("certain_")


def _candidates(most: str | None, *, newest: bool = True) -> str:
    return f"SELECT t.id FROM opportunities_with_terms(%(groups)s::jsonb, {most or 'NULL'}::bigint, {newest}) t (id)"


def source(query: OpportunityListQuery, limit: int, offset: int = 0, cursor: str | None = None) -> SqlStatement:
    """The deals of a page, as a table expression to be named ``o``. Raises ``InvalidCursor``."""
    params, first = list_query.of_org(query)
    within = None
    if cursor:
        last = cursors.decode(cursor, query.keys)
        first += " AND " + cursors.after(query.keys, last, params)
        within = cursors.within(query.keys[0], last[0])
    texts = [to_sql(condition, f"p{n}", params) for n, condition in enumerate(query.conditions)]
    shown = part(limit, offset, params)
    asked = "%(limit)s::bigint" if offset else f"{limit:d}"
    through = f"{asked} + %(offset)s::bigint" if offset else asked
    if query.as_of is None and (named := _by_external_id(query, texts)):
        # Without statistics, the planner would look for them in the list's order.
        few = f"SELECT o.* FROM opportunities o WHERE o.org_id = %(org_id)s AND {LIVE} AND {named} OFFSET 0"
        ordered = order_by(query.keys)
        return SqlStatement(f"(SELECT o.* FROM ({few}) o WHERE {' AND '.join([first, *texts])} ORDER BY {ordered} {shown})", params)
    far = sources.walked(limit)
    if parts := _parts(query, first, texts, params, None if cursor else through):
        of_many = " AND ".join([parts.ordered, _AMONG_MANY, *parts.remaining])
        if list_query.asks_for_order(query) is not None and all(key.field in SHEET for key in query.keys):
            walk, many = (sheet.page(text, query, each) for text, each in ((parts.ordered, f"LIMIT {far}"), (of_many, shown)))
        else:
            walk = orderings.first(parts.ordered, query.keys, f"LIMIT {far}", str(far), within=within)
            walked = orderings.first(of_many, query.keys, shown, through, within=within)
            many = sources.current(TABLE, f"SELECT k.id FROM {walked} k")
        return SqlStatement(sources.page(TABLE, parts, walk, far, order_by(query.keys), shown, asked, many), params)
    text = " AND ".join([first, *texts])
    if _is_on_sheet(query) and (query.as_of is not None or list_query.asks_for_order(query) is not None):
        return SqlStatement(sheet.page(text, query, shown, None if offset or cursor else limit), params)
    if query.as_of is not None:
        found = f"(SELECT o.* FROM opportunities o WHERE {text} ORDER BY {order_by(query.keys)} {shown})"
        return SqlStatement(found if not offset else sources.versions(TABLE, f"SELECT k.id, k.version FROM {found} k"), params)
    found = orderings.first(text, query.keys, shown, through, within=within)
    return SqlStatement(found if not offset else sources.current(TABLE, f"SELECT k.id FROM {found} k"), params)


def _is_on_sheet(query: OpportunityListQuery) -> bool:
    """Whether the sheet has all that a list filters and orders by."""
    known = SHEET if query.as_of is None else PAST_SHEET
    filtered = all(one.field in known and one.custom_type is None and one.operator != "icontains" for one in query.conditions)
    return filtered and all(key.field in known for key in query.keys)


def _by_external_id(query: OpportunityListQuery, texts: Sequence[str]) -> str | None:
    """The condition, if there is one, that says which external ids the deals on a list have."""
    conditions = zip(query.conditions, texts, strict=True)
    return next((text for one, text in conditions if (one.field, one.operator) == ("external_id", "in")), None)


def _parts(
    query: OpportunityListQuery, first: str, texts: Sequence[str], params: dict[str, Any], through: str | None
) -> sources.Parts | None:
    """How a list is found through an index that does not give its order; None if there is none, or one that does. ``through`` is
    the number of deals up to the page's end, if the first of the list are enough."""
    groups, unsettled = list_query.groups_of(query)
    ordered, others, remaining, narrow = [first], list[str](), list[str](), list[tuple[str, str]]()
    for n, (condition, text) in enumerate(zip(query.conditions, texts, strict=True)):
        if condition.operator != "icontains" and condition.field in ALONG | {query.order[0].field}:
            ordered.append(text)
            continue
        others.append(text)
        if condition.field in ("amount", "import"):
            narrow.append((condition.field, text if condition.field == "amount" else imported(f"p{n}")))
        if n in unsettled:
            remaining.append(text)
    if groups:
        params["groups"] = terms.groups(groups)
        few = len(ordered) == 1 and not remaining and query.order == (Order("created_at", query.keys[0].descending),)
        candidates = _candidates(through if few else None, newest=query.keys[0].descending)
        if not few and (not remaining or list_query.asks_for_order(query) is None):
            found = sources.joined(TABLE, sources.FEW, " AND ".join(ordered + remaining))
            return sources.Parts(" AND ".join(ordered), " AND ".join(others), found, candidates, tuple(remaining))
    elif query.as_of is not None or not others or (_is_on_sheet(query) and list_query.asks_for_order(query) is not None):
        return None
    elif narrow:
        candidates = _narrowly(narrow)
    elif _is_on_sheet(query):
        return sources.Parts(" AND ".join(ordered), " AND ".join(others), sheet.deals(" AND ".join(ordered + others)))
    else:
        return None
    found = sources.joined(TABLE, candidates, " AND ".join(ordered + remaining))
    return sources.Parts(" AND ".join(ordered), " AND ".join(others), found)


def _narrowly(found: Sequence[tuple[str, str]]) -> str:
    """SQL for the ids of the deals of an import, or in a range of amounts; all other conditions remain."""
    if imports := [text for field, text in found if field == "import"]:
        return imports[0]
    amounts = " AND ".join(text for _, text in found)
    return f"SELECT o.id FROM opportunities o WHERE o.org_id = %(org_id)s AND {LIVE} AND {amounts} OFFSET 0"


def page(
    query: OpportunityListQuery,
    limit: int,
    offset: int = 0,
    *,
    total: Total | None = None,
    slots: bool = False,
    found: SqlStatement | None = None,
) -> SqlStatement:
    """A page by offset: (items as JSON joined by commas, count). Deep offsets walk only the index (deferred join). Its deals are
    ``found`` already if that is given, as ``source`` is.

    For a reader that has the org's cards, a list of the present may have ``slots`` for them (``items.SLOTS``) and one more column,
    ``cards.STATE``.
    """
    total = total or _total(query)
    found, asked = found or source(query, limit, offset), list_query.question(query, offset, total.kept)
    order = order_by(query.keys)
    shown, state = _shown(query, slots=slots)
    listed = f"string_agg({shown} ORDER BY {order})::varchar"
    text = f"{total.tables} SELECT {total.first}{listed}, {total.counted}{state} FROM {found.text} o"
    return SqlStatement(text, found.params | total.params, asked)


def _shown(query: OpportunityListQuery, *, slots: bool) -> tuple[str, str]:
    """The items of a page and what is put between them, and the column after all others."""
    if slots:
        assert query.as_of is None
        return f"{items.SLOTS}, '}},'", f", {cards.STATE}"
    return f"{items.item('card', query.as_of)} || '}}', ','", ""


def _total(query: OpportunityListQuery) -> Total:
    counting = count(query)
    return Total("", f"({counting.text})", counting.params)


def cursor_page(
    query: OpportunityListQuery,
    limit: int,
    cursor: str | None,
    *,
    total: Total | None = None,
    slots: bool = False,
    found: SqlStatement | None = None,
) -> SqlStatement:
    """A page after a cursor ("" or None for the first): (items, count, cursor of the next page's start or NULL).

    Its cost does not depend on its depth. ``slots`` and ``found`` are as in ``page``, these of one more than ``limit``. Raises
    ``InvalidCursor``.
    """
    total = total or _total(query)
    found, asked = found or source(query, limit + 1, cursor=cursor), list_query.question(query, kept=total.kept)
    order = order_by(query.keys)
    shown, state = _shown(query, slots=slots)
    keys = ", ".join(f"{COLUMNS[field].sql}::text" for field, _ in query.keys)
    return SqlStatement(
        f"""
        {total.tables}
        SELECT {total.first}
               string_agg({shown} ORDER BY {order}) FILTER (WHERE o.rn <= {limit:d})::varchar,
               {total.counted},
               (array_agg(json_build_array({keys})::text) FILTER (WHERE o.rn = {limit:d} AND o.total > {limit:d}))[1]{state}
        FROM (SELECT k.*, row_number() OVER (ORDER BY {order_by(query.keys, "k")}) AS rn, count(*) OVER () AS total
              FROM {found.text} k) o
        """,
        found.params | total.params,
        asked,
    )
