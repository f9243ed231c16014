"""The sums that a forecast of a list's deals is made of when none are kept: those of owners where they do, else the deals."""

from __future__ import annotations

from projections.conditions import SqlStatement
from projections.forecast import by_owner
from projections.forecast.balances import Bounds
from projections.forecast.current import ForecastQuery
from projections.forecast.deal_sums import DealSums, counts, from_deals, grouped
from projections.forecast.groups import GroupBy
from projections.opportunities import list_query
from projections.opportunities.list_query import OpportunityListQuery


def computed(asked: ForecastQuery, deals: OpportunityListQuery) -> DealSums:
    bounds, group_by = asked.bounds, asked.group_by
    if not by_owner.forecasts(deals.conditions, bounds, group_by):
        return from_deals(list_query.among(deals, counts(bounds)), bounds, group_by)
    owned = by_owner.deals(deals.org_id, deals.conditions, bounds, deals.as_of, asked.today)
    return _from_owners(owned, bounds, group_by)


def _from_owners(owned: SqlStatement, bounds: Bounds, group_by: GroupBy | None) -> DealSums:
    """``owned`` are rows that add up to what the owners have. Sums of which no deal is left are none."""
    group = "x.owner_id" if group_by else "NULL::text"
    rows = f"SELECT x.day, x.currency, x.status, x.unweighted, x.weighted, x.n, {group} AS grp FROM ({owned.text}) x"
    sums = f"{grouped(bounds, group_by)} HAVING sum(c.n) <> 0"
    return DealSums(f"c AS ({rows}), sums AS MATERIALIZED ({sums})", owned.params | bounds.params())
