"""The streams of the records on a list, and of those that they ever named, for exports with history.

A list without filters is all there ever was, deleted records too: the past would not be whole without them. Ids come first, in the
order of the list; the events of some of them are asked for by id, so the cost goes by them and not by the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from projections.conditions import SqlStatement
from projections.directory import queries as directory_queries
from projections.directory.queries import DirectoryListQuery
from projections.opportunities import list_query
from projections.opportunities.list_query import OpportunityListQuery
from projections.opportunities.orderings import order_by

Query = OpportunityListQuery | DirectoryListQuery


def chosen(query: Query) -> SqlStatement:
    """The ids of the records, in the order of the list."""
    found = _chosen(query)
    order = order_by(query.keys) if isinstance(query, OpportunityListQuery) else directory_queries.order_by(query)
    return SqlStatement(f"{found.text} ORDER BY {order}", found.params)


def count(query: Query) -> SqlStatement:
    found = _chosen(query)
    return SqlStatement(f"SELECT count(*) FROM ({found.text}) chosen", found.params)


def accounts(query: Query) -> SqlStatement | None:
    """The ids of the accounts that the records ever named, and that their stakeholders did; none of accounts themselves."""
    if isinstance(query, OpportunityListQuery):
        found = _chosen(query)
        of_deals = f"SELECT v.account_id FROM opportunities v WHERE v.id IN ({found.text})"
        named = f"{of_deals} UNION {_accounts(_stakeholders(found.text))}"
        return SqlStatement(f"SELECT k.id FROM ({named}) AS k (id) ORDER BY k.id", found.params)
    if query.kind == "contact":
        found = _chosen(query)
        return SqlStatement(f"SELECT DISTINCT k.id FROM ({_accounts(found.text)}) AS k (id) ORDER BY k.id", found.params)
    return None


def contacts(query: Query) -> SqlStatement | None:
    """The ids of the contacts that deals ever had as stakeholders."""
    if not isinstance(query, OpportunityListQuery):
        return None
    found = _chosen(query)
    return SqlStatement(f"SELECT DISTINCT k.id FROM ({_stakeholders(found.text)}) AS k (id) ORDER BY k.id", found.params)


def rates(org_id: UUID) -> SqlStatement:
    """The ids of the streams of exchange rates."""
    text = "SELECT DISTINCT r.id FROM exchange_rates r WHERE r.org_id = %(org_id)s ORDER BY r.id"
    return SqlStatement(text, {"org_id": org_id})


def users(org_id: UUID) -> SqlStatement:
    """All users as the API shows them."""
    text = """
        SELECT d.doc::varchar FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = 'user' AND d.valid_to = 'infinity'
        ORDER BY d.id
    """
    return SqlStatement(text, {"org_id": org_id})


def events(org_id: UUID, ids: Sequence[UUID], *, with_activities: bool) -> SqlStatement:
    """The events of some streams, each stream's in order; after those of a deal, those of its activities."""
    activities = """
        UNION ALL SELECT d.id, 1 FROM directory d
        WHERE d.org_id = %(org_id)s AND d.kind = 'activity' AND d.parent_id = k.id AND d.valid_to = 'infinity' AND NOT d.deleted
    """
    text = f"""
        SELECT e.topic, e.state, e.originator_id, e.originator_version
        FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS k (id, n)
        CROSS JOIN LATERAL (SELECT k.id, 0 {activities if with_activities else ""}) AS s (id, place)
        JOIN opportunities_events e ON e.originator_id = s.id AND e.org_id = %(org_id)s
        ORDER BY k.n, s.place, s.id, e.originator_version
    """
    return SqlStatement(text, {"org_id": org_id, "ids": list(ids)})


def _chosen(query: Query) -> SqlStatement:
    everything = not query.conditions
    if isinstance(query, OpportunityListQuery):
        if everything and query.as_of is None:
            text = "SELECT o.id FROM opportunities o WHERE o.org_id = %(org_id)s AND o.valid_to = 'infinity'"
            return SqlStatement(text, {"org_id": query.org_id})
        found = list_query.where(query)
        return SqlStatement(f"SELECT o.id FROM opportunities o WHERE {found.text}", found.params)
    if everything:
        text = "SELECT d.id FROM directory d WHERE d.org_id = %(org_id)s AND d.kind = %(kind)s AND d.valid_to = 'infinity'"
        return SqlStatement(text, {"org_id": query.org_id, "kind": query.kind})
    return directory_queries.unordered(query, "d.id")


def _stakeholders(deals: str) -> str:
    return f"SELECT s.id FROM opportunities v CROSS JOIN LATERAL unnest(v.stakeholder_ids) AS s (id) WHERE v.id IN ({deals})"


def _accounts(contacts: str) -> str:
    return f"SELECT c.parent_id FROM directory c WHERE c.kind = 'contact' AND c.parent_id IS NOT NULL AND c.id IN ({contacts})"
