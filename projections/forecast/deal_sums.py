"""The sums of deals that a forecast with filters or groups is made of.

Sums are by month, currency, status and period of constant rates, and by group; the same over all groups where these do not add
up to it, because a deal has several tags. They are in the deals' own currencies.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from projections.conditions import SqlStatement
from projections.forecast.balances import Bounds, month_start, rate_period
from projections.forecast.groups import COLUMNS, NO_TAG, GroupBy
from projections.questions import Question

# Weighted by multiplication, because a division would round.
CONTRIBUTION = """
    coalesce(CASE o.status WHEN 'open' THEN o.close_date ELSE o.actual_close_date END, 'infinity') AS day, o.currency, o.status,
    coalesce(CASE o.status WHEN 'open' THEN o.amount ELSE o.actual_amount END, 0) AS unweighted,
    coalesce(CASE o.status WHEN 'open' THEN o.amount * o.probability * 0.01 ELSE o.actual_amount END, 0) AS weighted
"""
"""Columns: what an open or won deal ``o`` adds to the forecast."""


class DealSums(NamedTuple):
    """Common table expressions, the last of which are ``sums``; their parameters; columns to come before and after all others."""

    tables: str
    params: dict[str, Any]
    first: str = ""
    last: str = ""
    question: Question | None = None


def from_deals(where: SqlStatement, bounds: Bounds, group_by: GroupBy | None) -> DealSums:
    """``where`` is the condition on ``opportunities o``."""
    deals = contributions(f"opportunities o WHERE {where.text} AND", None, bounds, group_by)
    return DealSums(f"c AS ({deals}), sums AS MATERIALIZED ({grouped(bounds, group_by)})", where.params | bounds.params())


def contributions(source: str, sign: str | None, bounds: Bounds, group_by: GroupBy | None) -> str:
    """What each deal of a source contributes; with a sign (SQL), times that."""
    group = COLUMNS[group_by] if group_by else "NULL::text"
    shown = "b.*" if sign is None else "b.day, b.currency, b.status, b.n * b.unweighted, b.n * b.weighted, b.n, b.grp"
    return f"""
        SELECT {shown} FROM (
            SELECT {CONTRIBUTION}, {sign or 1} AS n, {group} AS grp FROM {source} o.status IN ('open', 'won')
        ) b WHERE {bounds.holds("b.day")}
    """


def grouped(bounds: Bounds, group_by: GroupBy | None, source: str = "c") -> str:
    """From deals, the sums of each group, and for tags also those of all deals, with no group."""
    period = f"coalesce({rate_period('c.status', 'c.day', bounds)}, -1)"
    keys = f"{month_start('c.day')} AS month, c.currency, c.status, {period} AS period"
    if group_by != "tag":
        return f"SELECT {keys}, c.grp, {SUMS} FROM {source} c GROUP BY 1, 2, 3, 4, 5"
    each = f"{source} c CROSS JOIN LATERAL unnest(CASE WHEN c.grp = '{{}}' THEN ARRAY['{NO_TAG}'] ELSE c.grp END) AS t (grp)"
    return f"""
        SELECT {keys}, t.grp, {SUMS} FROM {each} GROUP BY 1, 2, 3, 4, 5
        UNION ALL SELECT {keys}, NULL, {SUMS} FROM {source} c GROUP BY 1, 2, 3, 4
    """


SUMS = "min(c.day) AS day, sum(c.unweighted) AS unweighted, sum(c.weighted) AS weighted, sum(c.n) AS n"
