"""The largest groups of a forecast by account, in the org's own currency, and the others added up, as they are first computed.

There are nearly as many groups as deals. So their amounts alone are added up to rank them, and everything else only of those that
are to be known; of the others it is what these leave of the sums of all deals, which are kept as balances. In another currency
amounts are divided, and with filters there are no balances: there all sums are made first (``kept_groups``).
"""

from __future__ import annotations

from projections.forecast import current
from projections.forecast.balances import Bounds, balances_at, month_start, rate_period
from projections.forecast.current import ForecastQuery
from projections.forecast.deal_sums import IN_SHEET, DealSums, deals_of
from projections.forecast.groups import COLUMNS, PLACES, factors
from projections.forecast.known_groups import MOST_PLACES, SUM
from projections.opportunities import list_query
from projections.opportunities.list_query import OpportunityListQuery

_PART = 16
"""Of so many groups one is in the part of them that says from which amount on the others are looked at."""
# To put all groups in order costs more than to add them up. As many of a part of them as are to be known, and one, have at least
# some amount, so whatever has less need not be put in order.
_RANKED = f"""
    least_amount AS MATERIALIZED (
        SELECT x.month, min(x.amount) AS amount FROM (
            SELECT g.month, g.amount, row_number() OVER (PARTITION BY g.month ORDER BY g.amount DESC) AS place
            FROM g WHERE get_byte(uuid_send(g.grp), 15) < {256 // _PART}
        ) x WHERE x.place <= (SELECT k.places FROM most k) + 1 GROUP BY 1 HAVING count(*) > (SELECT k.places FROM most k)
    ), ranked AS MATERIALIZED (
        SELECT r.*, row_number() OVER (PARTITION BY r.month ORDER BY r.amount DESC, r.grp) <= (SELECT k.places FROM most k) AS known
        FROM g r LEFT JOIN least_amount l USING (month) WHERE coalesce(r.amount >= l.amount, true)
    ), others AS MATERIALIZED (
        SELECT r.month, max(g.groups) - count(*) FILTER (WHERE r.known) AS groups,
            max(r.amount) FILTER (WHERE NOT r.known) AS largest
        FROM ranked r JOIN (SELECT g.month, count(*) AS groups FROM g GROUP BY 1) g USING (month)
        GROUP BY 1 HAVING NOT bool_and(r.known)
    )
"""
# As arrays, because the planner takes what is unnested for ten rows, and of that it makes a hash table to join all deals with.
_TIMES = """
    t AS MATERIALIZED (
        SELECT u.* FROM (
            SELECT array_agg(x.currency) AS currencies, array_agg(x.status) AS statuses, array_agg(x.period) AS periods,
                array_agg(x.times) AS times
            FROM (SELECT DISTINCT f.currency, f.status, f.period, f.times FROM f) x
        ) a CROSS JOIN LATERAL unnest(a.currencies, a.statuses, a.periods, a.times) u (currency, status, period, times)
    )
"""
_CELLS = f"""
    cells AS MATERIALIZED (
        SELECT x.month, x.grp, x.status, CASE WHEN t.times IS NOT NULL THEN 1::numeric END AS by,
            coalesce(sum(x.amount * t.times), 0) AS unweighted,
            coalesce(sum(x.amount * t.times * CASE x.status WHEN 'open' THEN x.probability * 0.01 ELSE 1 END), 0) AS weighted,
            count(*) AS n
        FROM known x LEFT JOIN t USING (currency, status, period)
        WHERE (x.month, x.grp) IN (SELECT r.month, r.grp FROM ranked r WHERE r.known) GROUP BY 1, 2, 3, 4
    ), rest AS MATERIALIZED (
        SELECT x.month, x.status, x.by, {SUM} FROM (
            SELECT a.month, a.status, CASE WHEN f.times IS NOT NULL THEN 1::numeric END AS by,
                a.unweighted * f.times AS unweighted, a.weighted * f.times AS weighted, a.n
            FROM a JOIN f USING (month, currency, status, period)
            UNION ALL SELECT c.month, c.status, c.by, -c.unweighted, -c.weighted, -c.n FROM cells c
        ) x GROUP BY 1, 2, 3 HAVING sum(x.n) <> 0
    )
"""


def answers(asked: ForecastQuery, deals: OpportunityListQuery) -> bool:
    return asked.group_by == "account" and asked.currency is None and not deals.conditions


def largest(asked: ForecastQuery, deals: OpportunityListQuery) -> DealSums:
    """Common table expressions: as ``known_groups`` has them, ``cells`` that are to be known, the ``others`` and the ``rest``."""
    assert asked.group_by is not None
    group, where = COLUMNS[asked.group_by], list_query.where(deals)
    total = balances_at("total", asked.as_of, asked.today, asked.bounds)
    found = deals_of(f"opportunities o WHERE {where.text} AND", asked.bounds, group)
    if asked.as_of:  # no index knows the past of a group, so all are put aside
        first, source, known = f"c AS MATERIALIZED ({found}),", "c", f"SELECT c.* FROM c WHERE {_IS_KNOWN}"
    else:
        first, source, known = "", f"({found})", deals_of(_of_known(group, where.text), asked.bounds, group)
    tables = f"""
        a AS MATERIALIZED (
            SELECT b.month, b.currency, b.status, b.period, min(b.day) AS day,
                sum(b.unweighted) AS unweighted, sum(b.weighted) AS weighted, sum(b.n) AS n
            FROM ({_placed(f"({total.text})", asked.bounds)}) b GROUP BY 1, 2, 3, 4 HAVING sum(b.n) <> 0
        ), s AS MATERIALIZED (SELECT a.*, {current.rates(asked)} FROM a), {factors(current.OWN_CURRENCY, None)}, {MOST_PLACES},
        {_TIMES}, {first}
        g AS MATERIALIZED (
            SELECT x.month, x.grp, round(coalesce(sum(x.amount * t.times), 0), {PLACES}) AS amount
            FROM ({_placed(source, asked.bounds)}) x LEFT JOIN t USING (currency, status, period) GROUP BY 1, 2
        ), {_RANKED}, known AS ({_placed(f"({known})", asked.bounds)}), {_CELLS}
    """
    return DealSums(tables, total.params | where.params | asked.bounds.params())


def _placed(source: str, bounds: Bounds) -> str:
    """SQL for rows of a source, with the month and the period of constant rates that they are in."""
    return f"""
        SELECT x.*, {month_start("x.day")} AS month, coalesce({rate_period("x.status", "x.day", bounds)}, -1) AS period
        FROM {source} x
    """


_IS_KNOWN = "coalesce(c.grp IN (SELECT r.grp FROM ranked r WHERE r.known), false)"


def _of_known(group: str, where: str) -> str:
    return f"""
        (SELECT DISTINCT r.grp FROM ranked r WHERE r.known) r
        CROSS JOIN LATERAL (SELECT {IN_SHEET} FROM opportunities o WHERE {group} = r.grp AND {where} OFFSET 0) o WHERE
    """
