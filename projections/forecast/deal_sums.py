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

IN_SHEET = ", ".join(
    f"o.{name}"
    for name in (
        "status", "close_date", "actual_close_date", "amount", "actual_amount", "probability", "currency", "owner_id", "account_id",
    )
)  # fmt: skip
"""Columns of a deal ``o`` that are enough for its group and contribution, and that the sheet has."""


class DealSums(NamedTuple):
    """Common table expressions, the last of which are ``sums``; their parameters; columns to come before and after all others."""

    tables: str
    params: dict[str, Any]
    first: str = ""
    last: str = ""
    question: Question | None = None


# Added up before they are multiplied, and before it is asked which month a day is in, because there are far fewer sums than deals.
_ALIKE = frozenset({None, "stage", "tag"})


def from_deals(where: SqlStatement, bounds: Bounds, group_by: GroupBy | None) -> DealSums:
    """``where`` is the condition on ``opportunities o``."""
    source = f"opportunities o WHERE {where.text} AND"
    deals = _alike(source, bounds, group_by) if group_by in _ALIKE else contributions(source, None, bounds, group_by)
    return DealSums(f"c AS ({deals}), sums AS MATERIALIZED ({grouped(bounds, group_by)})", where.params | bounds.params())


def contributions(source: str, sign: str | None, bounds: Bounds, group_by: GroupBy | None) -> str:
    """What each deal of a source contributes; with a sign (SQL), times that."""
    group = COLUMNS[group_by] if group_by else "NULL::text"
    shown = "b.*" if sign is None else "b.day, b.currency, b.status, b.n * b.unweighted, b.n * b.weighted, b.n, b.grp"
    return f"""
        SELECT {shown} FROM (
            SELECT {CONTRIBUTION}, {sign or 1} AS n, {group} AS grp FROM {source} {counts(bounds)}
        ) b
    """


def counts(bounds: Bounds) -> str:
    """SQL for whether a deal ``o`` is in the forecast. As a case, of which the planner expects that it holds for half of the deals:
    it takes a range of computed days for few, and would sort all deals instead of hashing them. And of the deal's own columns,
    because a computed day is computed again for each comparison."""
    open_, won = (f"coalesce({bounds.holds(day)}, true)" for day in ("o.close_date", "o.actual_close_date"))
    return f"CASE o.status WHEN 'open' THEN {open_} WHEN 'won' THEN {won} ELSE false END"


def deals_of(source: str, bounds: Bounds, group: str) -> str:
    """The deals of a source, with what they contribute not yet multiplied."""
    open_ = "o.status = 'open'"
    return f"""
        SELECT coalesce(CASE WHEN {open_} THEN o.close_date ELSE o.actual_close_date END, 'infinity') AS day,
            o.currency, o.status, CASE WHEN {open_} THEN o.probability END AS probability,
            CASE WHEN {open_} THEN o.amount ELSE o.actual_amount END AS amount, {group} AS grp
        FROM {source} {counts(bounds)}
    """


def _alike(source: str, bounds: Bounds, group_by: GroupBy | None) -> str:
    """What deals contribute that are alike in all else: those of a day, or by tag, of which there are many sets, of a month."""
    when = "x.day"
    if group_by == "tag":
        when = f"{month_start('x.day')}, {rate_period('x.status', 'x.day', bounds)}"
    return f"""
        SELECT b.day, b.currency, b.status, b.amount AS unweighted,
            CASE b.status WHEN 'open' THEN b.amount * b.probability * 0.01 ELSE b.amount END AS weighted, b.n, b.grp
        FROM (
            SELECT min(x.day) AS day, x.currency, x.status, x.probability, x.grp,
                coalesce(sum(x.amount), 0) AS amount, count(*) AS n
            FROM ({deals_of(source, bounds, COLUMNS[group_by] if group_by else "NULL::text")}) x
            GROUP BY {when}, x.currency, x.status, x.probability, x.grp
        ) b
    """


def grouped(bounds: Bounds, group_by: GroupBy | None, source: str = "c") -> str:
    """From deals, the sums of each group, and for tags also those of all deals, with no group."""
    period = f"coalesce({rate_period('c.status', 'c.day', bounds)}, -1)"
    keys = f"{month_start('c.day')} AS month, c.currency, c.status, {period} AS period"
    if group_by != "tag":
        return f"SELECT {keys}, c.grp, {SUMS} FROM {source} c GROUP BY 1, 2, 3, 4, 5"
    tags = f"CASE WHEN c.grp = '' THEN ARRAY['{NO_TAG}'] ELSE string_to_array(c.grp, E'\\n') END"
    each = f"{source} c CROSS JOIN LATERAL unnest({tags}) AS t (grp)"
    return f"""
        SELECT {keys}, t.grp, {SUMS} FROM {each} GROUP BY 1, 2, 3, 4, 5
        UNION ALL SELECT {keys}, NULL, {SUMS} FROM {source} c GROUP BY 1, 2, 3, 4
    """


SUMS = "min(c.day) AS day, sum(c.unweighted) AS unweighted, sum(c.weighted) AS weighted, sum(c.n) AS n"
