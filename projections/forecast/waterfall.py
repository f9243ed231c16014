"""What changed in the forecast between two instants, by month and cause: one statement, and the body from its one row.

Start plus the steps is the end, always. The start is valued as the forecast was at ``start``, the end as at ``end``. Steps
of open deals are valued at the rates of the start, so that they say what people did (at those of the end where the start
had none), steps of won deals at the rate of their day as known at the end. ``rate_change`` is what is left: what the rates
did. A step shown is the difference of two running totals, each rounded once, so that the shown numbers add up too. Deals
for which the end has no rate are told apart, by currency, in their own. Refuses filters on deals: an owner or a stage has
no place in the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, get_args
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from projections import exchange_rates
from projections.conditions import SqlStatement
from projections.forecast import INFINITY, Cause
from projections.forecast.balances import UNBOUNDED, Bounds, balances_at, month_start, months_with_rate_change, rate_period, utc
from projections.forecast.current import NOT_ALL_ZERO, OWN_CURRENCY
from projections.forecast.money import SAME, Currencies, Factor, ForecastStatus, Total, difference, number

MAX_BEHIND = 100
"""The most opportunities that are named behind one step of one month; ``count`` is the number of all."""

CAUSES: tuple[Cause, ...] = get_args(Cause)
STEPS = ("start", *CAUSES, "rate_change")


@dataclass(frozen=True, slots=True)
class WaterfallQuery:
    """What is asked: the changes after ``start`` up to and with ``end``, which is not earlier. Else as ``Question``."""

    org_id: UUID
    start: datetime
    end: datetime
    today: date
    bounds: Bounds = UNBOUNDED
    currency: str | None = None


def changes(span: WaterfallQuery) -> SqlStatement:
    """The steps that ``body`` renders: one row (the org's currency, steps, the opportunities behind them)."""
    params: dict[str, Any] = {
        "org_id": span.org_id,
        "end": span.end,
        "start_day": utc(span.start).date(),
        "end_day": utc(span.end).date(),
    }
    if span.currency:
        params["report"] = span.currency
    start = balances_at("start", span.start, span.today, span.bounds, params)
    params["start"] = span.start
    period = rate_period("c.status", "c.day", span.bounds)
    sums = "min(c.day) AS day, sum(c.unweighted) AS unweighted, sum(c.weighted) AS weighted, sum(c.n) AS n"
    text = f"""
        WITH mixed AS MATERIALIZED ({months_with_rate_change(span.bounds, params)}), moves AS (
            SELECT {month_start("c.day")} AS month, c.cause, c.currency, c.status, {period} AS period, c.opportunity_id,
                {sums}
            FROM forecast_entries c
            WHERE c.org_id = %(org_id)s AND {span.bounds.holds("c.day")}
                AND c.occurred_at > %(start)s::timestamptz AND c.occurred_at <= %(end)s::timestamptz
            GROUP BY 1, 2, 3, 4, 5, 6 HAVING {NOT_ALL_ZERO}
        ), s AS (
            SELECT c.month, c.cause, c.currency, c.status, {sums} FROM moves c
            GROUP BY c.month, c.cause, c.currency, c.status, c.period
            UNION ALL
            SELECT {month_start("c.day")}, 'start', c.currency, c.status, {sums} FROM ({start}) c
            GROUP BY 1, 2, 3, 4, {period} HAVING {NOT_ALL_ZERO}
        )
        SELECT {OWN_CURRENCY} AS own,
            (SELECT coalesce(json_agg(json_build_array(
                s.month, s.cause, s.currency, s.status, s.unweighted, s.weighted, {_rates(span)}
            )), '[]')::varchar FROM s) AS steps,
            (SELECT coalesce(json_agg(json_build_array(b.month, b.cause, b.count, b.ids)), '[]')::varchar FROM (
                SELECT n.month, n.cause, count(*) AS count,
                    array_agg(n.opportunity_id ORDER BY n.opportunity_id) FILTER (WHERE n.place <= {MAX_BEHIND}) AS ids
                FROM (
                    SELECT d.*, row_number() OVER (PARTITION BY d.month, d.cause ORDER BY d.opportunity_id) AS place
                    FROM (SELECT DISTINCT m.month, m.cause, m.opportunity_id FROM moves m) d
                ) n GROUP BY n.month, n.cause
            ) b) AS behind
    """
    return SqlStatement(text, params)


def _rates(span: WaterfallQuery) -> str:
    """Of a sum's currency and of the report's, at the start and at the end."""
    found = []
    for at in ("start", "end"):
        day = f"CASE s.status WHEN 'won' THEN s.day ELSE %({at}_day)s::date END"
        known_at = f"%({at})s::timestamptz"
        found.append(exchange_rates.rate("s.currency", day, known_at))
        found.append(exchange_rates.rate("%(report)s::text", day, known_at) if span.currency else "NULL")
    return ", ".join(found)


class _Step(Struct, array_like=True):
    month: str
    cause: str
    currency: str
    status: ForecastStatus
    unweighted: Decimal
    weighted: Decimal
    start_rate: Decimal | None
    start_report_rate: Decimal | None
    end_rate: Decimal | None
    end_report_rate: Decimal | None


class _Behind(Struct, array_like=True):
    month: str
    cause: Cause
    count: int
    ids: Raw


_decode_steps = msgspec.json.Decoder(list[_Step]).decode
_decode_behind = msgspec.json.Decoder(list[_Behind]).decode


@dataclass(slots=True)
class _Line:
    """The exact sum of each step of one column."""

    steps: dict[str, Total] = field(default_factory=lambda: {step: Total() for step in STEPS})

    def add(self, step: str, amount: Decimal, valued: Factor | None, at_end: Factor) -> None:
        if valued:
            self.steps[step].add(amount, valued)
            self.steps["rate_change"].add(amount.copy_negate(), valued)
        self.steps["rate_change"].add(amount, at_end)

    def object(self, currency: str) -> str:
        running = Total()
        before = running.rounded(currency)
        members = []
        for step, total in self.steps.items():
            after = running.merge(total).rounded(currency)
            members.append(f'"{step}":{number(difference(after, before))}')
            before = after
        return f'{{{",".join(members)},"end":{number(before)}}}'


@dataclass(slots=True)
class _Waterfall:
    unweighted: _Line = field(default_factory=_Line)
    weighted: _Line = field(default_factory=_Line)
    behind: dict[Cause, _Behind] = field(default_factory=dict)

    def add(self, step: _Step, valued: Factor | None, at_end: Factor) -> None:
        self.unweighted.add(step.cause, step.unweighted, valued, at_end)
        self.weighted.add(step.cause, step.weighted, valued, at_end)

    def members(self, currency: str) -> str:
        return f'"unweighted":{self.unweighted.object(currency)},"weighted":{self.weighted.object(currency)}'

    def members_with_opportunities(self, currency: str) -> str:
        named = (
            f'"{cause}":{{"count":{behind.count},"ids":{bytes(behind.ids).decode()}}}'
            for cause in CAUSES
            if (behind := self.behind.get(cause))
        )
        return f'{self.members(currency)},"opportunities":{{{",".join(named)}}}'


def body(span: WaterfallQuery, row: Sequence[Any]) -> bytes:
    """The answer, from the row of ``changes``. ``total`` is of the months, beside what is unscheduled or unconverted."""
    own, steps, behind = row
    currencies = Currencies(own, span.currency or own)
    months = {name: _Waterfall() for name in span.bounds.months()}
    total, unscheduled = _Waterfall(), _Waterfall()
    unconverted: dict[str, _Waterfall] = {}

    def of(name: str) -> _Waterfall:
        return unscheduled if name == INFINITY else months.setdefault(name[:7], _Waterfall())

    for step in _decode_steps(steps):
        waterfall = of(step.month)
        at_start = currencies.factor(step.currency, step.start_rate, step.start_report_rate)
        at_end = currencies.factor(step.currency, step.end_rate, step.end_report_rate)
        if at_end is None:
            unconverted.setdefault(step.currency, _Waterfall()).add(step, SAME, SAME)
            continue
        valued = _valued(step, at_start, at_end)
        waterfall.add(step, valued, at_end)
        if waterfall is not unscheduled:
            total.add(step, valued, at_end)
    for each in _decode_behind(behind):
        of(each.month).behind[each.cause] = each
    report = currencies.report
    texts = (f'{{"month":"{name}",{months[name].members_with_opportunities(report)}}}' for name in sorted(months))
    strange = (f'{{"currency":"{name}",{unconverted[name].members(name)}}}' for name in sorted(unconverted))
    start, end = (msgspec.json.encode(utc(at)).decode() for at in (span.start, span.end))
    return (
        f'{{"currency":"{report}","from":{start},"to":{end},"total":{{{total.members(report)}}},'
        f'"months":[{",".join(texts)}],"unscheduled":{{{unscheduled.members_with_opportunities(report)}}},'
        f'"unconverted":[{",".join(strange)}]}}'
    ).encode()


def _valued(step: _Step, at_start: Factor | None, at_end: Factor) -> Factor | None:
    """At which rates a step is told; None for a start that could not be told at all."""
    if step.cause == "start":
        return at_start
    return at_end if step.status == "won" else at_start or at_end
