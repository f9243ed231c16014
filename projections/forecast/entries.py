"""The question of a waterfall, and the ledger's entries that answer it deal by deal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from projections import exchange_rates
from projections.forecast.balances import NOT_ALL_ZERO, UNBOUNDED, Bounds, month_start, rate_period
from projections.forecast.limits import MAX_BEHIND, MAX_LISTED
from projections.forecast.periods import Params, utc

SUMS = "min(c.day) AS day, sum(c.unweighted) AS unweighted, sum(c.weighted) AS weighted, sum(c.n) AS n"


@dataclass(frozen=True, slots=True)
class WaterfallQuery:
    """The parameters of a waterfall: the changes after ``start`` up to and including ``end``, which is not earlier. The rest as in
    ``ForecastQuery``. With ``expanded`` the opportunities behind each step are told."""

    org_id: UUID
    start: datetime
    end: datetime
    today: date
    bounds: Bounds = UNBOUNDED
    currency: str | None = None
    expanded: bool = False

    def params(self) -> Params:
        found: Params = {
            "org_id": self.org_id,
            "start": self.start,
            "end": self.end,
            "start_day": utc(self.start).date(),
            "end_day": utc(self.end).date(),
        }
        return found | self.bounds.params() | ({"report": self.currency} if self.currency else {})


def moves(query: WaterfallQuery, more: str = "") -> str:
    """SQL for what moved by month, cause and deal, in rows of one currency, status and period of constant rates.

    ``more`` is SQL for a further condition on entries ``c``. A move there and back again leaves nothing.
    """
    return f"""
        SELECT {month_start("c.day")} AS month, c.cause, c.currency, c.status, c.opportunity_id, {SUMS}
        FROM forecast_entries c
        WHERE c.org_id = %(org_id)s AND {query.bounds.holds("c.day")}
            AND c.occurred_at > %(start)s::timestamptz AND c.occurred_at <= %(end)s::timestamptz {more}
        GROUP BY 1, 2, 3, 4, 5, {rate_period("c.status", "c.day", query.bounds)} HAVING {NOT_ALL_ZERO}
    """


def behind(query: WaterfallQuery) -> str:
    """SQL for the opportunities behind each step as JSON: month, cause, their number, the ids of the first."""
    listed = f"greatest(0, {MAX_LISTED} - b.before)"
    return f"""
        SELECT coalesce(json_agg(json_build_array(b.month, b.cause, b.count, b.ids[:{listed}])), '[]')::varchar FROM (
            SELECT n.month, n.cause, n.count, array_agg(n.opportunity_id ORDER BY n.place) AS ids,
                coalesce(sum(count(*)) OVER (
                    ORDER BY n.month, n.cause ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::int AS before
            FROM (
                SELECT d.*, row_number() OVER (PARTITION BY d.month, d.cause ORDER BY d.opportunity_id) AS place,
                    count(*) OVER (PARTITION BY d.month, d.cause) AS count
                FROM (SELECT DISTINCT m.month, m.cause, m.opportunity_id FROM ({moves(query)}) m) d
            ) n WHERE n.place <= {MAX_BEHIND} GROUP BY n.month, n.cause, n.count
        ) b
    """


def rates(query: WaterfallQuery) -> str:
    """SQL for the rates of a sum's currency and of the report's, at the start and at the end, of sums ``s``."""
    found = []
    for at in ("start", "end"):
        day = f"CASE s.status WHEN 'won' THEN s.day ELSE %({at}_day)s::date END"
        known_at = f"%({at})s::timestamptz"
        found.append(exchange_rates.rate("s.currency", day, known_at))
        found.append(exchange_rates.rate("%(report)s::text", day, known_at) if query.currency else "NULL")
    return ", ".join(found)
