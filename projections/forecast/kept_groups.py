"""Forecasts by owner or account whose largest groups are kept, and the others added up, however many there are.

What is kept are the sums over all groups, the converted sums of those groups that are shown and of some more, and of each month how
many others there are, their sums and the largest amount among them. A group of these that changes is read from its deals, and is
known from then on; one that did not change has at most that amount. So the groups shown are certain as long as each has more; if
not, all is computed again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from projections import kept, questions
from projections.conditions import SqlStatement
from projections.forecast import current, largest_groups
from projections.forecast.computed_sums import computed
from projections.forecast.current import ForecastQuery
from projections.forecast.deal_sums import contributions, grouped
from projections.forecast.groups import COLUMNS, PLACED, converted, factors, shown
from projections.forecast.kept_forecast import MOVE
from projections.forecast.known_groups import ALL, IN_UNKNOWN, KNOWN, MERGED, OTHERS, REACH, SUM, TABLES, WIDTH, to_keep
from projections.kept import Figure
from projections.opportunities import LIVE, counts, list_query
from projections.opportunities.list_query import OpportunityListQuery


@dataclass(frozen=True, slots=True)
class KeptGroups:
    """A forecast by owner or account of the deals of a list, as of the same instant."""

    query: ForecastQuery
    deals: OpportunityListQuery

    @property
    def key(self) -> Hashable:
        asked, deals = self.query, self.deals
        shown_as = asked.currency, asked.groups_limit, None if asked.as_of else asked.today
        return "groups", deals.org_id, deals.conditions, deals.as_of, asked.bounds, asked.group_by, shown_as

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the sums hold for, what ``current.forecast`` returns, and what is to be kept."""
        if figure is None:
            tables, params, position, question = self._computed()
        else:
            tables, params, position, question = self._brought_up_to_date(figure)
        last = "".join(table.arrays() for table in TABLES)
        return SqlStatement(current.selected(tables, grouped=True, first=position, last=last), params, question)

    @staticmethod
    def parts(row: Sequence[Any]) -> tuple[str, ...] | None:
        arrays = row[-WIDTH:]
        return None if None in arrays else tuple(each.decode() for each in arrays)

    @staticmethod
    def answered(row: Sequence[Any]) -> Sequence[Any]:
        """What ``current.forecast`` returns, of a row without position and build."""
        return row[: len(row) - WIDTH]

    def _computed(self) -> tuple[str, dict[str, Any], str, Any]:
        asked = self.query
        assert asked.group_by is not None
        position = f"{kept.POSITION} AS position, {kept.BUILT} AS built, "
        if largest_groups.answers(asked):
            found = largest_groups.largest(asked, list_query.among(self.deals))
            tables = f"{found.tables}, {shown(asked.group_by, asked.as_of, 'places')}, {to_keep(asked.group_by, 'true')}"
            return tables, current.parameters(asked) | found.params, position, questions.FORECAST_GROUPED
        sums = computed(asked, self.deals)
        tables = f"""
            {sums.tables},
            a AS (SELECT x.month, x.currency, x.status, x.period, min(x.day) AS day, {SUM} FROM sums x GROUP BY 1, 2, 3, 4),
            s AS MATERIALIZED (SELECT a.*, {current.rates(asked)} FROM a), {factors(current.OWN_CURRENCY, asked.currency)},
            v AS MATERIALIZED ({converted("sums")}), {PLACED}, {shown(asked.group_by, asked.as_of)},
            rest AS (SELECT v.month, v.status, v.by, v.unweighted, v.weighted, v.n FROM v WHERE false),
            others AS (SELECT v.month, 0::bigint AS groups, 0::numeric AS largest FROM v WHERE false),
            {to_keep(asked.group_by, "true")}
        """
        params = current.parameters(asked) | sums.params
        return tables, params, position, questions.FORECAST_GROUPED

    def _brought_up_to_date(self, figure: Figure) -> tuple[str, dict[str, Any], str, Any]:
        asked, meets = self.query, list_query.meets(self.deals)
        assert asked.group_by is not None
        hangs_on = [*counts.hangs_on(self.deals), "exchange_rate", "organization"]
        changed = contributions(f"{kept.meeting(meets.text)} WHERE", "c.sign", asked.bounds, asked.group_by)
        tables = f"""
            {kept.since(figure, hangs_on, as_of=asked.as_of is not None)},
            c (day, currency, status, unweighted, weighted, n, grp) AS ({changed}),
            d AS MATERIALIZED ({grouped(asked.bounds, asked.group_by)}),
            a AS (
                SELECT x.month, x.currency, x.status, x.period, min(x.day) AS day, {SUM} FROM (
                    {ALL.given()}
                    UNION ALL SELECT d.month, d.currency, d.status, d.period, d.day, d.unweighted, d.weighted, d.n FROM d
                ) x GROUP BY 1, 2, 3, 4
            ), rated AS MATERIALIZED (SELECT a.*, {current.rates(asked)} FROM a), s AS (SELECT * FROM rated WHERE n <> 0),
            {factors(current.OWN_CURRENCY, asked.currency, "rated")},
            k AS MATERIALIZED ({KNOWN.given()}), were AS MATERIALIZED ({OTHERS.given()}), {self._unknown(meets.text)},
            more AS MATERIALIZED ({converted("d")}), now AS MATERIALIZED ({converted("whole")}),
            {MERGED}, {PLACED}, {REACH}, {shown(asked.group_by, asked.as_of, "places")},
            {to_keep(asked.group_by, f"((SELECT count(*) FROM since) > {MOVE} OR EXISTS (SELECT FROM unknown))")}
        """
        params = current.parameters(asked) | meets.params | asked.bounds.params() | figure.params()
        names = [f"{table.name}_{column}" for table in TABLES for column in table.columns]
        params |= dict(zip(names, figure.parts, strict=True))
        doubts = "EXISTS (SELECT FROM reach m WHERE m.certain < %(groups_limit)s::bigint)"
        if asked.as_of:
            doubts += " OR EXISTS (SELECT FROM unknown)"
        first = f"""
            (SELECT CASE WHEN NOT ({doubts}) THEN h.position END FROM holds h) AS position, (SELECT h.built FROM holds h) AS built,
        """
        return tables, params, first, questions.FORECAST_GROUPS_KEPT

    def _unknown(self, meets: str) -> str:
        """Common table expressions: what changed of groups that are not known, and their ``whole`` sums as they are now, from the
        deals by an index. There is none for the past, where nothing changes but by an import."""
        bounds, group_by = self.query.bounds, self.query.group_by
        assert group_by is not None
        of_group = "false" if self.query.as_of else f"{COLUMNS[group_by]} = u.grp AND {LIVE} AND {meets}"
        deals = f"""
            (SELECT DISTINCT u.grp FROM unknown u) u
            CROSS JOIN LATERAL (SELECT o.* FROM opportunities o WHERE {of_group} OFFSET 0) o WHERE
        """
        return f"""
            unknown AS MATERIALIZED (
                SELECT DISTINCT d.month, d.grp FROM d JOIN were USING (month)
                WHERE NOT EXISTS (SELECT FROM k WHERE k.month = d.month AND k.grp = d.grp)
            ), of_unknown AS ({contributions(deals, None, bounds, group_by)}),
            whole AS MATERIALIZED (SELECT x.* FROM ({grouped(bounds, group_by, "of_unknown")}) x WHERE {IN_UNKNOWN})
        """
