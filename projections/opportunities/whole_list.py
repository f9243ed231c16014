"""All of a list of deals, for exports: each as the list shows it, in its order, with no pages."""

from __future__ import annotations

from projections.conditions import SqlStatement
from projections.opportunities import items, list_query, queries
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.orderings import order_by


def rows(query: OpportunityListQuery) -> SqlStatement:
    """The items as JSON."""
    found = list_query.where(query)
    item = f"({items.item('card', query.as_of)} || '}}')::varchar"
    return SqlStatement(f"SELECT {item} FROM opportunities o WHERE {found.text} ORDER BY {order_by(query.keys)}", found.params)


def count(query: OpportunityListQuery) -> SqlStatement:
    return queries.count(query)


def custom_keys(query: OpportunityListQuery, most: int) -> SqlStatement:
    """The keys of custom fields that deals on the list have, ``most`` at most."""
    found = list_query.where(query)
    text = f"""
        SELECT DISTINCT k.key FROM opportunities o CROSS JOIN LATERAL jsonb_object_keys(o.custom_fields) k (key)
        WHERE {found.text} AND o.custom_fields <> '{{}}' ORDER BY k.key LIMIT {most:d}
    """
    return SqlStatement(text, found.params)
