"""The question of a waterfall, and the steps that answer it deal by deal: from the ledger, or from ``filtered``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, get_args
from uuid import UUID

from projections import exchange_rates
from projections.conditions import Condition
from projections.forecast import TRANSFERS, Cause, Transfer
from projections.forecast.balances import NOT_ALL_ZERO, UNBOUNDED, Bounds, month_start, rate_period
from projections.forecast.limits import GROUPS_LIMIT, MAX_BEHIND, MAX_LISTED
from projections.forecast.periods import Params, utc

Membership = Literal["included", "excluded"]
Step = Cause | Transfer | Membership

MEMBERSHIPS: tuple[Membership, ...] = get_args(Membership)
"""Causes of a change that makes a deal meet the filters, or no longer."""

SUMS = "min(c.day) AS day, sum(c.unweighted) AS unweighted, sum(c.weighted) AS weighted, sum(c.n) AS n"
SOMETHING = "sum(c.unweighted) <> 0 OR sum(c.weighted) <> 0 OR c.cause = 'start' AND sum(c.n) <> 0"
"""Condition on the sums of a cause: the number of deals counts at the start, where deals without an amount have their month too."""


@dataclass(frozen=True, slots=True)
class WaterfallQuery:
    """The parameters of a waterfall: the changes after ``start`` up to and including ``end``, which is not earlier. The rest as in
    ``ForecastQuery``. With ``expanded`` the opportunities behind each step are told.

    ``until_now`` is for one that need not end at ``end``: all is told that the log has, and ``end`` is the time of the question."""

    org_id: UUID
    start: datetime
    end: datetime
    today: date
    bounds: Bounds = UNBOUNDED
    currency: str | None = None
    expanded: bool = False
    conditions: tuple[Condition, ...] = ()
    group_by: Literal["owner"] | None = None
    groups_limit: int = GROUPS_LIMIT
    until_now: bool = False

    def params(self) -> Params:
        found: Params = {
            "org_id": self.org_id,
            "start": self.start,
            "end": self.end,
            "start_day": utc(self.start).date(),
            "end_day": utc(self.end).date(),
        }
        return found | self.bounds.params() | ({"report": self.currency} if self.currency else {})

    @property
    def of_owners(self) -> tuple[Condition, ...]:
        """The conditions on owners."""
        return tuple(each for each in self.conditions if each.field in ("owner", "owner_email"))

    @property
    def of_others(self) -> tuple[Condition, ...]:
        """The conditions on anything else."""
        return tuple(each for each in self.conditions if each.field not in ("owner", "owner_email"))

    @property
    def filtered(self) -> bool:
        return bool(self.conditions or self.group_by)


def in_span(row: str) -> str:
    """SQL that holds for what happened between the two instants, by a row's ``occurred_at``."""
    return f"{row}.occurred_at > %(start)s::timestamptz AND {row}.occurred_at <= %(end)s::timestamptz"


def up_to_the_end(row: str, query: WaterfallQuery) -> str:
    """SQL that holds for what happened up to the later instant."""
    return "true" if query.until_now else f"{row}.occurred_at <= %(end)s::timestamptz"


def ledger(query: WaterfallQuery) -> str:
    """SQL for the entries of all deals."""
    return f"SELECT e.* FROM forecast_entries e WHERE e.org_id = %(org_id)s AND {query.bounds.holds('e.day')} AND {in_span('e')}"


def moves(query: WaterfallQuery, source: str, more: str = "true") -> str:
    """SQL for what moved by month, cause and deal, in rows of one currency, status and period of constant rates.

    ``source`` is a table of entries, such as those of ``ledger``, and ``more`` SQL for a condition on them, ``c``. A move there and
    back again leaves nothing.
    """
    return f"""
        SELECT {month_start("c.day")} AS month, c.cause, c.currency, c.status, c.opportunity_id, {SUMS}
        FROM {source} c WHERE c.cause <> 'start' AND {more}
        GROUP BY 1, 2, 3, 4, 5, {rate_period("c.status", "c.day", query.bounds)} HAVING {NOT_ALL_ZERO}
    """


def behind(query: WaterfallQuery, source: str) -> str:
    """SQL for the opportunities behind each step as JSON: month, cause, their number, the ids of the first."""
    listed = f"greatest(0, {MAX_LISTED} - b.before)"
    told = "true" if query.of_owners else f"c.cause NOT IN {TRANSFERS}"
    return f"""
        SELECT coalesce(json_agg(json_build_array(b.month, b.cause, b.count, b.ids[:{listed}])), '[]')::varchar FROM (
            SELECT n.month, n.cause, n.count, array_agg(n.opportunity_id ORDER BY n.place) AS ids,
                coalesce(sum(count(*)) OVER (
                    ORDER BY n.month, n.cause ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::int AS before
            FROM (
                SELECT d.*, row_number() OVER (PARTITION BY d.month, d.cause ORDER BY d.opportunity_id) AS place,
                    count(*) OVER (PARTITION BY d.month, d.cause) AS count
                FROM (SELECT DISTINCT m.month, m.cause, m.opportunity_id FROM ({moves(query, source, told)}) m) d
            ) n WHERE n.place <= {MAX_BEHIND} GROUP BY n.month, n.cause, n.count
        ) b
    """


def rates(query: WaterfallQuery) -> str:
    """SQL for the rates of a sum's currency and of the report's, at the start and at the end, of sums ``s``."""
    found = []
    for at in ("start", "end"):
        day = f"CASE s.status WHEN 'won' THEN s.day ELSE %({at}_day)s::date END"
        known_at = None if at == "end" and query.until_now else f"%({at})s::timestamptz"
        found.append(f"{exchange_rates.rate('s.currency', day, known_at)} AS {at}_rate")
        of_report = exchange_rates.rate("%(report)s::text", day, known_at) if query.currency else "NULL::numeric"
        found.append(f"{of_report} AS {at}_report_rate")
    return ", ".join(found)
