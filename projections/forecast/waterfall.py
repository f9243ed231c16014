"""What changed in the forecast between two instants, by month and cause: one statement, and the response from its single row.

Start plus the steps is always the end. The start is valued as the forecast was at ``start``, the end as at ``end``. Steps of open
deals are valued at the rates of the start, so that they show what people did (at those of the end if the start had none), steps of
won deals at the rate of their day as known at the end. ``rate_change`` is the rest: what the rates did. A step shown is the
difference of two running totals, each rounded once, so that the shown numbers add up too. Deals for which the end has no rate are
listed apart, in their own currency. There are no filters on deals: the ledger has no owners or stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar, get_args
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct

from projections import exchange_rates, questions
from projections.conditions import SqlStatement
from projections.forecast import INFINITY, Cause
from projections.forecast.balances import UNBOUNDED, Bounds, balances_at, month_start, rate_period, utc
from projections.forecast.current import NOT_ALL_ZERO, OWN_CURRENCY
from projections.forecast.money import SAME, ZERO, Currencies, Factor, ForecastStatus, Number, Total, difference, shortest

MAX_BEHIND = 100
"""The most opportunities that are listed behind one step of one month; ``count`` is the number of all."""

CAUSES: tuple[Cause, ...] = get_args(Cause)


class WaterfallSteps(Struct, kw_only=True):
    """Signed amounts by cause; ``start`` plus all of them is ``end``."""

    start: Number
    created: Number
    reopened: Number
    increased: Number
    decreased: Number
    pulled_in: Number
    pushed_out: Number
    won: Number
    lost: Number
    deleted: Number
    restored: Number
    rate_change: Number
    end: Number


STEPS = WaterfallSteps.__struct_fields__[:-1]


class OpportunitiesBehind(Struct):
    """The opportunities behind a step: how many, and the ids of the first of them."""

    count: int
    ids: Annotated[Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "string", "format": "uuid"}})]


class WaterfallColumns(Struct, kw_only=True):
    """The steps of the plain amounts, and of those weighted by probability."""

    unweighted: WaterfallSteps
    weighted: WaterfallSteps


class ExplainedColumns(WaterfallColumns, kw_only=True):
    """``opportunities`` are those behind each step, by cause."""

    opportunities: dict[Cause, OpportunitiesBehind]


class WaterfallMonth(ExplainedColumns):
    month: str


class UnconvertedWaterfall(WaterfallColumns):
    """Deals in a currency without a known rate at the end, in that currency."""

    currency: str


class Waterfall(Struct, kw_only=True):
    """What changed. ``total`` is that of the months, without what is unscheduled or unconverted."""

    currency: str
    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    total: WaterfallColumns
    months: list[WaterfallMonth]
    unscheduled: ExplainedColumns
    unconverted: list[UnconvertedWaterfall]


@dataclass(frozen=True, slots=True)
class WaterfallQuery:
    """The parameters of a waterfall: the changes after ``start`` up to and including ``end``, which is not earlier. The rest as in
    ``ForecastQuery``."""

    org_id: UUID
    start: datetime
    end: datetime
    today: date
    bounds: Bounds = UNBOUNDED
    currency: str | None = None


def changes(query: WaterfallQuery) -> SqlStatement:
    """The steps for ``answer``: one row (the org's currency, steps, the opportunities behind them)."""
    start = balances_at("start", query.start, query.today, query.bounds)
    params = start.params | {
        "org_id": query.org_id,
        "start": query.start,
        "end": query.end,
        "start_day": utc(query.start).date(),
        "end_day": utc(query.end).date(),
    }
    if query.currency:
        params["report"] = query.currency
    period = rate_period("c.status", "c.day", query.bounds)
    sums = "min(c.day) AS day, sum(c.unweighted) AS unweighted, sum(c.weighted) AS weighted, sum(c.n) AS n"
    text = f"""
        WITH moves AS (
            SELECT {month_start("c.day")} AS month, c.cause, c.currency, c.status, {period} AS period, c.opportunity_id,
                {sums}
            FROM forecast_entries c
            WHERE c.org_id = %(org_id)s AND {query.bounds.holds("c.day")}
                AND c.occurred_at > %(start)s::timestamptz AND c.occurred_at <= %(end)s::timestamptz
            GROUP BY 1, 2, 3, 4, 5, 6 HAVING {NOT_ALL_ZERO}
        ), s AS (
            SELECT c.month, c.cause, c.currency, c.status, {sums} FROM moves c
            GROUP BY c.month, c.cause, c.currency, c.status, c.period
            UNION ALL
            SELECT {month_start("c.day")}, 'start', c.currency, c.status, {sums} FROM ({start.text}) c
            GROUP BY 1, 2, 3, 4, {period} HAVING {NOT_ALL_ZERO}
        )
        SELECT {OWN_CURRENCY} AS own,
            (SELECT coalesce(json_agg(json_build_array(
                s.month, s.cause, s.currency, s.status, s.unweighted, s.weighted, {_rates(query)}
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
    return SqlStatement(text, params, questions.WATERFALL)


def _rates(query: WaterfallQuery) -> str:
    """The rates of a sum's currency and of the report's, at the start and at the end."""
    found = []
    for at in ("start", "end"):
        day = f"CASE s.status WHEN 'won' THEN s.day ELSE %({at}_day)s::date END"
        known_at = f"%({at})s::timestamptz"
        found.append(exchange_rates.rate("s.currency", day, known_at))
        found.append(exchange_rates.rate("%(report)s::text", day, known_at) if query.currency else "NULL")
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


class _BehindStep(Struct, array_like=True):
    month: str
    cause: Cause
    count: int
    ids: Raw


_decode_steps = msgspec.json.Decoder(list[_Step]).decode
_decode_behind = msgspec.json.Decoder(list[_BehindStep]).decode


@dataclass(slots=True)
class _StepTotals:
    """The exact sum of each step of one column."""

    steps: dict[str, Total] = field(default_factory=lambda: {step: Total() for step in STEPS})

    def add(self, step: str, amount: Decimal, valued: Factor | None, at_end: Factor) -> None:
        if valued:
            self.steps[step].add(amount, valued)
        if valued != at_end:
            self.steps["rate_change"].add(amount, at_end)
            if valued:
                self.steps["rate_change"].add(amount.copy_negate(), valued)

    def shown(self, currency: str) -> WaterfallSteps:
        running = Total()
        before = running.rounded(currency)
        differences = dict.fromkeys(STEPS, ZERO)
        for step, total in self.steps.items():
            if not total:
                continue
            after = running.merge(total).rounded(currency)
            differences[step] = shortest(difference(after, before))
            before = after
        return WaterfallSteps(**differences, end=shortest(before))


C = TypeVar("C", bound=WaterfallColumns)


@dataclass(slots=True)
class _ColumnTotals:
    unweighted: _StepTotals = field(default_factory=_StepTotals)
    weighted: _StepTotals = field(default_factory=_StepTotals)
    behind: dict[Cause, OpportunitiesBehind] = field(default_factory=dict)

    def add(self, step: _Step, valued: Factor | None, at_end: Factor) -> None:
        self.unweighted.add(step.cause, step.unweighted, valued, at_end)
        self.weighted.add(step.cause, step.weighted, valued, at_end)

    def columns(self, type_: type[C], currency: str, /, **others: Any) -> C:
        """As shown in a currency, with the other fields of the type."""
        return type_(unweighted=self.unweighted.shown(currency), weighted=self.weighted.shown(currency), **others)

    def opportunities(self) -> dict[Cause, OpportunitiesBehind]:
        return {cause: self.behind[cause] for cause in CAUSES if cause in self.behind}


def answer(query: WaterfallQuery, row: Sequence[Any]) -> Waterfall:
    """The response, from the row of ``changes``."""
    own, steps, behind = row
    currencies = Currencies(own, query.currency or own)
    months = {name: _ColumnTotals() for name in query.bounds.months()}
    total, unscheduled = _ColumnTotals(), _ColumnTotals()
    unconverted: dict[str, _ColumnTotals] = {}

    def month(name: str) -> _ColumnTotals:
        return unscheduled if name == INFINITY else months.setdefault(name[:7], _ColumnTotals())

    for step in _decode_steps(steps):
        columns = month(step.month)
        at_start = currencies.factor(step.currency, step.start_rate, step.start_report_rate)
        at_end = currencies.factor(step.currency, step.end_rate, step.end_report_rate)
        if at_end is None:
            unconverted.setdefault(step.currency, _ColumnTotals()).add(step, SAME, SAME)
            continue
        valued = _valued(step, at_start, at_end)
        columns.add(step, valued, at_end)
        if columns is not unscheduled:
            total.add(step, valued, at_end)
    for each in _decode_behind(behind):
        month(each.month).behind[each.cause] = OpportunitiesBehind(each.count, each.ids)
    report = currencies.report
    return Waterfall(
        currency=report,
        start=utc(query.start),
        end=utc(query.end),
        total=total.columns(WaterfallColumns, report),
        months=[
            each.columns(WaterfallMonth, report, month=name, opportunities=each.opportunities())
            for name, each in sorted(months.items())
        ],
        unscheduled=unscheduled.columns(ExplainedColumns, report, opportunities=unscheduled.opportunities()),
        unconverted=[each.columns(UnconvertedWaterfall, name, currency=name) for name, each in sorted(unconverted.items())],
    )


def _valued(step: _Step, at_start: Factor | None, at_end: Factor) -> Factor | None:
    """The rates at which a step is valued; None if that is impossible at the start."""
    if step.cause == "start":
        return at_start
    return at_end if step.status == "won" else at_start or at_end
