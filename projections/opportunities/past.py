"""Lists as of an instant with filters that the index of all versions does not know, such as tags and words.

Most deals are as they were at the instant: of these terms and the sheet tell who is on the list, as for a list of the present. Only
the versions that were followed by another one since are looked at themselves. Names of accounts are those of the instant for both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from projections import search, terms
from projections.conditions import Condition, SqlStatement
from projections.opportunities import AS_OF, LIVE, finding, list_query
from projections.opportunities.conditions import COLUMNS, PAST_SHEET, SHEET, to_sql
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.terms import NAME
from projections.terms import Group

_ACCOUNTS = """
    SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = 'account'
        AND d.valid_from <= %(as_of)s AND d.valid_to > %(as_of)s AND d.search LIKE
"""


class _Filters(NamedTuple):
    """SQL: conditions on deals that are as they were, on versions that are not, on both; and the accounts that these name."""

    now: list[str]
    then: list[str]
    both: list[str]
    accounts: list[str]
    params: dict[str, Any]


def found(query: OpportunityListQuery) -> SqlStatement | None:
    """SQL for all deals on a list, with ids, versions and the columns of its order; None if all filters are ones that the index
    knows, or one is what terms do not know."""
    if query.as_of is None or not all(key.field in SHEET for key in query.keys):
        return None
    params, _ = list_query.of_org(query)
    filters = _Filters([], [], [], [], params)
    if not all(_add(filters, condition, f"p{n}", query) for n, condition in enumerate(query.conditions)) or not filters.now:
        return None
    keys = dict.fromkeys(COLUMNS[key.field].key or COLUMNS[key.field].sql for key in query.keys)
    columns = ", ".join(dict.fromkeys(["o.id", "o.version", *keys]))
    named = ", ".join(f"accounts_{n} AS MATERIALIZED ({text})" for n, text in enumerate(filters.accounts))
    same = " AND ".join([LIVE, "o.valid_from <= %(as_of)s", *filters.both, *filters.now])
    followed = " AND ".join([AS_OF, "o.valid_to < 'infinity'", *filters.both, *filters.then])
    text = f"""
        {f"WITH {named}" if named else ""} SELECT {columns} FROM opportunities o WHERE o.org_id = %(org_id)s AND {same}
        UNION ALL SELECT {columns} FROM opportunities o WHERE o.org_id = %(org_id)s AND {followed}
    """
    return SqlStatement(text, filters.params)


def _add(filters: _Filters, condition: Condition, name: str, query: OpportunityListQuery) -> bool:
    """Add a condition; false if there is no way to."""
    params = filters.params
    if condition.field == "search":
        for n, pattern in enumerate(search.patterns(condition.values[0])):
            params[f"{name}w{n}"] = pattern
            of_account = f"o.account_id IN (SELECT a.id FROM accounts_{len(filters.accounts)} a)"
            filters.accounts.append(f"{_ACCOUNTS} %({name}w{n})s")
            filters.now.append(f"({_with_terms([Group(field=NAME, word=pattern)], f'{name}g{n}', params)} OR {of_account})")
            filters.then.append(f"(o.search LIKE %({name}w{n})s OR {of_account})")
        return True
    known = condition.custom_type is None and condition.operator != "icontains"
    if known and condition.field in PAST_SHEET | {"owner_email"}:
        filters.both.append(to_sql(condition, name, params))
        return True
    by_terms = finding.by_terms(condition, query.org_id)
    if by_terms is None or not by_terms.exactly:
        return False
    filters.now.append(_with_terms(by_terms.groups, f"{name}g", params))
    filters.then.append(to_sql(condition, name, params))
    return True


def _with_terms(groups: list[Group], name: str, params: dict[str, Any]) -> str:
    params[name] = terms.groups(groups)
    return list_query.is_among(f"SELECT t.id FROM opportunities_with_terms(%({name})s::jsonb, NULL, true) t (id)")
