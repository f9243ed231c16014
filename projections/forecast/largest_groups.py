"""The largest groups of a forecast by account, in the org's own currency, and the others added up, as they are first computed.

There are nearly as many groups as deals. So their amounts alone are added up to rank them, and everything else only of those that
are to be known; of the others it is what these leave of the sums of all deals. In another currency amounts are divided, and a sum
of quotients is not exactly the quotient of the sum: there all sums are made first (``kept_groups``).
"""

from __future__ import annotations

from projections.conditions import SqlStatement
from projections.forecast import current
from projections.forecast.balances import month_start, rate_period
from projections.forecast.current import ForecastQuery
from projections.forecast.deal_sums import DealSums, deals_of
from projections.forecast.groups import COLUMNS, PLACES, factors
from projections.forecast.known_groups import MOST_PLACES, SUM

_WEIGHTED = "CASE x.status WHEN 'open' THEN x.amount * x.probability * 0.01 ELSE x.amount END AS weighted"
# Joined in full, so that it is never done row by row, and compared in an expression, so that it is hashed: nobody can tell the
# planner how many deals and groups there are.
_LARGEST = f"""
    t AS MATERIALIZED (
        SELECT DISTINCT d.day, d.currency, d.status, d.month, f.times
        FROM alike d FULL JOIN f USING (month, currency, status, period)
    ), m AS MATERIALIZED (
        SELECT t.month, c.grp, c.status, coalesce(c.amount, 0) * t.times AS amount, c.probability
        FROM c FULL JOIN t USING (day, currency, status)
    ), ranked AS MATERIALIZED (
        SELECT r.*, row_number() OVER (PARTITION BY r.month ORDER BY r.amount DESC, r.grp) <= (SELECT k.places FROM most k) AS known
        FROM (SELECT m.month, m.grp, round(coalesce(sum(m.amount), 0), {PLACES}) AS amount FROM m GROUP BY 1, 2) r
    ), cells AS MATERIALIZED (
        SELECT x.month, x.grp, x.status, CASE WHEN x.amount IS NOT NULL THEN 1::numeric END AS by,
            sum(x.amount) AS unweighted, sum(x.weighted) AS weighted, count(*) AS n
        FROM (
            SELECT x.*, {_WEIGHTED} FROM m x
            WHERE coalesce((x.month, x.grp) IN (SELECT r.month, r.grp FROM ranked r WHERE r.known), false)
        ) x GROUP BY 1, 2, 3, 4
    ), rest AS MATERIALIZED (
        SELECT x.month, x.status, x.by, {SUM} FROM (
            SELECT a.month, a.status, CASE WHEN f.times IS NOT NULL THEN 1::numeric END AS by,
                a.unweighted * f.times AS unweighted, a.weighted * f.times AS weighted, a.n
            FROM a JOIN f USING (month, currency, status, period)
            UNION ALL SELECT v.month, v.status, v.by, -v.unweighted, -v.weighted, -v.n FROM cells v
        ) x GROUP BY 1, 2, 3 HAVING sum(x.n) <> 0
    ), others AS MATERIALIZED (
        SELECT r.month, count(*) AS groups, max(r.amount) AS largest FROM ranked r WHERE NOT r.known GROUP BY 1
    )
"""


def answers(asked: ForecastQuery) -> bool:
    return asked.group_by == "account" and asked.currency is None


def largest(asked: ForecastQuery, where: SqlStatement) -> DealSums:
    """Common table expressions: as ``known_groups`` has them, ``cells`` that are to be known, the ``others`` and the ``rest``."""
    assert asked.group_by is not None
    period = f"coalesce({rate_period('x.status', 'x.day', asked.bounds)}, -1)"
    tables = f"""
        c AS MATERIALIZED ({deals_of(f"opportunities o WHERE {where.text} AND", asked.bounds, COLUMNS[asked.group_by])}),
        alike AS MATERIALIZED (
            SELECT x.*, {month_start("x.day")} AS month, {period} AS period FROM (
                SELECT c.day, c.currency, c.status, c.probability, coalesce(sum(c.amount), 0) AS amount, count(*) AS n
                FROM c GROUP BY 1, 2, 3, 4
            ) x
        ), a AS MATERIALIZED (
            SELECT x.month, x.currency, x.status, x.period, min(x.day) AS day, {SUM}
            FROM (SELECT x.*, x.amount AS unweighted, {_WEIGHTED} FROM alike x) x GROUP BY 1, 2, 3, 4
        ), s AS MATERIALIZED (SELECT a.*, {current.rates(asked)} FROM a), {factors(current.OWN_CURRENCY, None)},
        {MOST_PLACES}, {_LARGEST}
    """
    return DealSums(tables, where.params | asked.bounds.params())
