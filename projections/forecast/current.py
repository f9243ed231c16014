"""The forecast, as of now or of an instant: one statement, and the response made from its single row.

Without filters it sums balances, whose number does not grow with the deals; with filters, or in groups, the deals of a list. Both
give the same numbers. Rates come with the sums, one for each run of days on which none of them changes. SQL does not round, and
converts only to compare ``groups``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct, UnsetType

from domain.errors import Invalid
from projections import exchange_rates, questions
from projections.conditions import SqlStatement
from projections.forecast import INFINITY
from projections.forecast.balances import NOT_ALL_ZERO, UNBOUNDED, Bounds, balances_at, month_start, rate_period
from projections.forecast.deal_sums import SUMS, DealSums, from_deals
from projections.forecast.groups import PLACED, RANKED, SHOWN, Figures, GroupBy, Groups, OtherGroups, converted, factors
from projections.forecast.limits import GROUPS_LIMIT, MAX_MONTHS_WITH_DEALS
from projections.forecast.money import SAME, Currencies, ForecastStatus, Sums, Totals, encode
from projections.forecast.periods import utc
from projections.questions import Question

MOST_REMEMBERED = 65_536
"""Bytes of the sums of an answer that is remembered."""
OWN_CURRENCY = "(SELECT d.doc::json ->> 'currency' FROM directory d WHERE d.id = %(org_id)s AND d.valid_to = 'infinity')"


@dataclass(frozen=True, slots=True)
class ForecastQuery:
    """The parameters of a forecast. ``today`` is the day in UTC; ``currency`` is the report's, None for the org's.

    ``where`` is the condition on ``opportunities o``, including org and ``as_of``, from ``opportunities.queries.where``; it is None
    if there is no filter. ``group_by`` requires it. Of each month's groups ``groups_limit`` are shown.
    """

    org_id: UUID
    today: date
    bounds: Bounds = UNBOUNDED
    as_of: datetime | None = None
    currency: str | None = None
    where: SqlStatement | None = None
    group_by: GroupBy | None = None
    groups_limit: int = GROUPS_LIMIT


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


def forecast(query: ForecastQuery, kept: DealSums | None = None) -> SqlStatement:
    """The sums for ``answer``: one row (the org's currency, sums or NULL if there are too many months, columns of groups).

    ``kept`` are those of deals that are kept; the row then has their columns around it, and ``where`` is not looked at.
    """
    params = parameters(query)
    deals = kept or (query.where and from_deals(query.where, query.bounds, query.group_by))
    if deals is not None:
        params |= deals.params
        tables = f"{deals.tables}, a AS ({_all_groups(query.group_by)})"
    else:
        assert query.group_by is None, "groups are of deals, so there must be a condition on them"
        source = balances_at("as_of", query.as_of, query.today, query.bounds)
        params |= source.params
        tables = f"c AS ({source.text}), a AS ({_sums(query.bounds)})"
    tables += f", s AS {'MATERIALIZED ' if query.group_by else ''}(SELECT a.*, {rates(query)} FROM a)"
    if query.group_by is not None:
        tables += f"""
            , {factors(OWN_CURRENCY, query.currency)}, v AS ({converted("(SELECT * FROM sums WHERE grp IS NOT NULL)")}),
            {PLACED}, {SHOWN}
        """
    around = (deals.first, deals.last) if deals else ("", "")
    text = selected(tables, *around, grouped=query.group_by is not None, few_months=query.bounds.few)
    return SqlStatement(text, params, (deals and deals.question) or _question(query, of_deals=deals is not None))


def parameters(query: ForecastQuery) -> dict[str, Any]:
    """What a statement for a forecast needs, beside what its sums are made of."""
    params: dict[str, Any] = {"org_id": query.org_id, "on": utc(query.as_of).date() if query.as_of else query.today}
    if query.currency:
        params["report"] = query.currency
    if query.as_of:
        params["as_of"] = query.as_of
    if query.group_by is not None:
        params |= {"groups_limit": query.groups_limit, "months": len(query.bounds.months())}
    return params


def selected(tables: str, first: str = "", last: str = "", *, grouped: bool, few_months: bool) -> str:
    """The statement that selects the columns for ``answer``, and others around them, from common table expressions.

    ``few_months`` says that the bounds leave no more months than an answer may have: counting them sorts the sums.
    """
    enough = "" if few_months else f"CASE WHEN count(DISTINCT s.month) <= {MAX_MONTHS_WITH_DEALS} THEN "
    return f"""
        WITH {tables}
        SELECT {first}{OWN_CURRENCY} AS own,
            (SELECT ({enough}coalesce(json_agg(json_build_array(
                s.month, s.currency, s.status, s.unweighted, s.weighted, s.n, s.rate, s.report_rate
            )), '[]'){"" if few_months else " END"})::varchar FROM s) AS sums{f", {RANKED}" if grouped else ""}{last}
    """


def _question(query: ForecastQuery, *, of_deals: bool) -> Question:
    if not of_deals:
        return questions.FORECAST
    if query.group_by:
        return questions.FORECAST_GROUPED
    return questions.FORECAST_AS_OF if query.as_of else questions.FORECAST_FILTERED


def _all_groups(group_by: GroupBy | None) -> str:
    """From the ``sums`` of deals, those over all groups."""
    if group_by is None or group_by == "tag":
        return "SELECT * FROM sums WHERE grp IS NULL"
    return f"SELECT c.month, c.currency, c.status, c.period, {SUMS} FROM sums c GROUP BY 1, 2, 3, 4"


def _sums(bounds: Bounds) -> str:
    return f"""
        SELECT {month_start("c.day")} AS month, c.currency, c.status, min(c.day) AS day, sum(c.unweighted) AS unweighted,
            sum(c.weighted) AS weighted, sum(c.n) AS n
        FROM c GROUP BY 1, 2, 3, {rate_period("c.status", "c.day", bounds)} HAVING {NOT_ALL_ZERO}
    """


def rates(query: ForecastQuery) -> str:
    """Columns: the rates of the currency of a sum ``a`` and of the report's."""
    day = "CASE a.status WHEN 'won' THEN a.day ELSE %(on)s::date END"
    known_at = "%(as_of)s::timestamptz" if query.as_of else None
    of_report = exchange_rates.rate("%(report)s::text", day, known_at) if query.currency else "NULL::numeric"
    return f"{exchange_rates.rate('a.currency', day, known_at)} AS rate, {of_report} AS report_rate"


class Sum(Struct, array_like=True):
    """What all deals of a month, currency, status and period of constant rates add up to, in that currency."""

    month: str
    currency: str
    status: ForecastStatus
    unweighted: Decimal
    weighted: Decimal
    n: int
    rate: Decimal | None
    report_rate: Decimal | None
    period: int = -1

    @property
    def place(self) -> tuple[Any, ...]:
        return self.month, self.currency, self.status, self.period


class MonthGroups(Protocol):
    """The groups of a month, its first day or ``INFINITY``."""

    def largest(self, month: str) -> list[Any]: ...

    def others(self, month: str) -> OtherGroups | UnsetType: ...


_decode_sums = msgspec.json.Decoder(list[Sum]).decode


def answer(query: ForecastQuery, row: Sequence[Any]) -> Forecast:
    """The response, from the row of ``forecast``. Raises ``Invalid`` if there are too many months."""
    own, sums, *columns = row
    if sums is None:
        raise too_many_months()
    groups = Groups(query.currency or own, query.group_by, *columns) if query.group_by else None
    return answer_of_sums(query, own, _decode_sums(sums), groups)


def rendered(query: ForecastQuery, row: Sequence[Any]) -> bytes:
    """``answer`` as JSON, of a forecast without filters. While nothing it shows has changed, it is not made again."""
    _, sums = row
    made = _rendered if sums is not None and len(sums) <= MOST_REMEMBERED else _rendered.__wrapped__
    return made(query, *row)


@lru_cache(maxsize=64)
def _rendered(query: ForecastQuery, own: str, sums: bytes | None) -> bytes:
    return encode(answer(query, (own, sums)))


def answer_of_sums(query: ForecastQuery, own: str, sums: Iterable[Sum], groups: MonthGroups | None) -> Forecast:
    """The response. Unconverted deals are in no month's numbers, only in their own list. ``own`` is the org's currency."""
    currencies = Currencies(own, query.currency or own)
    months = defaultdict(Totals, {name: Totals() for name in query.bounds.months()})
    unscheduled = Totals()
    unconverted: dict[str, Totals] = {}
    for each in sums:
        totals = unscheduled if each.month == INFINITY else months[each.month[:7]]
        factor = currencies.factor(each.currency, each.rate, each.report_rate)
        if factor is None:
            totals, factor = unconverted.setdefault(each.currency, Totals()), SAME
        totals.add(each.status, each.unweighted, each.weighted, each.n, factor)
    report = currencies.report

    def grouped(month: str) -> dict[str, Any]:
        return {"groups": groups.largest(month), "others": groups.others(month)} if groups else {}

    return Forecast(
        currency=report,
        months=[totals.shown(Month, report, month=name, **grouped(f"{name}-01")) for name, totals in sorted(months.items())],
        unscheduled=unscheduled.shown(Figures, report, **grouped(INFINITY)),
        unconverted=[totals.shown(Unconverted, name, currency=name) for name, totals in sorted(unconverted.items())],
        as_of=utc(query.as_of) if query.as_of else None,
    )


def too_many_months() -> Invalid:
    message = f"The deals are in more than {MAX_MONTHS_WITH_DEALS:,} months: give two days, from which and up to which."
    return Invalid({name: [message] for name in ("close_date__gte", "close_date__lte")})
