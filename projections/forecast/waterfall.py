"""What changed in the forecast between two instants, by month and cause: one statement, and the response from its single row.

Start plus the steps is always the end. The start is valued as the forecast was at ``start``, the end as at ``end``. Steps of open
deals are valued at the rates of the start, so that they show what people did (at those of the end if the start had none), steps of
won deals at the rate of their day as known at the end. ``rate_change`` is the rest: what the rates did. A step shown is the
difference of two running totals, each rounded once, so that the shown numbers add up too. Deals for which the end has no rate are
listed apart, in their own currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from projections import questions
from projections.conditions import SqlStatement
from projections.forecast import CAUSES, INFINITY, Cause
from projections.forecast.balances import NOT_ALL_ZERO, balances_at, month_start, moves, rate_period
from projections.forecast.current import OWN_CURRENCY, too_many_months
from projections.forecast.entries import SUMS, WaterfallQuery, behind, rates
from projections.forecast.limits import MAX_BEHIND, MAX_MONTHS_WITH_DEALS
from projections.forecast.money import SAME, ZERO, Currencies, Factor, ForecastStatus, Number, Total, difference, shortest
from projections.forecast.periods import utc
from projections.questions import Question


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
    """The opportunities behind a step: how many, and the ids of the first of them in their order."""

    count: int
    ids: Annotated[
        Raw, Meta(extra_json_schema={"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": MAX_BEHIND})
    ]


class WaterfallColumns(Struct, kw_only=True):
    """The steps of the plain amounts, and of those weighted by probability."""

    unweighted: WaterfallSteps
    weighted: WaterfallSteps


class ExplainedColumns(WaterfallColumns, kw_only=True):
    """``opportunities`` are those behind each step, by cause, if the question is expanded by them."""

    opportunities: dict[Cause, OpportunitiesBehind] | UnsetType = UNSET


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


def changes(query: WaterfallQuery) -> SqlStatement:
    """The steps for ``answer``: one row (the org's currency, steps or NULL if there are too many months, the opportunities behind
    them)."""
    start = balances_at("before", query.start, query.today, query.bounds)
    moved = moves("moved", query.start, query.end, query.bounds)
    period = rate_period("c.status", "c.day", query.bounds)
    text = f"""
        WITH s AS (
            SELECT {month_start("c.day")} AS month, c.cause, c.currency, c.status, {SUMS} FROM ({moved.text}) c
            GROUP BY 1, 2, 3, 4, {period} HAVING {NOT_ALL_ZERO}
            UNION ALL
            SELECT {month_start("c.day")}, 'start', c.currency, c.status, {SUMS} FROM ({start.text}) c
            GROUP BY 1, 2, 3, 4, {period} HAVING {NOT_ALL_ZERO}
        )
        SELECT {OWN_CURRENCY} AS own,
            (SELECT CASE WHEN count(DISTINCT s.month) <= {MAX_MONTHS_WITH_DEALS} THEN coalesce(json_agg(json_build_array(
                s.month, s.cause, s.currency, s.status, s.unweighted, s.weighted, {rates(query)}
            )), '[]') END::varchar FROM s) AS steps,
            ({behind(query) if query.expanded else "'[]'::varchar"}) AS behind
    """
    return SqlStatement(text, start.params | moved.params | query.params(), _question(query))


def _question(query: WaterfallQuery) -> Question:
    if query.expanded:
        return questions.WATERFALL_EXPANDED
    return questions.WATERFALL_DAYS if query.bounds.cut_months("b.day") else questions.WATERFALL


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

    def opportunities(self, query: WaterfallQuery) -> dict[Cause, OpportunitiesBehind] | UnsetType:
        return {cause: self.behind[cause] for cause in CAUSES if cause in self.behind} if query.expanded else UNSET


def answer(query: WaterfallQuery, row: Sequence[Any]) -> Waterfall:
    """The response, from the row of ``changes``. Raises ``Invalid`` if there are too many months."""
    own, steps, explained = row
    if steps is None:
        raise too_many_months()
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
        valued = at_start if step.cause == "start" else value(step.status, at_start, at_end)
        columns.add(step, valued, at_end)
        if columns is not unscheduled:
            total.add(step, valued, at_end)
    for each in _decode_behind(explained):
        month(each.month).behind[each.cause] = OpportunitiesBehind(each.count, each.ids)
    report = currencies.report
    return Waterfall(
        currency=report,
        start=utc(query.start),
        end=utc(query.end),
        total=total.columns(WaterfallColumns, report),
        months=[
            each.columns(WaterfallMonth, report, month=name, opportunities=each.opportunities(query))
            for name, each in sorted(months.items())
        ],
        unscheduled=unscheduled.columns(ExplainedColumns, report, opportunities=unscheduled.opportunities(query)),
        unconverted=[each.columns(UnconvertedWaterfall, name, currency=name) for name, each in sorted(unconverted.items())],
    )


def value(status: ForecastStatus, at_start: Factor | None, at_end: Factor) -> Factor:
    """The rates at which a step is valued."""
    return at_end if status == "won" else at_start or at_end
