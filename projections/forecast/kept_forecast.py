"""Forecasts with filters, or by stage or tag, whose sums of deals are kept.

What is kept does not depend on the report's currency, on today or on how many groups are shown; but it does on the days on which
rates change.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from projections import kept, questions
from projections.conditions import SqlStatement
from projections.forecast import current
from projections.forecast.computed_sums import computed
from projections.forecast.current import ForecastQuery
from projections.forecast.deal_sums import DealSums, contributions, grouped
from projections.forecast.kept_table import Kept
from projections.kept import Figure
from projections.opportunities import counts, list_query
from projections.opportunities.list_query import OpportunityListQuery

MOST_ROWS = 10_000
"""Sums that are kept of one forecast at most."""
MOVE = 100
"""Events after a figure's position beyond which its sums are returned, to be kept in place of those before."""

SUMS = Kept("sums", {"month": "date", "currency": "text", "status": "text", "period": "int", "grp": "text", "day": "date",
                     "unweighted": "numeric", "weighted": "numeric", "n": "bigint"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeptForecast:
    """A forecast of the deals of a list, as of the same instant."""

    query: ForecastQuery
    deals: OpportunityListQuery

    @property
    def key(self) -> Hashable:
        asked, deals = self.query, self.deals
        return "forecast", deals.org_id, deals.conditions, deals.as_of, asked.bounds, asked.group_by

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the sums hold for, what ``current.forecast`` returns, and what is to be kept."""
        return current.forecast(self.query, self._computed() if figure is None else self._brought_up_to_date(figure))

    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[str, ...] | None:
        arrays = row[-len(SUMS.columns) :]
        return None if arrays[0] is None else tuple(each.decode() for each in arrays)

    @staticmethod
    def answered(row: Sequence[Any]) -> Sequence[Any]:
        """What ``current.forecast`` returns, of a row without position and build."""
        return row[: len(row) - len(SUMS.columns)]

    def _computed(self) -> DealSums:
        tables, params, *_ = computed(self.query, self.deals)
        return DealSums(
            f"{tables}, {_to_keep('true')}", params, f"{kept.POSITION} AS position, {kept.BUILT} AS built, ", SUMS.arrays()
        )

    def _brought_up_to_date(self, figure: Figure) -> DealSums:
        bounds, group_by = self.query.bounds, self.query.group_by
        meets = list_query.meets(self.deals)
        since = kept.since(figure, [*counts.hangs_on(self.deals), "exchange_rate"], as_of=self.deals.as_of is not None)
        changed = contributions(f"{kept.meeting(meets.text)} WHERE", "c.sign", bounds, group_by)
        tables = f"""
            {since}, c (day, currency, status, unweighted, weighted, n, grp) AS ({changed}),
            sums AS MATERIALIZED (
                SELECT x.month, x.currency, x.status, x.period, x.grp, min(x.day) AS day,
                    sum(x.unweighted) AS unweighted, sum(x.weighted) AS weighted, sum(x.n)::bigint AS n
                FROM ({SUMS.given()} UNION ALL {grouped(bounds, group_by)}) x
                GROUP BY 1, 2, 3, 4, 5 HAVING sum(x.n) <> 0
            ), {_to_keep(f"(SELECT count(*) FROM since) > {MOVE}")}
        """
        params = meets.params | bounds.params() | figure.params()
        params |= {f"{SUMS.name}_{name}": part for name, part in zip(SUMS.columns, figure.parts, strict=True)}
        first = "(SELECT h.position FROM holds h) AS position, (SELECT h.built FROM holds h) AS built, "
        return DealSums(tables, params, first, SUMS.arrays(), questions.FORECAST_KEPT)


def _to_keep(when: str) -> str:
    return SUMS.to_keep("sums", f"count(*) <= {MOST_ROWS} AND {when}")
