"""The forecast, as of now or of an instant: one statement, and the response made from its single row.

Without filters it sums balances, whose number does not grow with the deals; with filters, or in groups, the deals of a list. Both
give the same numbers. Rates come with the sums, one for each run of days on which none of them changes. SQL neither rounds nor
converts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from projections import exchange_rates
from projections.conditions import SqlStatement
from projections.forecast import INFINITY
from projections.forecast.balances import UNBOUNDED, Bounds, balances_at, month_start, rate_period, utc
from projections.forecast.money import SAME, Currencies, ForecastStatus, Sums, Totals

MAX_MONTHS = 120
"""The most months between two bounds that a caller should allow: each of them is in the response."""

GroupBy = Literal["owner", "stage", "account", "tag"]
_GROUPS: Mapping[GroupBy, str] = {
    "owner": "o.owner_id::text",
    "stage": "o.stage",
    "account": "o.account_id::text",
    "tag": "o.tags",
}
Card = Annotated[Raw, Meta(extra_json_schema={"type": "object"}, description="As a list of opportunities has it.")]
OWN_CURRENCY = "(SELECT d.doc::json ->> 'currency' FROM directory d WHERE d.id = %(org_id)s AND d.valid_to = 'infinity')"


@dataclass(frozen=True, slots=True)
class ForecastQuery:
    """The parameters of a forecast. ``today`` is the day in UTC; ``currency`` is the report's, None for the org's.

    ``where`` is the condition on ``opportunities o``, including org and ``as_of``, from ``opportunity_queries.where``; it is None
    if there is no filter. ``group_by`` requires it.
    """

    org_id: UUID
    today: date
    bounds: Bounds = UNBOUNDED
    as_of: datetime | None = None
    currency: str | None = None
    where: SqlStatement | None = None
    group_by: GroupBy | None = None


class ForecastGroup(Sums):
    """The deals of one owner, stage, account or tag; null is for deals without tags."""

    owner: Card | UnsetType = UNSET
    stage: str | UnsetType = UNSET
    account: Card | UnsetType = UNSET
    tag: str | UnsetType | None = UNSET


class Figures(Sums, kw_only=True):
    """Sums as they are shown; with ``group_by`` also the groups, the largest first."""

    groups: list[ForecastGroup] | UnsetType = UNSET


class Month(Figures):
    month: str


class Unconverted(Sums):
    """Deals in a currency without a known rate, in that currency."""

    currency: str


class Forecast(Struct, kw_only=True):
    """Sales by month."""

    currency: str
    months: list[Month]
    unscheduled: Figures
    unconverted: list[Unconverted]
    as_of: datetime | None


def forecast(query: ForecastQuery) -> SqlStatement:
    """The sums for ``answer``: one row (the org's currency, sums, the groups' cards)."""
    as_of, bounds = query.as_of, query.bounds
    if query.where is not None:
        source = _deals(query.where, bounds, query.group_by)
    else:
        assert query.group_by is None, "groups are of deals, so there must be a condition on them"
        source = balances_at("as_of", as_of, query.today, bounds)
    params = {"org_id": query.org_id, "on": utc(as_of).date() if as_of else query.today} | source.params
    if query.currency:
        params["report"] = query.currency
    if as_of:
        params["as_of"] = as_of
    text = f"""
        WITH c AS ({source.text}), s AS ({_sums(bounds, query.group_by)})
        SELECT {OWN_CURRENCY} AS own,
            (SELECT coalesce(json_agg(json_build_array(
                s.month, s.currency, s.status, s.unweighted, s.weighted, s.n, {_rates(query)}, s.grouped, s.grp
            )), '[]')::varchar FROM s) AS sums,
            ({_cards(as_of) if query.group_by in ("owner", "account") else "'{}'"})::varchar AS cards
    """
    return SqlStatement(text, params)


def _deals(where: SqlStatement, bounds: Bounds, group_by: GroupBy | None) -> SqlStatement:
    """As ``balances_at``, from the deals themselves. Weights by multiplication, because a division would round."""
    group = _GROUPS[group_by] if group_by else "NULL::text"
    text = f"""
        SELECT b.* FROM (
            SELECT coalesce(CASE o.status WHEN 'open' THEN o.close_date ELSE o.actual_close_date END, 'infinity') AS day,
                o.currency, o.status, coalesce(CASE o.status WHEN 'open' THEN o.amount ELSE o.actual_amount END, 0) AS unweighted,
                coalesce(CASE o.status WHEN 'open' THEN o.amount * o.probability * 0.01 ELSE o.actual_amount END, 0) AS weighted,
                1 AS n, {group} AS grp
            FROM opportunities o WHERE {where.text} AND o.status IN ('open', 'won')
        ) b WHERE {bounds.holds("b.day")}
    """
    return SqlStatement(text, where.params | bounds.params())


NOT_ALL_ZERO = "sum(c.n) <> 0 OR sum(c.unweighted) <> 0 OR sum(c.weighted) <> 0"


def _sums(bounds: Bounds, group_by: GroupBy | None) -> str:
    def sums(grouped: str, group: str, source: str) -> str:
        return f"""
            SELECT {month_start("c.day")} AS month, c.currency, c.status, min(c.day) AS day, sum(c.unweighted) AS unweighted,
                sum(c.weighted) AS weighted, sum(c.n) AS n, {grouped} AS grouped, {group} AS grp
            FROM {source} GROUP BY 1, 2, 3, {rate_period("c.status", "c.day", bounds)}, {group} HAVING {NOT_ALL_ZERO}
        """

    all_ = sums("false", "NULL::text", "c")
    if group_by is None:
        return all_
    if group_by == "tag":  # a deal is in the group of each of its tags
        each = "c CROSS JOIN LATERAL unnest(CASE WHEN c.grp = '{}' THEN ARRAY[NULL::text] ELSE c.grp END) AS t (grp)"
        return f"{all_} UNION ALL {sums('true', 't.grp', each)}"
    return f"{all_} UNION ALL {sums('true', 'c.grp', 'c')}"


def _rates(query: ForecastQuery) -> str:
    day = "CASE s.status WHEN 'won' THEN s.day ELSE %(on)s::date END"
    known_at = "%(as_of)s::timestamptz" if query.as_of else None
    of_report = exchange_rates.rate("%(report)s::text", day, known_at) if query.currency else "NULL"
    return f"{exchange_rates.rate('s.currency', day, known_at)}, {of_report}"


def _cards(as_of: datetime | None) -> str:
    """The embedded form of the records that the groups are about, by id, as of the instant."""
    if as_of is None:
        which = "AND d.valid_to = 'infinity'"
    else:  # the version at the instant, else the first one after it
        which = (
            "ORDER BY d.valid_from <= %(as_of)s DESC,"
            " CASE WHEN d.valid_from <= %(as_of)s THEN d.version ELSE -d.version END DESC LIMIT 1"
        )
    return f"""
        SELECT coalesce(json_object_agg(g.grp, g.card::json), '{{}}') FROM (
            SELECT e.grp, (SELECT d.card FROM directory d WHERE d.id = e.grp::uuid {which}) AS card
            FROM (SELECT DISTINCT s.grp FROM s WHERE s.grouped) e
        ) g
    """


class _Sum(Struct, array_like=True):
    month: str
    currency: str
    status: ForecastStatus
    unweighted: Decimal
    weighted: Decimal
    n: int
    rate: Decimal | None
    report_rate: Decimal | None
    grouped: bool
    group: str | None


_decode_sums = msgspec.json.Decoder(list[_Sum]).decode
_decode_cards = msgspec.json.Decoder(dict[str, Raw]).decode


@dataclass(slots=True)
class _Month:
    all: Totals = field(default_factory=Totals)
    groups: dict[str | None, Totals] = field(default_factory=lambda: defaultdict(Totals))

    def totals(self, row: _Sum) -> Totals:
        return self.groups[row.group] if row.grouped else self.all


def answer(query: ForecastQuery, row: Sequence[Any]) -> Forecast:
    """The response, from the row of ``forecast``. Unconverted deals are in no month's numbers, only in their own list."""
    own, sums, cards = row
    currencies = Currencies(own, query.currency or own)
    months = defaultdict(_Month, {name: _Month() for name in query.bounds.months()})
    unscheduled = _Month()
    unconverted: dict[str, Totals] = {}
    for each in _decode_sums(sums):
        month = unscheduled if each.month == INFINITY else months[each.month[:7]]
        totals = month.totals(each)
        factor = currencies.factor(each.currency, each.rate, each.report_rate)
        if factor:
            totals.add(each.status, each.unweighted, each.weighted, each.n, factor)
        elif not each.grouped:
            left = unconverted.setdefault(each.currency, Totals())
            left.add(each.status, each.unweighted, each.weighted, each.n, SAME)
    report = currencies.report
    groups = _Groups(report, query.group_by, _decode_cards(cards))
    return Forecast(
        currency=report,
        months=[month.all.shown(Month, report, month=name, groups=groups.shown(month)) for name, month in sorted(months.items())],
        unscheduled=unscheduled.all.shown(Figures, report, groups=groups.shown(unscheduled)),
        unconverted=[totals.shown(Unconverted, name, currency=name) for name, totals in sorted(unconverted.items())],
        as_of=utc(query.as_of) if query.as_of else None,
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups of a month as they are shown: in one currency, the largest first."""

    currency: str
    group_by: GroupBy | None
    cards: Mapping[str, Raw]

    def shown(self, month: _Month) -> list[ForecastGroup] | UnsetType:
        if self.group_by is None:
            return UNSET
        largest = sorted(month.groups.items(), key=lambda item: (item[1].unweighted(self.currency).copy_negate(), item[0] or ""))
        return [totals.shown(ForecastGroup, self.currency, **{self.group_by: self._card(key)}) for key, totals in largest]

    def _card(self, key: str | None) -> Raw | str | None:
        return self.cards.get(key or "", key)
