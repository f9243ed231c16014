"""The forecast as it is asked for: one statement, and the body from its one row.

Without filters it sums balances, a number of rows that does not grow with the deals; with them, or in groups, the deals
of a list. Both give the same numbers. Rates come along with the sums, one for each run of days on which none of them
changes. Refuses to round or convert in SQL.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from projections import exchange_rates
from projections.conditions import SqlStatement
from projections.forecast import INFINITY
from projections.forecast.balances import UNBOUNDED, Bounds, balances_at, month_start, months_with_rate_change, rate_period, utc
from projections.forecast.money import SAME, Currencies, Figures, ForecastStatus

MAX_MONTHS = 120
"""The most months between two bounds that a caller should let pass: each of them is in the answer."""

GroupBy = Literal["owner", "stage", "account", "tag"]
_GROUPS: Mapping[GroupBy, str] = {
    "owner": "o.owner_id::text",
    "stage": "o.stage",
    "account": "o.account_id::text",
    "tag": "o.tags",
}
OWN_CURRENCY = "(SELECT d.doc::json ->> 'currency' FROM directory d WHERE d.id = %(org_id)s AND d.valid_to = 'infinity')"


@dataclass(frozen=True, slots=True)
class ForecastQuery:
    """What is asked of the forecast. ``today`` is the day in UTC; ``currency`` is the report's, None for the org's.

    ``where`` is the condition on ``opportunities o``, org and ``as_of`` included, as ``opportunity_queries.where`` makes
    it; it is left out where there is no filter. ``group_by`` needs it.
    """

    org_id: UUID
    today: date
    bounds: Bounds = UNBOUNDED
    as_of: datetime | None = None
    currency: str | None = None
    where: SqlStatement | None = None
    group_by: GroupBy | None = None


def forecast(question: ForecastQuery) -> SqlStatement:
    """The sums that ``body`` renders: one row (the org's currency, sums, the groups' cards)."""
    as_of, bounds = question.as_of, question.bounds
    params: dict[str, Any] = {"org_id": question.org_id, "on": utc(as_of).date() if as_of else question.today}
    params |= bounds.params()
    if question.currency:
        params["report"] = question.currency
    tables = ""
    if question.where is not None:
        source = _deals(question.where, bounds, question.group_by)
        params |= question.where.params
    else:
        assert question.group_by is None, "groups are of deals, so there must be a condition on them"
        tables = f"mixed AS MATERIALIZED ({months_with_rate_change(bounds, params)}), "
        source = balances_at("as_of", as_of, question.today, bounds, params)
    if as_of:
        params["as_of"] = as_of
    text = f"""
        WITH {tables}c AS ({source}), s AS ({_sums(bounds, question.group_by)})
        SELECT {OWN_CURRENCY} AS own,
            (SELECT coalesce(json_agg(json_build_array(
                s.month, s.currency, s.status, s.unweighted, s.weighted, s.n, {_rates(question)}, s.grouped, s.grp
            )), '[]')::varchar FROM s) AS sums,
            ({_cards(as_of) if question.group_by in ("owner", "account") else "'{}'"})::varchar AS cards
    """
    return SqlStatement(text, params)


def _deals(where: SqlStatement, bounds: Bounds, group_by: GroupBy | None) -> str:
    """As ``standing``, from the deals themselves. Weights by multiplication: a division would round."""
    group = _GROUPS[group_by] if group_by else "NULL::text"
    return f"""
        SELECT b.* FROM (
            SELECT coalesce(CASE o.status WHEN 'open' THEN o.close_date ELSE o.actual_close_date END, 'infinity') AS day,
                o.currency, o.status, coalesce(CASE o.status WHEN 'open' THEN o.amount ELSE o.actual_amount END, 0) AS unweighted,
                coalesce(CASE o.status WHEN 'open' THEN o.amount * o.probability * 0.01 ELSE o.actual_amount END, 0) AS weighted,
                1 AS n, {group} AS grp
            FROM opportunities o WHERE {where.text} AND o.status IN ('open', 'won')
        ) b WHERE {bounds.holds("b.day")}
    """


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


def _rates(question: ForecastQuery) -> str:
    day = "CASE s.status WHEN 'won' THEN s.day ELSE %(on)s::date END"
    known_at = "%(as_of)s::timestamptz" if question.as_of else None
    of_report = exchange_rates.rate("%(report)s::text", day, known_at) if question.currency else "NULL"
    return f"{exchange_rates.rate('s.currency', day, known_at)}, {of_report}"


def _cards(as_of: datetime | None) -> str:
    """The embedded form of the records that the groups are about, by id, as it stands or stood at the instant."""
    if as_of is None:
        which = "AND d.valid_to = 'infinity'"
    else:  # the version of the instant, else the first one after it
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
    all: Figures = field(default_factory=Figures)
    groups: dict[str | None, Figures] = field(default_factory=lambda: defaultdict(Figures))

    def of(self, row: _Sum) -> Figures:
        return self.groups[row.group] if row.grouped else self.all


def body(question: ForecastQuery, row: Sequence[Any]) -> bytes:
    """The answer, from the row of ``forecast``. Unconverted deals are in no month's numbers, and in their own list."""
    own, sums, cards = row
    currencies = Currencies(own, question.currency or own)
    months = defaultdict(_Month, {name: _Month() for name in question.bounds.months()})
    unscheduled = _Month()
    unconverted: dict[str, Figures] = {}
    for each in _decode_sums(sums):
        at = unscheduled if each.month == INFINITY else months[each.month[:7]]
        figures = at.of(each)
        factor = currencies.factor(each.currency, each.rate, each.report_rate)
        if factor:
            figures.add(each.status, each.unweighted, each.weighted, each.n, factor)
        elif not each.grouped:
            left = unconverted.setdefault(each.currency, Figures())
            left.add(each.status, each.unweighted, each.weighted, each.n, SAME)
    shown = _Shown(currencies.report, question.group_by, _decode_cards(cards))
    texts = (f'{{"month":"{name}",{shown.members(months[name])}}}' for name in sorted(months))
    strange = (f'{{"currency":"{name}",{unconverted[name].members(name)}}}' for name in sorted(unconverted))
    as_of = msgspec.json.encode(utc(question.as_of) if question.as_of else None).decode()
    return (
        f'{{"currency":"{currencies.report}","months":[{",".join(texts)}],"unscheduled":{{{shown.members(unscheduled)}}},'
        f'"unconverted":[{",".join(strange)}],"as_of":{as_of}}}'
    ).encode()


@dataclass(frozen=True, slots=True)
class _Shown:
    """How months are shown: in a currency, and with the groups, the largest first, if there are any."""

    currency: str
    group_by: GroupBy | None
    cards: Mapping[str, Raw]

    def members(self, at: _Month) -> str:
        text = at.all.members(self.currency)
        return f'{text},"groups":[{",".join(self._groups(at))}]' if self.group_by else text

    def _groups(self, at: _Month) -> Iterator[str]:
        largest = sorted(at.groups.items(), key=lambda item: (item[1].unweighted(self.currency).copy_negate(), item[0] or ""))
        for key, figures in largest:
            card = self.cards.get(key or "", msgspec.json.encode(key))
            yield f'{{"{self.group_by}":{bytes(card).decode()},{figures.members(self.currency)}}}'
