"""Forecasts by owner or account whose sums are kept by the process: those of the largest groups, and the others added up, however
many there are.

The next question's statement says what has changed since. A group that changes and is not known is read from its deals.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from projections import kept, questions
from projections.conditions import SqlStatement
from projections.forecast import current, known_groups, largest_groups
from projections.forecast.computed_sums import computed
from projections.forecast.current import Forecast, ForecastQuery
from projections.forecast.deal_sums import IN_SHEET, DealSums, contributions, grouped
from projections.forecast.group_answer import KnownGroups
from projections.forecast.group_sums import GroupSums
from projections.forecast.groups import COLUMNS, PLACED, converted, factors
from projections.forecast.known_groups import ALL, FOUND, KNOWN, MOST_PLACES, SUM, cards, in_json
from projections.forecast.limits import MAX_MONTHS_WITH_DEALS
from projections.kept import Figure, Kind
from projections.opportunities import LIVE, counts, list_query
from projections.opportunities.list_query import OpportunityListQuery


@dataclass(slots=True)
class KeptGroups:
    """A forecast by owner or account of the deals of a list, as of the same instant, that is asked for once."""

    query: ForecastQuery
    deals: OpportunityListQuery
    _before: GroupSums | None = field(default=None, init=False)
    _found: GroupSums | None = field(default=None, init=False)

    @property
    def key(self) -> Hashable:
        asked, deals = self.query, self.deals
        shown_as = asked.currency, asked.groups_limit, None if asked.as_of else asked.today
        return "groups", deals.org_id, deals.conditions, deals.as_of, asked.bounds, asked.group_by, shown_as

    def statement(self, figure: Figure | None) -> SqlStatement:
        """One row: position and build that the sums hold for, the org's currency, and what ``GroupSums`` is made of."""
        self._before = self._found = None
        if figure is None:
            return self.from_scratch()
        (self._before,) = figure.parts
        return self._since(figure, self._before)

    def parts(self, row: Sequence[Any]) -> tuple[GroupSums] | None:
        """Raises ``NoLongerHolds``."""
        _, sums, *columns = row
        if sums is None:
            return None
        if self._before is None:
            self._found = GroupSums.computed(sums, *columns)
        else:
            limit = self.query.groups_limit
            self._found = self._before.plus(sums, *columns, most=self._most, certain=limit)
        return (self._found,)

    def answer(self, row: Sequence[Any]) -> Forecast:
        """The response, of a row without position and build. Raises ``Invalid`` if there are too many months."""
        found = self._found
        if found is None or len({each.month for each in found.sums.values()}) > MAX_MONTHS_WITH_DEALS:
            raise current.too_many_months()
        own = row[0]
        return current.answer_of_sums(self.query, own, found.sums.values(), KnownGroups(self.query, own, found))

    @property
    def size(self) -> int:
        """Bytes of what the answer is made of, roughly."""
        return self._found.__sizeof__() if self._found else 0

    @property
    def _most(self) -> int:
        assert self.query.group_by is not None
        return self.query.groups_limit + known_groups.SPARE[self.query.group_by]

    def from_scratch(self, sums: DealSums | None = None) -> SqlStatement:
        """The statement for sums that are not kept, from those of all groups if they are given."""
        asked = self.query
        if sums is None and largest_groups.answers(asked, self.deals):
            found = largest_groups.largest(asked, self.deals)
        else:
            found = self._of_all(sums or computed(asked, self.deals))
        few_months = f"(SELECT count(DISTINCT s.month) FROM s) <= {MAX_MONTHS_WITH_DEALS}"
        text = f"""
            WITH {found.tables}
            SELECT {kept.POSITION} AS position, {kept.BUILT} AS built, {current.OWN_CURRENCY} AS own,
                CASE WHEN {few_months} THEN {ALL} END AS sums, {FOUND}, {cards("SELECT DISTINCT c.grp FROM cells c", self._at)}
        """
        return SqlStatement(text, current.parameters(asked) | found.params | {"known": self._most}, questions.FORECAST_GROUPED)

    def _of_all(self, sums: DealSums) -> DealSums:
        asked = self.query
        tables = f"""
            {sums.tables},
            a AS (SELECT x.month, x.currency, x.status, x.period, min(x.day) AS day, {SUM} FROM sums x GROUP BY 1, 2, 3, 4),
            s AS MATERIALIZED (SELECT a.*, {current.rates(asked)} FROM a), {factors(current.OWN_CURRENCY, asked.currency)},
            {MOST_PLACES}, v AS MATERIALIZED ({converted("sums")}), {PLACED}, {KNOWN}
        """
        return DealSums(tables, sums.params)

    def _since(self, figure: Figure, before: GroupSums) -> SqlStatement:
        asked, meets = self.query, list_query.meets(self.deals)
        hangs_on: list[Kind] = [*counts.hangs_on(self.deals), "exchange_rate", "organization"]
        changed = contributions(f"{kept.meeting(meets.text)} WHERE", "c.sign", asked.bounds, asked.group_by)
        past = asked.as_of is not None
        kind = "user" if asked.group_by == "owner" else "account"
        text = f"""
            WITH {kept.since(figure, hangs_on, as_of=past)},
            c (day, currency, status, unweighted, weighted, n, grp) AS ({changed}),
            d AS MATERIALIZED ({grouped(asked.bounds, asked.group_by)}),
            whole AS MATERIALIZED ({"SELECT d.* FROM d WHERE false" if past else self._whole(meets.text)}),
            a AS (
                SELECT x.month, x.currency, x.status, x.period, min(x.day) AS day, {_OF_CHANGED}
                FROM (SELECT d.*, true AS changed FROM d UNION ALL SELECT w.*, false FROM whole w) x GROUP BY 1, 2, 3, 4
            ), s AS MATERIALIZED (SELECT a.*, {current.rates(asked)} FROM a), {factors(current.OWN_CURRENCY, asked.currency)}
            SELECT (SELECT h.position FROM holds h) AS position, (SELECT h.built FROM holds h) AS built,
                {current.OWN_CURRENCY} AS own, {ALL} AS sums,
                {in_json(converted("d"))} AS changes, {"NULL" if past else in_json(converted("whole"))} AS now,
                {cards(f"SELECT d.grp FROM d UNION SELECT s.id FROM since s WHERE s.kind = '{kind}'", self._at)}
        """
        months, known_months, known_groups = before.of_others
        params = current.parameters(asked) | meets.params | asked.bounds.params() | figure.params()
        params |= {"of_others": months, "known_months": known_months, "known_groups": known_groups}
        return SqlStatement(text, params, questions.FORECAST_GROUPS_KEPT if months else questions.FORECAST_KEPT)

    def _whole(self, meets: str) -> str:
        """SQL for the sums, as they are now, of groups that changed and are not known, from the deals by an index."""
        bounds, group_by = self.query.bounds, self.query.group_by
        assert group_by is not None
        deals = f"""
            (SELECT DISTINCT u.grp FROM unknown u) u CROSS JOIN LATERAL (
                SELECT {IN_SHEET} FROM opportunities o WHERE {COLUMNS[group_by]} = u.grp AND {LIVE} AND {meets} OFFSET 0
            ) o WHERE
        """
        return f"""
            WITH unknown AS MATERIALIZED (
                SELECT DISTINCT d.month, d.grp FROM d WHERE d.month = ANY(%(of_others)s::date[]) AND (d.month, d.grp) NOT IN (
                    SELECT k.month, k.grp FROM unnest(%(known_months)s::date[], %(known_groups)s::uuid[]) k (month, grp)
                )
            ), of_unknown AS ({contributions(deals, None, bounds, group_by)})
            SELECT x.* FROM ({grouped(bounds, group_by, "of_unknown")}) x
            WHERE (x.month, x.grp) IN (SELECT u.month, u.grp FROM unknown u)
        """

    @property
    def _at(self) -> str | None:
        return "%(as_of)s" if self.query.as_of else None


_OF_CHANGED = ", ".join(f"sum(x.{name}) FILTER (WHERE x.changed) AS {name}" for name in ("unweighted", "weighted", "n"))
