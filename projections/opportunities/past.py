"""Lists as of an instant that are best had at once, all deals of them: to be counted and to be put in order.

Terms are those of now, but most deals were found by the same ones at the instant already. Of these terms tell who was on the list
then, so that what is looked at follows the list and not the org. Only deals that have come to be found by others since, or are
deleted, are looked at themselves. Names of accounts are those of the instant for both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from projections import search, sources, terms
from projections.conditions import Condition, SqlStatement
from projections.opportunities import AS_OF, accounts, finding, list_query
from projections.opportunities.conditions import COLUMNS, PAST_SHEET, to_sql
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.sheet import TABLE
from projections.opportunities.terms import NAME
from projections.terms import Group

# Of a deal that was never found by other terms than by those of its beginning, the row is not in the index.
_CHANGED = """
    SELECT t.id FROM opportunity_terms t WHERE t.org_id = %(org_id)s
        AND t.since > t.created_at AND t.since > %(as_of)s AND t.created_at <= %(as_of)s
    UNION ALL SELECT o.id FROM opportunities o WHERE o.org_id = %(org_id)s
        AND o.valid_to = 'infinity' AND o.deleted AND o.valid_from > %(as_of)s AND o.created_at <= %(as_of)s
"""
_ORG = "o.org_id = %(org_id)s"


@dataclass(slots=True)
class _Filters:
    """SQL of a list's conditions: of those that terms do not know, of all on rows, and tables of the deals that terms find, with
    when they were created, of which all must have one. ``exactly`` if these meet their conditions for certain."""

    params: dict[str, Any]
    known: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    exactly: bool = True


def found(query: OpportunityListQuery) -> SqlStatement | None:
    """SQL for the ids of the deals on a list, and the columns of its order. None for what is better found otherwise: a list without
    filters, one that the index of all versions gives, and one with a filter that neither this nor terms know."""
    if query.as_of is None or not query.conditions:
        return None
    filters = _Filters(list_query.of_org(query)[0])
    if not all(_add(filters, condition, f"p{n}", query) for n, condition in enumerate(query.conditions)):
        return None
    by_age = [key.field for key in query.keys] == ["created_at", "id"]
    on_sheet = all(key.field in PAST_SHEET for key in query.keys)
    columns = ", ".join(dict.fromkeys(["o.id", *(COLUMNS[key.field].key or COLUMNS[key.field].sql for key in query.keys)]))
    if filters.groups:
        filters.params["groups"] = terms.groups(filters.groups)
        filters.found.append("SELECT t.id, t.created_at FROM dated_opportunities_with_terms(%(groups)s::jsonb) t")
    scanned = " AND ".join([_ORG, AS_OF, *filters.known])
    if not filters.found:
        if by_age or not on_sheet:
            return None
        return SqlStatement(f"SELECT {columns} FROM opportunities o WHERE {scanned}", filters.params)
    changed, condition = "SELECT c.id FROM changed c", " AND ".join([_ORG, AS_OF, *filters.rows])
    if not filters.exactly or not on_sheet:
        text = f"SELECT {columns} FROM {sources.joined(TABLE, f'SELECT c.id FROM candidates c UNION ALL {changed}', condition)}"
    else:
        among = f"{scanned} AND {list_query.is_among('SELECT c.id FROM candidates c')}"
        source = f"opportunities o WHERE {among}" if filters.known or not by_age else "candidates o"
        text = f"SELECT {columns} FROM {source} UNION ALL SELECT {columns} FROM {sources.joined(TABLE, changed, condition)}"
    return SqlStatement(f"WITH {_tables(filters)} {text}", filters.params)


def _tables(filters: _Filters) -> str:
    unchanged = f"NOT {list_query.is_among('SELECT c.id FROM changed c')}"
    found = " INTERSECT ".join(f"({each})" for each in filters.found)
    candidates = f"SELECT o.* FROM ({found}) o (id, created_at) WHERE o.created_at <= %(as_of)s AND {unchanged}"
    tables = {f"accounts_{n}": text for n, text in enumerate(filters.accounts)} | {"changed": _CHANGED, "candidates": candidates}
    return ", ".join(f"{name} AS MATERIALIZED ({text})" for name, text in tables.items())


def _add(filters: _Filters, condition: Condition, name: str, query: OpportunityListQuery) -> bool:
    """Add a condition; false if there is no way to."""
    if condition.field == "search":
        for n, pattern in enumerate(search.patterns(condition.values[0])):
            _add_word(filters, pattern, f"{name}w{n}")
        return True
    text = to_sql(condition, name, filters.params)
    filters.rows.append(text)
    known = condition.custom_type is None and condition.operator != "icontains"
    if known and condition.field in PAST_SHEET | {"owner_email"}:
        filters.known.append(text)
        return True
    by_terms = finding.by_terms(condition, query.org_id)
    if by_terms is None:
        return False
    filters.groups += by_terms.groups
    filters.exactly &= by_terms.exactly
    return True


def _add_word(filters: _Filters, pattern: str, name: str) -> None:
    """A word that is in the name of a deal or of its account."""
    named = f"accounts_{len(filters.accounts)}"
    filters.params |= {name: pattern, f"{name}g": terms.groups([Group(field=NAME, word=pattern)])}
    filters.accounts.append(accounts.as_of("as_of", f"%({name})s"))
    filters.rows.append(f"(o.search LIKE %({name})s OR o.account_id IN (SELECT a.id FROM {named} a))")
    filters.found.append(f"""
        SELECT t.id, t.created_at FROM dated_opportunities_with_terms(%({name}g)s::jsonb) t
        UNION SELECT t.id, t.created_at FROM opportunity_terms t
        WHERE t.org_id = %(org_id)s AND t.account_id = ANY (coalesce((SELECT array_agg(a.id) FROM {named} a), '{{}}'))
    """)
